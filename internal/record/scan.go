// SPDX-License-Identifier: Apache-2.0

package record

import (
	"reflect"
	"strconv"
	"strings"
)

// scanner reads what [Body.Encode] writes, and gives up on anything else. It is not a parser to be trusted: whoever uses it encodes
// the result again and compares the bytes.
type scanner struct {
	text   string
	at     int
	failed bool
}

// scanBody reads an encoded body. ok is false for what encoding/json must have a look at.
func scanBody(raw []byte) (b Body, ok bool) {
	s := scanner{text: string(raw)}
	value := reflect.ValueOf(&b).Elem()
	s.expect("{")
	for first := true; !s.failed && !s.skip('}'); first = false {
		if !first {
			s.expect(",")
		}
		name := s.quoted()
		s.expect(":")
		place, known := fieldOf[name]
		if s.failed || !known {
			return Body{}, false
		}
		s.field(value.Field(place.index))
	}
	return b, !s.failed && s.at == len(s.text)
}

// field reads one value into its place.
func (s *scanner) field(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s.quoted())
	case reflect.Int, reflect.Int64:
		v.SetInt(s.number())
	case reflect.Bool:
		s.expect("true")
		v.SetBool(true)
	default:
		switch p := v.Addr().Interface().(type) {
		case **int:
			n := int(s.number())
			*p = &n
		case *[]StepRecord:
			*p = scanList(s, (*scanner).step)
		case *[]Claim:
			*p = scanList(s, (*scanner).claim)
		case **Receipt:
			r := s.receipt()
			*p = &r
		default:
			s.failed = true
		}
	}
}

func scanList[T any](s *scanner, element func(*scanner) T) []T {
	var list []T
	s.expect("[")
	for !s.failed && !s.skip(']') {
		if len(list) > 0 {
			s.expect(",")
		}
		list = append(list, element(s))
	}
	return list
}

func (s *scanner) step() (r StepRecord) {
	s.expect(`{"ms":`)
	r.Ms = s.number()
	s.expect(`,"name":`)
	r.Name = s.quoted()
	s.expect(`,"retries":`)
	r.Retries = int(s.number())
	s.expect("}")
	return r
}

func (s *scanner) claim() (c Claim) {
	s.expect(`{"kind":`)
	c.Kind = s.quoted()
	s.expect(`,"value":`)
	c.Value = s.quoted()
	s.expect("}")
	return c
}

func (s *scanner) receipt() (r Receipt) {
	s.expect("{")
	for first := true; !s.failed && !s.skip('}'); first = false {
		if !first {
			s.expect(",")
		}
		name := s.quoted()
		s.expect(":")
		switch name {
		case "alg":
			r.Alg = s.quoted()
		case "anchors":
			r.Anchors = s.quoted()
		case "chain":
			r.Chain = s.quoted()
		case "nonce":
			r.Nonce = s.quoted()
		case "prot":
			r.Prot = int(s.number())
		case "rework":
			r.Rework = s.quoted()
		case "root":
			r.Root = s.quoted()
		case "sig":
			r.Sig = s.quoted()
		case "state":
			r.State = int(s.number())
		case "uid":
			r.UID = s.quoted()
		default:
			s.failed = true
		}
	}
	return r
}

func (s *scanner) expect(literal string) {
	if s.failed || !strings.HasPrefix(s.text[s.at:], literal) {
		s.failed = true
		return
	}
	s.at += len(literal)
}

func (s *scanner) skip(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

// quoted reads a string. Of what can be escaped, only quotation mark and backslash stand in a body.
func (s *scanner) quoted() string {
	s.expect(`"`)
	if s.failed {
		return ""
	}
	rest := s.text[s.at:]
	end := strings.IndexAny(rest, `"\`)
	if end >= 0 && rest[end] == '"' {
		s.at += end + 1
		return rest[:end]
	}
	var b strings.Builder
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '"':
			s.at += i + 1
			return b.String()
		case c != '\\':
			b.WriteByte(c)
		case i+1 < len(rest) && (rest[i+1] == '"' || rest[i+1] == '\\'):
			i++
			b.WriteByte(rest[i])
		default:
			s.failed = true
			return ""
		}
	}
	s.failed = true
	return ""
}

func (s *scanner) number() int64 {
	end := s.at
	for end < len(s.text) && (s.text[end] == '-' || s.text[end] >= '0' && s.text[end] <= '9') {
		end++
	}
	n, err := strconv.ParseInt(s.text[s.at:end], 10, 64)
	s.failed = s.failed || err != nil
	s.at = end
	return n
}
