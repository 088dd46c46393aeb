// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Field is one thing that a certificate says, under the name that openssl gives it.
type Field struct {
	Name     string `json:"name"`
	Critical bool   `json:"critical,omitempty"`
	Value    string `json:"value"`
}

// Fields reads a device's certificate for people: every field in its order,
// worded as `openssl x509 -text` does, so that both can be laid side by side.
// Extensions without a wording of their own are shown in hex.
func Fields(c *x509.Certificate) []Field {
	all := []Field{
		{Name: "Version", Value: fmt.Sprintf("%d (0x%x)", c.Version, c.Version-1)},
		{Name: "Serial Number", Value: octets(c.SerialNumber.Bytes(), strings.ToLower)},
		{Name: "Signature Algorithm", Value: signatureWords(c.SignatureAlgorithm)},
		{Name: "Issuer", Value: nameWords(c.RawIssuer)},
		{Name: "Not Before", Value: c.NotBefore.UTC().Format(dateWords)},
		{Name: "Not After", Value: c.NotAfter.UTC().Format(dateWords)},
		{Name: "Subject", Value: nameWords(c.RawSubject)},
		{Name: "Public Key", Value: keyWords(c)},
	}
	for _, e := range c.Extensions {
		all = append(all, extensionField(c, e))
	}
	return all
}

// dateWords is how openssl writes a moment.
const dateWords = "Jan _2 15:04:05 2006 GMT"

func signatureWords(a x509.SignatureAlgorithm) string {
	switch a {
	case x509.ECDSAWithSHA256:
		return "ecdsa-with-SHA256"
	case x509.ECDSAWithSHA384:
		return "ecdsa-with-SHA384"
	}
	return a.String()
}

func keyWords(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return fmt.Sprintf("id-ecPublicKey (%d bit) %s", k.Params().BitSize, k.Params().Name)
	case *rsa.PublicKey:
		return fmt.Sprintf("rsaEncryption (%d bit) Exponent: %d (0x%x)", k.N.BitLen(), k.E, k.E)
	case ed25519.PublicKey:
		return "ED25519"
	}
	return c.PublicKeyAlgorithm.String()
}

var attributeWords = map[string]string{
	"2.5.4.3": "CN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
	"2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.46": "dnQualifier",
}

// nameWords is a Name in its encoded order, not backwards as RFC 4514 has it.
func nameWords(der []byte) string {
	values, ok := splitName(der)
	if !ok {
		return hex.EncodeToString(der)
	}
	parts := make([]string, len(values))
	for i, v := range values {
		name := attributeWords[v.oid]
		if name == "" {
			name = v.oid
		}
		parts[i] = name + "=" + v.value
	}
	return strings.Join(parts, ", ")
}

func octets(b []byte, wording func(string) string) string {
	parts := make([]string, len(b))
	for i, x := range b {
		parts[i] = wording(fmt.Sprintf("%02X", x))
	}
	return strings.Join(parts, ":")
}

func extensionField(c *x509.Certificate, e pkix.Extension) Field {
	f := Field{Name: e.Id.String(), Critical: e.Critical, Value: hex.EncodeToString(e.Value)}
	upper := strings.ToUpper
	switch f.Name {
	case "2.5.29.14":
		f.Name, f.Value = "X509v3 Subject Key Identifier", octets(c.SubjectKeyId, upper)
	case "2.5.29.15":
		f.Name, f.Value = "X509v3 Key Usage", usageWords(c.KeyUsage)
	case "2.5.29.17":
		f.Name, f.Value = "X509v3 Subject Alternative Name", alternativeWords(e.Value)
	case "2.5.29.35":
		f.Name, f.Value = "X509v3 Authority Key Identifier", octets(c.AuthorityKeyId, upper)
	case "2.5.29.37":
		f.Name, f.Value = "X509v3 Extended Key Usage", extendedWords(c)
	}
	return f
}

func usageWords(u x509.KeyUsage) string {
	var words []string
	for i, w := range []string{
		"Digital Signature", "Non Repudiation", "Key Encipherment", "Data Encipherment", "Key Agreement",
		"Certificate Sign", "CRL Sign", "Encipher Only", "Decipher Only",
	} {
		if u&(1<<i) != 0 {
			words = append(words, w)
		}
	}
	return strings.Join(words, ", ")
}

