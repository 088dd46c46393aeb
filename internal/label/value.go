// SPDX-License-Identifier: Apache-2.0

package label

import (
	"fmt"
	"slices"
	"strings"
)

// Values are what the placeholders of a template stand for on one label, by
// name. A name that is missing stands for nothing. A value may hold any bytes:
// it never becomes a command of the printer.
type Values map[string]string

// Name is one placeholder: {serial} in a template stands for the value of
// serial.
type Name struct {
	Name    string
	Doc     string
	Example string
}

// Names lists the placeholders that a template may use.
func Names() []Name { return slices.Clone(names) }

// Specimen is a value for each name, as a real label might have it.
func Specimen() Values {
	v := Values{}
	for _, n := range names {
		v[n.Name] = n.Example
	}
	return v
}

var names = []Name{
	{"serial", "serial number of the unit", "PC200-26-000101"},
	{"outcome", "PASS or FAIL", "PASS"},
	{"model", "model the board reports", "PC-200"},
	{"uid", "the board's ID in hex", "8a3c00112233445566778899"},
	{"hw", "hardware revision the board reports", "rev-c"},
	{"firmware", "firmware version the board reports", "2.4.1"},
	{"product", "product", "Pump controller 2"},
	{"order", "work order", "WO-4711"},
	{"station", "plant/station", "hamburg/line-1"},
	{"entry", "number of the unit's end entry in the ledger", "4711"},
	{"date", "day of that entry, UTC", "2026-11-22"},
	{"time", "minute of that entry, UTC", "2026-11-22 07:31"},
	{"operator", "id of who was at the bench", "op-17"},
	{"attempt", "how many times the unit was begun", "1"},
	{"cert_serial", "serial number of the certificate in hex", "2f0c8e1d5a7b4c3d9e8f7a6b5c4d3e2f"},
	{"cert_sha256", "SHA-256 of the certificate in hex", "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"},
	{"witness", "short form of the proof: origin/entry/size/root", "hamburg/line-1/1/4711/4720/CsUYapGGPo4dkMgIAUqomw"},
	{"fault", "fault code, on a fail label", "F-PROVE-02"},
	{"sentence", "what happened, on a fail label", "The board's proof does not verify with its certificate."},
	{"remedy", "what to do, on a fail label", "Retry once, then put the board aside."},
	{"mark", "SIMULATED TPM where that is so, else nothing", "SIMULATED TPM"},
}

// text is a line of a template: literal parts and placeholders.
type text []part

type part struct{ literal, name string } // one of the two

// parseText reads {name} as a placeholder, {{ and }} as braces.
func parseText(s string) (text, error) {
	var t text
	lit := ""
	for s != "" {
		at := strings.IndexAny(s, "{}")
		if at < 0 {
			lit, s = lit+s, ""
			break
		}
		lit += s[:at]
		switch s = s[at:]; {
		case strings.HasPrefix(s, "{{") || strings.HasPrefix(s, "}}"):
			lit, s = lit+s[:1], s[2:]
		case s[0] == '}':
			return nil, fmt.Errorf("a } without its {; a brace is written }}")
		default:
			name, rest, closed := strings.Cut(s[1:], "}")
			if !closed {
				return nil, fmt.Errorf("a { without its }; a brace is written {{")
			}
			if !slices.ContainsFunc(names, func(n Name) bool { return n.Name == name }) {
				return nil, fmt.Errorf("unknown placeholder {%.40s}; allowed: %s", name, allNames())
			}
			if lit != "" {
				t = append(t, part{literal: lit})
			}
			t, lit, s = append(t, part{name: name}), "", rest
		}
	}
	if lit != "" {
		t = append(t, part{literal: lit})
	}
	return t, nil
}

func allNames() string {
	var all []string
	for _, n := range names {
		all = append(all, n.Name)
	}
	return strings.Join(all, ", ")
}

// fill puts the values in.
func (t text) fill(v Values) string {
	var b strings.Builder
	for _, p := range t {
		b.WriteString(p.literal)
		if p.name != "" {
			b.WriteString(v[p.name])
		}
	}
	return b.String()
}

// uses tells whether a placeholder stands in t.
func (t text) uses(name string) bool {
	return slices.ContainsFunc(t, func(p part) bool { return p.name == name })
}
