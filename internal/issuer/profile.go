// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// ProfileConfig is what a profile file says, with every default filled in from
// its base. Templates are text with {serial}, {uid}, {model} or any column of
// the unit list in braces.
type ProfileConfig struct {
	Base       string            `toml:"base" json:"base"`             // built-in profile whose values stand where the file says nothing
	Days       int               `toml:"days" json:"days"`             // lifetime from notBefore to notAfter
	Backdate   string            `toml:"backdate" json:"backdate"`     // how long before now notBefore lies, for clocks that are behind
	Algorithms []string          `toml:"algorithms" json:"algorithms"` // keys a device may have
	Subject    SubjectConfig     `toml:"subject" json:"subject"`
	SAN        SANConfig         `toml:"san" json:"san"`
	Extension  []ExtensionConfig `toml:"extension" json:"extension"`
}

// SubjectConfig holds the templates of the subject (RFC 5280 4.1.2.6 and upper
// bounds of appendix A.1). Empty means absent; only common_name must be there.
type SubjectConfig struct {
	Country            string `toml:"country" json:"country"`
	Organization       string `toml:"organization" json:"organization"`
	OrganizationalUnit string `toml:"organizational_unit" json:"organizational_unit"`
	State              string `toml:"state" json:"state"`
	Locality           string `toml:"locality" json:"locality"`
	CommonName         string `toml:"common_name" json:"common_name"`
	SerialNumber       string `toml:"serial_number" json:"serial_number"`
}

// SANConfig holds the templates of subjectAltName (RFC 5280 4.2.1.6).
type SANConfig struct {
	DNS []string `toml:"dns" json:"dns"`
	URI []string `toml:"uri" json:"uri"`
}

// ExtensionConfig is one more extension, not critical, with a fixed value.
type ExtensionConfig struct {
	OID   string `toml:"oid" json:"oid"`
	Value string `toml:"value" json:"value"` // one DER element in hex
}

// Unit is the device a certificate is for: what templates are filled from.
type Unit struct {
	Serial string            // serial number as scanned or assigned
	UID    string            // silicon identity, lower-case hex
	Model  string            // as the board says it
	Vars   map[string]string // further columns of the unit list
}

// Profile is a set of validated rules for certificates. It cannot be wrong: it
// comes only from [NewProfile], [ParseProfile] and [BuiltinProfile].
type Profile struct {
	name       string
	canonical  []byte
	lifetime   time.Duration
	backdate   time.Duration
	algorithms []string
	subject    []subjectTemplate
	dns, uri   []template
	extensions []pkix.Extension
	keyUsage   x509.KeyUsage
	extUsage   []x509.ExtKeyUsage
}

// subjectTemplate is a field of the subject that is present.
type subjectTemplate struct {
	*subjectField
	template template
}

// builtin is the table of built-in profiles: their defaults, and what a file
// cannot change.
type builtin struct {
	name             string
	minDays, maxDays int
	keyUsage         x509.KeyUsage
	extUsage         []x509.ExtKeyUsage
	config           func() ProfileConfig
}

var builtins = []builtin{{
	name: "mtls", minDays: 90, maxDays: 365,
	// TLS 1.3 client: only a signature is ever made (RFC 8446 4.4.2.4, RFC 5280 4.2.1.12).
	keyUsage: x509.KeyUsageDigitalSignature,
	extUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	config: func() ProfileConfig {
		return ProfileConfig{
			Base: "mtls", Days: 365, Backdate: "1h",
			Algorithms: []string{"ES256", "ES384", "EdDSA", "RS256"},
			Subject:    SubjectConfig{CommonName: "{serial}"},
		}
	},
}}

func builtinNamed(name string) *builtin {
	for i := range builtins {
		if builtins[i].name == name {
			return &builtins[i]
		}
	}
	return nil
}

func builtinNames() string {
	names := make([]string, len(builtins))
	for i, b := range builtins {
		names[i] = b.name
	}
	return strings.Join(names, ", ")
}

// BuiltinProfile returns a built-in profile; "mtls" is for TLS clients.
func BuiltinProfile(name string) (*Profile, error) {
	b := builtinNamed(name)
	if b == nil {
		return nil, fmt.Errorf("profile %q is not built in; allowed: %s", clip(name), builtinNames())
	}
	return NewProfile(name, b.config())
}

