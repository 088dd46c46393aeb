// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// NewProfile validates settings. The error names the setting and what is allowed.
func NewProfile(name string, c ProfileConfig) (*Profile, error) {
	p, err := newProfile(name, c)
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", clip(name), err)
	}
	return p, nil
}

func newProfile(name string, c ProfileConfig) (*Profile, error) {
	name = strings.TrimSuffix(path.Base(strings.ReplaceAll(name, `\`, "/")), ".toml")
	if !isToken(name) {
		return nil, setting("name", "the profile's file name", "a-z, 0-9, - and _, 1 to 32 characters")
	}
	b := builtinNamed(c.Base)
	if b == nil {
		return nil, setting("base", fmt.Sprintf("%q is not a built-in profile", clip(c.Base)), builtinNames())
	}
	p := &Profile{name: name, base: b}
	for _, set := range []func(*builtin, *ProfileConfig) error{
		p.setValidity, p.setAlgorithms, p.setSubject, p.setSAN, p.setHardware, p.setExtensions,
	} {
		if err := set(b, &c); err != nil {
			return nil, err
		}
	}
	// An empty list and none are the same settings.
	c.SAN.DNS = append([]string{}, c.SAN.DNS...)
	c.SAN.URI = append([]string{}, c.SAN.URI...)
	c.Extension = append([]ExtensionConfig{}, c.Extension...)
	var err error
	if p.canonical, err = json.Marshal(c); err != nil {
		return nil, fmt.Errorf("write profile %s in its canonical form: %w", name, err)
	}
	return p, nil
}

func (p *Profile) setValidity(b *builtin, c *ProfileConfig) error {
	if b.maxDays == 0 && c.Days != 0 {
		return setting("days", fmt.Sprintf("%d", c.Days), "0: a certificate of "+b.name+" does not end (99991231235959Z)")
	}
	if c.Days < b.minDays || c.Days > b.maxDays {
		return setting("days", fmt.Sprintf("%d", c.Days), fmt.Sprintf("%d to %d", b.minDays, b.maxDays))
	}
	d, err := time.ParseDuration(c.Backdate)
	if err != nil || d < 0 || d > 24*time.Hour || d%time.Second != 0 {
		return setting("backdate", fmt.Sprintf("%q", clip(c.Backdate)), `"0s" to "24h" in whole seconds`)
	}
	p.lifetime = time.Duration(c.Days) * 24 * time.Hour
	p.backdate = d
	return nil
}

func (p *Profile) setAlgorithms(b *builtin, c *ProfileConfig) error {
	for i, a := range c.Algorithms {
		if !slices.Contains(b.algorithms, a) || slices.Contains(c.Algorithms[:i], a) {
			return setting("algorithms", fmt.Sprintf("%q", clip(a)), strings.Join(b.algorithms, ", ")+", each once")
		}
	}
	if len(c.Algorithms) == 0 {
		return setting("algorithms", "an empty list", strings.Join(b.algorithms, ", "))
	}
	p.algorithms = slices.Clone(c.Algorithms)
	return nil
}

func (p *Profile) setSubject(b *builtin, c *ProfileConfig) error {
	for i := range subjectFields {
		f := &subjectFields[i]
		text := *f.in(&c.Subject)
		if text == "" {
			if slices.Contains(b.needs, f.key) {
				return setting("subject."+f.key, "it is empty, and "+b.name+" needs it", f.allowed)
			}
			continue
		}
		t, err := parseTemplate(text, f.check)
		if err != nil {
			return setting("subject."+f.key, err.Error(), f.allowed)
		}
		if err := b.checkFixed(f.key, t); err != nil {
			return err
		}
		p.subject = append(p.subject, subjectTemplate{f, t})
	}
	// A name that is the same for every device identifies none.
	for _, key := range append([]string{"common_name"}, b.needs...) {
		text := *subjectFieldNamed(key).in(&c.Subject)
		if t, err := parseTemplate(text, nil); err != nil || t.constant() {
			return setting("subject."+key, fmt.Sprintf("%q is the same for every unit", clip(text)),
				"a template with {serial}, {uid} or another variable")
		}
	}
	return nil
}

// checkFixed looks at the text around a template's variables, which a service
// may refuse whatever the unit is.
func (b *builtin) checkFixed(key string, t template) error {
	for _, rule := range b.names {
		for _, part := range t {
			bad := strings.IndexFunc(part.literal, func(r rune) bool { return !rule.chars(r) })
			if rule.key == key && bad >= 0 {
				return setting("subject."+key, fmt.Sprintf("%q is not allowed by %s", clip(part.literal), b.name), rule.allowed)
			}
		}
	}
	return nil
}

func (p *Profile) setSAN(_ *builtin, c *ProfileConfig) error {
	for _, l := range []struct {
		key, allowed string
		texts        []string
		check        func(string) error
		out          *[]template
	}{
		{"san.dns", "up to 8 templates of host names", c.SAN.DNS, checkDNS, &p.dns},
		{"san.uri", "up to 8 templates of URIs with a scheme", c.SAN.URI, checkURI, &p.uri},
	} {
		if len(l.texts) > 8 {
			return setting(l.key, fmt.Sprintf("%d names", len(l.texts)), l.allowed)
		}
		for _, text := range l.texts {
			t, err := parseTemplate(text, l.check)
			if err != nil {
				return setting(l.key, err.Error(), l.allowed)
			}
			*l.out = append(*l.out, t)
		}
	}
	return nil
}

// setHardware takes the parts of a hardwareModuleName (RFC 4108 5, IEEE 802.1AR).
func (p *Profile) setHardware(_ *builtin, c *ProfileConfig) error {
	kind, serial := c.SAN.HardwareType, c.SAN.HardwareSerial
	switch {
	case kind == "" && serial == "":
		return nil
	case serial == "":
		return setting("san.hardware_type", "it stands without san.hardware_serial", "both or neither")
	case kind == "":
		return setting("san.hardware_serial", "it stands without san.hardware_type", "both or neither")
	}
	oid, err := parseOID(kind)
	if err != nil {
		return setting("san.hardware_type", fmt.Sprintf("%q: %v", clip(kind), err), "an object identifier of the maker")
	}
	const allowed = "a template with {serial}, {uid} or another variable, filled up to 64 bytes"
	t, err := parseTemplate(serial, textUpTo(64))
	if err != nil {
		return setting("san.hardware_serial", err.Error(), allowed)
	}
	if t.constant() {
		return setting("san.hardware_serial", fmt.Sprintf("%q is the same for every unit", clip(serial)), allowed)
	}
	p.hardware = &hardwareName{oid, t}
	return nil
}

// setExtensions takes extensions nobody else here writes: id-ce (2.5.29) and
// id-pe (1.3.6.1.5.5.7.1) are the profile's own business.
func (p *Profile) setExtensions(_ *builtin, c *ProfileConfig) error {
	if len(c.Extension) > 8 {
		return setting("extension", fmt.Sprintf("%d extensions", len(c.Extension)), "up to 8")
	}
	for n, e := range c.Extension {
		oid, err := parseOID(e.OID)
		if err != nil {
			return settingError{
				"extension.oid", fmt.Sprintf("%q: %v", clip(e.OID), err),
				"an object identifier outside 2.5.29 and 1.3.6.1.5.5.7.1, each once", n,
			}
		}
		if slices.ContainsFunc(p.extensions, func(x pkix.Extension) bool { return x.Id.Equal(oid) }) {
			return settingError{"extension.oid", e.OID + " stands twice", "each once", n}
		}
		value, err := hex.DecodeString(e.Value)
		if rest := cryptobyte.String(value); err != nil || len(value) > 512 ||
			!rest.ReadAnyASN1Element(new(cryptobyte.String), nil) || !rest.Empty() {
			return settingError{"extension.value", fmt.Sprintf("%q", clip(e.Value)), "one DER element in hex, up to 512 bytes", n}
		}
		p.extensions = append(p.extensions, pkix.Extension{Id: oid, Value: value})
	}
	return nil
}
