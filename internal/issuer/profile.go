// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"time"
)

// ProfileConfig is what a profile file says, with every default filled in from
// its base. Templates are text with {serial}, {uid}, {model} or any column of
// the unit list in braces; {serial|lower} is the same in small letters.
type ProfileConfig struct {
	Base       string            `toml:"base" json:"base"`             // built-in profile whose values stand where the file says nothing
	Days       int               `toml:"days" json:"days"`             // lifetime from notBefore to notAfter; 0 where the base has no expiry
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
	DNQualifier        string `toml:"dn_qualifier" json:"dn_qualifier"`
}

// SANConfig holds the templates of subjectAltName (RFC 5280 4.2.1.6).
type SANConfig struct {
	DNS []string `toml:"dns" json:"dns"`
	URI []string `toml:"uri" json:"uri"`
	// A hardwareModuleName (RFC 4108 5) as otherName: both or neither.
	HardwareType   string `toml:"hardware_type" json:"hardware_type"`     // hwType, an object identifier of the maker
	HardwareSerial string `toml:"hardware_serial" json:"hardware_serial"` // template of hwSerialNum
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
	base       *builtin
	canonical  []byte
	lifetime   time.Duration // 0: without expiry
	backdate   time.Duration
	algorithms []string
	subject    []subjectTemplate
	dns, uri   []template
	hardware   *hardwareName
	extensions []pkix.Extension
}

// hardwareName is how a hardwareModuleName is made.
type hardwareName struct {
	kind   asn1.ObjectIdentifier
	serial template
}

// subjectTemplate is a field of the subject that is present.
type subjectTemplate struct {
	*subjectField
	template template
}

// Name is the file's name without folder and ending.
func (p *Profile) Name() string { return p.name }

// Canonical is the profile's effective settings, defaults filled in, as one
// line of JSON. Comments and order of the file do not show in it.
func (p *Profile) Canonical() []byte { return slices.Clone(p.canonical) }

// Digest is the SHA-256 of [Profile.Canonical].
func (p *Profile) Digest() [32]byte { return sha256.Sum256(p.canonical) }

// Base is the name of the built-in profile this one builds on.
func (p *Profile) Base() string { return p.base.name }

// Purpose says in a few words what certificates of this profile are for.
func (p *Profile) Purpose() string { return p.base.purpose }

// Expires says whether certificates of this profile end at all: if not, their
// notAfter is 99991231235959Z (RFC 5280 4.1.2.5) and so must be their issuers'.
func (p *Profile) Expires() bool { return p.lifetime != 0 }

// Backdate is how long before the moment of issuing validity begins.
func (p *Profile) Backdate() time.Duration { return p.backdate }

// SubjectFields are the keys of the fields that every subject of this profile has.
func (p *Profile) SubjectFields() []string {
	var keys []string
	for _, s := range p.subject {
		keys = append(keys, s.key)
	}
	return keys
}

// Lifetime is how long a certificate of this profile is valid; 0: without expiry.
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
	if p.hardware != nil {
		all = append(all, p.hardware.serial)
	}
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
		for _, rule := range p.base.names {
			if err == nil && rule.key == key {
				err = rule.check(v)
			}
		}
		if err != nil {
			return "", fmt.Errorf("profile %s: subject.%s: %w", p.name, key, err)
		}
		return v, nil
	}
	return "", nil
}