// DefaultConfig returns the settings of a built-in profile, to be changed and
// given to [NewProfile].
func DefaultConfig(name string) (ProfileConfig, error) {
	b := builtinNamed(name)
	if b == nil {
		return ProfileConfig{}, fmt.Errorf("profile %q is not built in; allowed: %s", clip(name), builtinNames())
	}
	return b.config(), nil
}

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
	p := &Profile{name: name, keyUsage: b.keyUsage, extUsage: b.extUsage}
	for _, set := range []func(*builtin, *ProfileConfig) error{
		p.setValidity, p.setAlgorithms, p.setSubject, p.setSAN, p.setExtensions,
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

// Name is the file's name without folder and ending.
func (p *Profile) Name() string { return p.name }

// Canonical is the profile's effective settings, defaults filled in, as one
// line of JSON. Comments and order of the file do not show in it.
func (p *Profile) Canonical() []byte { return slices.Clone(p.canonical) }

// Digest is the SHA-256 of [Profile.Canonical].
func (p *Profile) Digest() [32]byte { return sha256.Sum256(p.canonical) }

// Lifetime is how long a certificate of this profile is valid.
func (p *Profile) Lifetime() time.Duration { return p.lifetime }

// Algorithms are the kinds of key a device may have.
func (p *Profile) Algorithms() []string { return slices.Clone(p.algorithms) }

// Variables are the names, sorted, of what a unit must have besides serial,
// uid and model.
func (p *Profile) Variables() []string {
	var all []template
	for _, s := range p.subject {
		all = append(all, s.template)
	}
	all = append(append(all, p.dns...), p.uri...)
	var names []string
	for _, t := range all {
		for _, part := range t {
			if part.variable != "" && !slices.Contains(unitVariables, part.variable) {
				names = append(names, part.variable)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// SubjectCN is the common name of a unit's certificate: what the board is
// asked to put in its request.
func (p *Profile) SubjectCN(u Unit) (string, error) { return p.subjectValue("common_name", u) }

// SubjectSN is the serialNumber of a unit's subject; empty: the profile has none.
func (p *Profile) SubjectSN(u Unit) (string, error) { return p.subjectValue("serial_number", u) }

func (p *Profile) subjectValue(key string, u Unit) (string, error) {
	for _, s := range p.subject {
		if s.key != key {
			continue
		}
		v, err := s.template.expand(u)
		if err == nil {
			err = s.check(v)
		}
		if err != nil {
			return "", fmt.Errorf("profile %s: subject.%s: %w", p.name, key, err)
		}
		return v, nil
	}
	return "", nil
}

func (p *Profile) setValidity(b *builtin, c *ProfileConfig) error {
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

func (p *Profile) setAlgorithms(_ *builtin, c *ProfileConfig) error {
	for i, a := range c.Algorithms {
		if algorithmNamed(a) == nil || slices.Contains(c.Algorithms[:i], a) {
			return setting("algorithms", fmt.Sprintf("%q", clip(a)), algorithmNames()+", each once")
		}
	}
	if len(c.Algorithms) == 0 {
		return setting("algorithms", "an empty list", algorithmNames())
	}
	p.algorithms = slices.Clone(c.Algorithms)
	return nil
}

func (p *Profile) setSubject(_ *builtin, c *ProfileConfig) error {
	for i := range subjectFields {
		f := &subjectFields[i]
		text := *f.in(&c.Subject)
		if text == "" {
			continue
		}
		t, err := parseTemplate(text, f.check)
		if err != nil {
			return setting("subject."+f.key, err.Error(), f.allowed)
		}
		p.subject = append(p.subject, subjectTemplate{f, t})
	}
	// A name that is the same for every device identifies none.
	if t, err := parseTemplate(c.Subject.CommonName, nil); err != nil || t.constant() {
		return settingError{
			"subject.common_name", fmt.Sprintf("%q is the same for every unit", clip(c.Subject.CommonName)),
			"a template with {serial}, {uid} or another variable", 0,
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

// fill puts a unit's names into a certificate template.
func (p *Profile) fill(cert *x509.Certificate, u Unit) error {
	for _, s := range p.subject {
		v, err := p.subjectValue(s.key, u)
		if err != nil {
			return err
		}
		s.put(&cert.Subject, v)
	}
	for _, t := range p.dns {
		v, err := t.expandChecked(u, checkDNS)
		if err != nil {
			return fmt.Errorf("profile %s: san.dns: %w", p.name, err)
		}
		cert.DNSNames = append(cert.DNSNames, v)
	}
	for _, t := range p.uri {
		v, err := t.expandChecked(u, checkURI)
		if err != nil {
			return fmt.Errorf("profile %s: san.uri: %w", p.name, err)
		}
		parsed, err := url.Parse(v)
		if err != nil {
			return fmt.Errorf("profile %s: san.uri: %w", p.name, err)
		}
		cert.URIs = append(cert.URIs, parsed)
	}
	cert.ExtraExtensions = slices.Clone(p.extensions)
	return nil
}
