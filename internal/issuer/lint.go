// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// rule is one thing every device certificate must be, and who says so.
type rule struct {
	what, source string
	holds        func(l *linted) bool
}

// linted is a certificate under the eye of the rules.
type linted struct {
	*x509.Certificate
	issuer *Issuer
	spki   [32]byte
}

// rules are those of RFC 5280 and of the TLS profile for devices (RFC 7925 and
// its successor for TLS 1.3), as far as they bear on what this station issues.
var rules = []rule{
	{"version 3", "RFC 5280 4.1.2.1", func(l *linted) bool { return l.Version == 3 }},
	{"serial number positive, 8 to 20 bytes", "RFC 5280 4.1.2.2, RFC 7925 4.4.1", func(l *linted) bool {
		n := (l.SerialNumber.BitLen() + 8) / 8 // with its sign bit
		return l.SerialNumber.Sign() > 0 && n >= 8 && n <= 20
	}},
	{"the issuer's signature algorithm", "RFC 5280 4.1.2.3", func(l *linted) bool {
		return l.SignatureAlgorithm == l.issuer.scheme.algorithm
	}},
	{"the issuer's name", "RFC 5280 4.1.2.4", func(l *linted) bool {
		return bytes.Equal(l.RawIssuer, l.issuer.chain[0].RawSubject)
	}},
	{"validity inside every issuer's", "RFC 5280 6.1, house rule", (*linted).insideIssuers},
	{"a subject with a common name", "RFC 5280 4.1.2.6", func(l *linted) bool { return l.Subject.CommonName != "" }},
	{"the device's own key", "house rule", func(l *linted) bool {
		return sha256.Sum256(l.RawSubjectPublicKeyInfo) == l.spki
	}},
	{"authorityKeyIdentifier of the issuer, not critical", "RFC 5280 4.2.1.1", func(l *linted) bool {
		return bytes.Equal(l.AuthorityKeyId, l.issuer.chain[0].SubjectKeyId) && l.extension(2, 5, 29, 35) == notCritical
	}},
	{"subjectKeyIdentifier of the key, not critical", "RFC 5280 4.2.1.2, RFC 7093 2", func(l *linted) bool {
		return bytes.Equal(l.SubjectKeyId, KeyIdentifier(l.RawSubjectPublicKeyInfo)) && l.extension(2, 5, 29, 14) == notCritical
	}},
	{"keyUsage digitalSignature, critical, nothing that issues", "RFC 5280 4.2.1.3", func(l *linted) bool {
		return l.KeyUsage == x509.KeyUsageDigitalSignature && l.extension(2, 5, 29, 15) == critical
	}},
	{"not an issuer", "RFC 5280 4.2.1.9", func(l *linted) bool { return !l.IsCA }},
	{"no name constraints", "RFC 5280 4.2.1.10", func(l *linted) bool { return l.extension(2, 5, 29, 30) == absent }},
	{"no extended key usage that speaks for others", "RFC 5280 4.2.1.12", func(l *linted) bool {
		return len(l.UnknownExtKeyUsage) == 0 && !slices.ContainsFunc(l.ExtKeyUsage, func(u x509.ExtKeyUsage) bool {
			return u != x509.ExtKeyUsageClientAuth && u != x509.ExtKeyUsageServerAuth
		})
	}},
	{"no critical extension nobody understands", "RFC 5280 4.2", func(l *linted) bool {
		return len(l.UnhandledCriticalExtensions) == 0
	}},
}

// lint holds a device certificate against every rule and names the first broken one.
func (i *Issuer) lint(cert *x509.Certificate, spki [32]byte) error {
	l := &linted{cert, i, spki}
	for _, r := range rules {
		if !r.holds(l) {
			return fmt.Errorf("lint: broken rule: %s (%s)", r.what, r.source)
		}
	}
	return nil
}

func (l *linted) insideIssuers() bool {
	return l.NotBefore.Before(l.NotAfter) && !slices.ContainsFunc(l.issuer.chain, func(c *x509.Certificate) bool {
		return l.NotBefore.Before(c.NotBefore) || l.NotAfter.After(c.NotAfter)
	})
}

// presence of an extension.
type presence int

const (
	absent presence = iota
	notCritical
	critical
)

func (l *linted) extension(oid ...int) presence {
	for _, e := range l.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier(oid)) {
			continue
		}
		if e.Critical {
			return critical
		}
		return notCritical
	}
	return absent
}

// Lint holds a certificate, or a draft of one, against its profile: the lifetime
// and usage it promises, every extension it names, and what the service it is
// for demands.
func (p *Profile) Lint(cert *x509.Certificate) error {
	if err := p.lintValidity(cert); err != nil {
		return err
	}
	if cert.KeyUsage != p.base.keyUsage || !slices.Equal(cert.ExtKeyUsage, p.base.extUsage) {
		return fmt.Errorf("lint: key usage is not that of profile %s", p.name)
	}
	for _, e := range p.extensions {
		found := slices.ContainsFunc(cert.Extensions, func(x pkix.Extension) bool {
			return x.Id.Equal(e.Id) && bytes.Equal(x.Value, e.Value)
		})
		if !found {
			return fmt.Errorf("lint: extension %s with %s is missing", e.Id, hex.EncodeToString(e.Value))
		}
	}
	l := &linted{Certificate: cert}
	for _, r := range p.base.rules {
		if !r.holds(l) {
			return fmt.Errorf("lint: broken rule of profile %s: %s (%s)", p.base.name, r.what, r.source)
		}
	}
	return nil
}

func (p *Profile) lintValidity(cert *x509.Certificate) error {
	life := cert.NotAfter.Sub(cert.NotBefore) + time.Second
	switch {
	case p.Expires() && life != p.lifetime:
		return fmt.Errorf("lint: lifetime %v; profile %s says %v", life, p.name, p.lifetime)
	case !p.Expires() && !cert.NotAfter.Equal(noExpiry):
		return fmt.Errorf("lint: it ends at %s; profile %s says never", cert.NotAfter.Format(time.RFC3339), p.name)
	}
	return nil
}
