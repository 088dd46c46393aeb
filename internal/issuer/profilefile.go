// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxProfile is the largest profile file in bytes that is read.
const maxProfile = 64 << 10

// settingError is a setting that is wrong, without the line it stands on.
// Of tables that may stand several times, nth (from 0) says which.
type settingError struct {
	key, what, allowed string
	nth                int
}

func (e settingError) Error() string {
	return fmt.Sprintf("%s: %s; allowed: %s", e.key, e.what, e.allowed)
}

func setting(key, what, allowed string) settingError {
	return settingError{key: key, what: what, allowed: allowed}
}

// settings are the keys a profile file may have, for the message that refuses
// another, or another type of value.
var settings = []struct{ key, allowed string }{
	{"base", "the name of a built-in profile"},
	{"days", "a whole number of days"},
	{"backdate", `a duration such as "1h"`},
	{"algorithms", "a list of algorithm names"},
	{"subject.country", "text"},
	{"subject.organization", "text"},
	{"subject.organizational_unit", "text"},
	{"subject.state", "text"},
	{"subject.locality", "text"},
	{"subject.common_name", "text"},
	{"subject.serial_number", "text"},
	{"subject.dn_qualifier", "text"},
	{"san.dns", "a list of texts"},
	{"san.uri", "a list of texts"},
	{"san.hardware_type", "text: an object identifier"},
	{"san.hardware_serial", "text"},
	{"extension.oid", "text, in an [[extension]] table"},
	{"extension.value", "text, in an [[extension]] table"},
}

// ParseProfile reads a profile file. name is the file's name as errors shall
// show it; the profile is named after its last part. An unknown key is refused.
//
// Errors read "FILE:LINE: what is wrong; allowed: ...".
func ParseProfile(name string, text []byte) (*Profile, error) {
	if len(text) > maxProfile {
		return nil, fmt.Errorf("%s:1: %d bytes; allowed: up to %d", name, len(text), maxProfile)
	}
	// Whatever is wrong here is wrong with the TOML, not with a setting.
	var plain map[string]any
	if err := toml.Unmarshal(text, &plain); err != nil {
		return nil, syntaxError(name, err)
	}
	c := builtins[0].config()
	if base, ok := plain["base"].(string); ok {
		c.Base = base
		if b := builtinNamed(base); b != nil {
			c = b.config()
		}
	}
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&c); err != nil {
		return nil, decodeError(name, err)
	}
	p, err := newProfile(name, c)
	if setting, ok := errors.AsType[settingError](err); ok {
		return nil, fmt.Errorf("%s:%d: %w", name, lineOf(text, setting.key, setting.nth), setting)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// syntaxError puts the decoder's complaint about the language into our form.
func syntaxError(name string, err error) error {
	line := 1
	if decode, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, _ = decode.Position()
	}
	return fmt.Errorf("%s:%d: %s; allowed: TOML (https://toml.io)", name, line, strings.TrimPrefix(err.Error(), "toml: "))
}

// decodeError puts the decoder's complaint about a key into our form.
func decodeError(name string, err error) error {
	if missing, ok := errors.AsType[*toml.StrictMissingError](err); ok && len(missing.Errors) > 0 {
		first := &missing.Errors[0]
		line, _ := first.Position()
		key := strings.Join(first.Key(), ".")
		return fmt.Errorf("%s:%d: unknown key %s; allowed: %s", name, line, clip(key), neighbours(first.Key()))
	}
	if decode, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, _ := decode.Position()
		key := strings.Join(decode.Key(), ".")
		for _, s := range settings {
			if s.key == key {
				return fmt.Errorf("%s:%d: %s has the wrong type of value; allowed: %s", name, line, key, s.allowed)
			}
		}
	}
	return syntaxError(name, err)
}

// neighbours lists the keys allowed in the table where an unknown key stands.
func neighbours(key toml.Key) string {
	table := ""
	if len(key) > 1 {
		table = key[0] + "."
	}
	var in, all []string
	for _, s := range settings {
		all = append(all, s.key)
		if rest, ok := strings.CutPrefix(s.key, table); ok && table != "" {
			in = append(in, rest)
		}
	}
	if len(in) > 0 {
		return strings.Join(in, ", ")
	}
	return strings.Join(all, ", ")
}

// lineOf finds the line a key stands on, in the nth table of its name; the line
// of that table if it lacks the key; 1 if the base's default was refused.
func lineOf(text []byte, key string, nth int) int {
	var (
		p     unstable.Parser
		table string
	)
	tables, fallback := 0, 1
	p.Reset(text)
	for p.NextExpression() {
		e := p.Expression()
		name, line := keyOf(&p, e)
		if e.Kind == unstable.KeyValue {
			full := table + name
			if (full == key || strings.HasPrefix(key, full+".")) && (tables == 0 || tables == nth+1) {
				return line
			}
			continue
		}
		table = name + "."
		if e.Kind == unstable.ArrayTable && strings.HasPrefix(key, table) {
			if tables++; tables == nth+1 {
				fallback = line
			}
		}
	}
	return fallback
}

// keyOf returns the dotted key of a table or a key and value, and its line.
func keyOf(p *unstable.Parser, e *unstable.Node) (name string, line int) {
	var parts []string
	for it := e.Key(); it.Next(); {
		n := it.Node()
		parts = append(parts, string(n.Data))
		line = p.Shape(n.Raw).Start.Line
	}
	return strings.Join(parts, "."), line
}
