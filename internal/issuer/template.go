// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"cmp"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// template is text with variables, in parts.
type template []part

// part is either literal text or the name of a variable, perhaps to be written
// in small letters.
type part struct {
	literal, variable string
	lower             bool
}

// unitVariables are the variables every unit has.
var unitVariables = []string{"serial", "uid", "model"}

// parseTemplate reads text with {variables}. Text without any is checked at
// once by check, if there is one.
func parseTemplate(text string, check func(string) error) (template, error) {
	if len(text) > 256 || !utf8.ValidString(text) {
		return nil, errors.New("longer than 256 bytes, or not UTF-8")
	}
	var t template
	for rest := text; rest != ""; {
		literal, after, open := strings.Cut(rest, "{")
		if strings.Contains(literal, "}") {
			return nil, fmt.Errorf("%q has a } without {", clip(text))
		}
		if literal != "" {
			t = append(t, part{literal: literal})
		}
		if !open {
			break
		}
		inside, tail, closed := strings.Cut(after, "}")
		name, how, changed := strings.Cut(inside, "|")
		if !closed || !isToken(name) {
			return nil, fmt.Errorf("%q has a { without the name of a variable and }", clip(text))
		}
		if changed && how != "lower" {
			return nil, fmt.Errorf("%q: {%s|%s} is unknown, {%s|lower} is allowed", clip(text), name, clip(how), name)
		}
		t = append(t, part{variable: name, lower: changed})
		rest = tail
	}
	if check != nil && t.constant() {
		return t, check(text)
	}
	return t, nil
}

func (t template) constant() bool {
	for _, p := range t {
		if p.variable != "" {
			return false
		}
	}
	return true
}

// expand fills a template; a variable that the unit lacks is an error.
func (t template) expand(u Unit) (string, error) {
	var b strings.Builder
	for _, p := range t {
		if p.variable == "" {
			b.WriteString(p.literal)
			continue
		}
		v := u.value(p.variable)
		if v == "" {
			return "", fmt.Errorf("unit %q has no %q, which the profile needs", clip(u.Serial), p.variable)
		}
		if p.lower {
			v = strings.ToLower(v)
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

func (t template) expandChecked(u Unit, check func(string) error) (string, error) {
	v, err := t.expand(u)
	if err != nil {
		return "", err
	}
	return v, check(v)
}

func (u Unit) value(name string) string {
	switch name {
	case "serial":
		return u.Serial
	case "uid":
		return u.UID
	case "model":
		return u.Model
	}
	return u.Vars[name]
}

// subjectField is one field a subject may have.
type subjectField struct {
	key, allowed string
	check        func(string) error
	in           func(*SubjectConfig) *string
	put          func(*pkix.Name, string)
}

// subjectFields is the table of them, with the upper bounds of RFC 5280 A.1.
var subjectFields = []subjectField{
	{
		"country", "two letters", checkCountry,
		func(c *SubjectConfig) *string { return &c.Country },
		func(n *pkix.Name, v string) { n.Country = []string{v} },
	},
	{
		"organization", "text or template, up to 64 bytes", textUpTo(64),
		func(c *SubjectConfig) *string { return &c.Organization },
		func(n *pkix.Name, v string) { n.Organization = []string{v} },
	},
	{
		"organizational_unit", "text or template, up to 64 bytes", textUpTo(64),
		func(c *SubjectConfig) *string { return &c.OrganizationalUnit },
		func(n *pkix.Name, v string) { n.OrganizationalUnit = []string{v} },
	},
	{
		"state", "text or template, up to 128 bytes", textUpTo(128),
		func(c *SubjectConfig) *string { return &c.State },
		func(n *pkix.Name, v string) { n.Province = []string{v} },
	},
	{
		"locality", "text or template, up to 128 bytes", textUpTo(128),
		func(c *SubjectConfig) *string { return &c.Locality },
		func(n *pkix.Name, v string) { n.Locality = []string{v} },
	},
	{
		"common_name", "a template, filled up to 64 bytes", textUpTo(64),
		func(c *SubjectConfig) *string { return &c.CommonName },
		func(n *pkix.Name, v string) { n.CommonName = v },
	},
	{
		"serial_number", "a template of PrintableString characters, filled up to 64 bytes", printableUpTo(64),
		func(c *SubjectConfig) *string { return &c.SerialNumber },
		func(n *pkix.Name, v string) { n.SerialNumber = v },
	},
	{
		"dn_qualifier", "text or template of PrintableString characters, up to 64 bytes", printableUpTo(64),
		func(c *SubjectConfig) *string { return &c.DNQualifier },
		func(n *pkix.Name, v string) {
			n.ExtraNames = append(n.ExtraNames, pkix.AttributeTypeAndValue{Type: oidDNQualifier, Value: v})
		},
	},
}

// oidDNQualifier is id-at-dnQualifier (RFC 5280 A.1), DistinguishedNameQualifier
// in AWS's templates.
var oidDNQualifier = asn1.ObjectIdentifier{2, 5, 4, 46}

func subjectFieldNamed(key string) *subjectField {
	for i := range subjectFields {
		if subjectFields[i].key == key {
			return &subjectFields[i]
		}
	}
	return nil
}

func textUpTo(most int) func(string) error {
	return func(s string) error { return checkSeen(s, most) }
}

func printableUpTo(most int) func(string) error {
	return func(s string) error { return cmp.Or(checkPrintable("text", s, most), checkSeen(s, most)) }
}

// checkSeen wants text in which all that is there is seen: two names that differ
// in a blank at the end, which matching ignores (X.520 6.1), or in a character
// without width, would be one to whoever reads them.
func checkSeen(s string, most int) error {
	if err := checkText("text", s, most); err != nil {
		return err
	}
	if strings.TrimSpace(s) != s {
		return fmt.Errorf("text %q begins or ends with a blank", clip(s))
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("text %q has a character that cannot be seen", clip(s))
	}
	return nil
}

// checkText wants 1 to most bytes of UTF-8 without control characters.
func checkText(what, s string, most int) error {
	if s == "" || len(s) > most || !utf8.ValidString(s) {
		return fmt.Errorf("%s %q has %d bytes; allowed: 1 to %d, UTF-8", what, clip(s), len(s), most)
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }); i >= 0 {
		return fmt.Errorf("%s %q has a control character", what, clip(s))
	}
	return nil
}

// checkPrintable wants 1 to most characters of PrintableString (X.680 41.4).
func checkPrintable(what, s string, most int) error {
	if err := checkText(what, s, most); err != nil {
		return err
	}
	for _, r := range s {
		if !isLetterOrDigit(r) && !strings.ContainsRune(" '()+,-./:=?", r) {
			return fmt.Errorf("%s %q has %q; allowed: A-Z, a-z, 0-9, space and '()+,-./:=?", what, clip(s), r)
		}
	}
	return nil
}

func checkCountry(s string) error {
	if len(s) != 2 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
		return fmt.Errorf("country %q; allowed: two capital letters of ISO 3166", clip(s))
	}
	return nil
}

// checkDNS wants a host name of letters, digits and hyphens (RFC 5280 4.2.1.6, RFC 1034 3.5).
func checkDNS(s string) error {
	if len(s) > 253 {
		return fmt.Errorf("host name of %d bytes; allowed: up to 253", len(s))
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool { return !isLetterOrDigit(r) && r != '-' }) {
			return fmt.Errorf("%q is not a host name of letters, digits, hyphens and dots", clip(s))
		}
	}
	return nil
}

