// SPDX-License-Identifier: Apache-2.0

package label_test

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// field is one field of what is sent to a printer, as this test's own reader
// understood it. It knows only what the station may send, and takes nothing else.
type field struct {
	x, y    int
	kind    string // text, qr, matrix or box
	data    string
	reverse bool
	rest    string // the command that says how it looks
}

var (
	headLine  = regexp.MustCompile(`^\^XA\n\^CI28\n\^PW(\d+)\n\^LL(\d+)\n\^LH0,0\n`)
	mediaLine = regexp.MustCompile(`^\^(PR|MD|MM|MN|MT|PO|PM|LR|LS|LT)[-0-9A-Z,]*\n`)
	fieldLine = regexp.MustCompile(`^(\^BY2,3,1)?\^FO(\d+),(\d+)(\^[^\n]*)\^FS\n`)
	textLook  = regexp.MustCompile(`^\^A0[NRIB],\d+,\d+(\^FB\d+,1,0,[CR])?(\^FR)?\^FH_\^FD(.*)$`)
	qrLook    = regexp.MustCompile(`^\^BQN,2,\d+(\^FR)?\^FH_\^FD[LMQH]A,(.*)$`)
	dmLook    = regexp.MustCompile(`^\^BX[NRIB],\d+,200,,,,_(\^FR)?\^FH_\^FD(.*)$`)
	boxLook   = regexp.MustCompile(`^(\^FR)?\^GB\d+,\d+,\d+,B$`)
	footLine  = regexp.MustCompile(`^\^PQ(\d+)\n\^XZ\n$`)
	plain     = regexp.MustCompile(`^(?:[0-9A-Za-z .\-/:+]|_[0-9A-F]{2})*$`)
)

// readZPL reads one label, byte for byte: every byte is accounted for.
func readZPL(t *testing.T, zpl []byte) (w, h, copies int, fields []field) {
	t.Helper()
	s := string(zpl)
	take := func(re *regexp.Regexp) []string {
		m := re.FindStringSubmatch(s)
		if m != nil {
			s = s[len(m[0]):]
		}
		return m
	}
	m := take(headLine)
	if m == nil {
		t.Fatalf("no head: %.80q", s)
	}
	w, h = atoi(m[1]), atoi(m[2])
	for take(mediaLine) != nil {
	}
	for m = take(fieldLine); m != nil; m = take(fieldLine) {
		f, err := readField(m)
		if err != nil {
			t.Fatalf("%v in %q", err, m[0])
		}
		fields = append(fields, f)
	}
	if m = take(footLine); m == nil {
		t.Fatalf("no field and no foot: %.120q", s)
	}
	return w, h, atoi(m[1]), fields
}

func readField(m []string) (field, error) {
	f := field{x: atoi(m[2]), y: atoi(m[3]), rest: m[4]}
	var d []string
	switch {
	case textLook.MatchString(m[4]):
		f.kind, d = "text", textLook.FindStringSubmatch(m[4])[2:]
	case qrLook.MatchString(m[4]):
		f.kind, d = "qr", qrLook.FindStringSubmatch(m[4])[1:]
	case dmLook.MatchString(m[4]):
		f.kind, d = "matrix", dmLook.FindStringSubmatch(m[4])[1:]
	case boxLook.MatchString(m[4]):
		f.kind, d = "box", append(boxLook.FindStringSubmatch(m[4])[1:], "")
	default:
		return f, fmt.Errorf("unknown look")
	}
	if (m[1] != "") != (f.kind == "qr") {
		return f, fmt.Errorf("^BY in the wrong place")
	}
	f.reverse = d[0] != ""
	if !plain.MatchString(d[1]) {
		return f, fmt.Errorf("the data %q has more than plain characters and hex escapes", d[1])
	}
	f.data = unhex(d[1])
	if f.kind == "matrix" {
		if strings.Count(f.data, "_")%2 != 0 {
			return f, fmt.Errorf("a lone escape in DataMatrix %q", f.data)
		}
		f.data = strings.ReplaceAll(f.data, "__", "_")
	}
	return f, nil
}

func unhex(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '_' {
			b.WriteByte(s[i])
			continue
		}
		raw, _ := hex.DecodeString(s[i+1 : i+3])
		b.Write(raw)
		i += 2
	}
	return b.String()
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