func extendedWords(c *x509.Certificate) string {
	var words []string
	for _, u := range c.ExtKeyUsage {
		switch u {
		case x509.ExtKeyUsageClientAuth:
			words = append(words, "TLS Web Client Authentication")
		case x509.ExtKeyUsageServerAuth:
			words = append(words, "TLS Web Server Authentication")
		default:
			words = append(words, u.String())
		}
	}
	for _, oid := range c.UnknownExtKeyUsage {
		words = append(words, oid.String())
	}
	return strings.Join(words, ", ")
}

// alternativeWords reads GeneralNames (RFC 5280 4.2.1.6), a hardwareModuleName
// among them.
func alternativeWords(value []byte) string {
	var names cryptobyte.String
	in := cryptobyte.String(value)
	if !in.ReadASN1(&names, cbasn1.SEQUENCE) || !in.Empty() {
		return hex.EncodeToString(value)
	}
	var words []string
	for !names.Empty() {
		var (
			name cryptobyte.String
			tag  cbasn1.Tag
		)
		if !names.ReadAnyASN1(&name, &tag) {
			return hex.EncodeToString(value)
		}
		switch tag {
		case cbasn1.Tag(2).ContextSpecific():
			words = append(words, "DNS:"+string(name))
		case cbasn1.Tag(6).ContextSpecific():
			words = append(words, "URI:"+string(name))
		case cbasn1.Tag(0).ContextSpecific().Constructed():
			words = append(words, "otherName:"+hardwareWords(name))
		default:
			words = append(words, hex.EncodeToString(name))
		}
	}
	return strings.Join(words, ", ")
}

func hardwareWords(name cryptobyte.String) string {
	raw := hex.EncodeToString(name)
	var (
		id, kind              asn1.ObjectIdentifier
		explicit, body, value cryptobyte.String
	)
	if !name.ReadASN1ObjectIdentifier(&id) || !id.Equal(oidHardwareModuleName) ||
		!name.ReadASN1(&explicit, cbasn1.Tag(0).ContextSpecific().Constructed()) ||
		!explicit.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1ObjectIdentifier(&kind) ||
		!body.ReadASN1(&value, cbasn1.OCTET_STRING) {
		return raw
	}
	return fmt.Sprintf("hardwareModuleName hwType %s hwSerialNum %q", kind, string(value))
}

// Words says in a few lines what a certificate of this profile means for a unit.
func (p *Profile) Words(c *x509.Certificate) []Field {
	usage := "signatures only"
	if len(c.ExtKeyUsage) > 0 {
		usage += ", as a TLS client"
	} else {
		usage += ", for any purpose"
	}
	valid := fmt.Sprintf("%s to %s (%d days, begun %s before the moment of issuing)",
		c.NotBefore.UTC().Format(time.DateTime), c.NotAfter.UTC().Format(time.DateTime), int(p.lifetime.Hours())/24, p.backdate)
	if !p.Expires() {
		valid = fmt.Sprintf("%s, and without end (99991231235959Z)", c.NotBefore.UTC().Format(time.DateTime))
	}
	words := []Field{
		{Name: "for", Value: p.Purpose()},
		{Name: "subject", Value: nameWords(c.RawSubject)},
	}
	for _, e := range c.Extensions {
		if e.Id.Equal(oidSubjectAltName) {
			words = append(words, Field{Name: "also named", Value: alternativeWords(e.Value)})
		}
	}
	words = append(words,
		Field{Name: "valid", Value: valid},
		Field{Name: "key", Value: keyWords(c) + "; allowed: " + strings.Join(p.algorithms, ", ")},
		Field{Name: "good for", Value: usage},
		Field{Name: "issued by", Value: nameWords(c.RawIssuer) + ", " + signatureWords(c.SignatureAlgorithm)},
	)
	for _, e := range p.extensions {
		words = append(words, Field{Name: "extension " + e.Id.String(), Value: hex.EncodeToString(e.Value)})
	}
	return words
}