// checkURI wants an absolute URI in ASCII, in the form it will be written in.
func checkURI(s string) error {
	u, err := url.Parse(s)
	if err != nil || !u.IsAbs() || u.String() != s || len(s) > 255 ||
		strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return fmt.Errorf("%q is not a URI with a scheme, up to 255 bytes of ASCII", clip(s))
	}
	return nil
}

// usageArcs are vendors' extensions that say what a key is for beside keyUsage
// and extendedKeyUsage: Netscape's certificate type, and what Windows reads of
// templates (20, 21: enrollment and application policies).
var usageArcs = []asn1.ObjectIdentifier{
	{2, 16, 840, 1, 113730, 1}, {1, 3, 6, 1, 4, 1, 311, 20}, {1, 3, 6, 1, 4, 1, 311, 21},
}

// parseOID reads a dotted object identifier that a profile may use for itself.
func parseOID(s string) (asn1.ObjectIdentifier, error) {
	var oid asn1.ObjectIdentifier
	for arc := range strings.SplitSeq(s, ".") {
		n, err := strconv.ParseInt(arc, 10, 32)
		if err != nil || n < 0 || strconv.FormatInt(n, 10) != arc || len(oid) == 20 {
			return nil, errors.New("not numbers with dots between")
		}
		oid = append(oid, int(n))
	}
	if len(oid) < 3 || oid[0] > 2 || (oid[0] < 2 && oid[1] > 39) || (oid[0] == 2 && oid[1] > 1000) {
		return nil, errors.New("not an object identifier")
	}
	if oid[:3].Equal(asn1.ObjectIdentifier{2, 5, 29}) ||
		(len(oid) >= 8 && oid[:8].Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1})) {
		return nil, errors.New("the profile writes these itself")
	}
	for _, arc := range usageArcs {
		if len(oid) >= len(arc) && oid[:len(arc)].Equal(arc) {
			return nil, errors.New("it says what a key is for, which the profile does itself")
		}
	}
	return oid, nil
}

// isToken says whether s is a name of 1 to 32 characters a-z, 0-9, - and _.
func isToken(s string) bool {
	return s != "" && len(s) <= 32 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

func isLetterOrDigit(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}
