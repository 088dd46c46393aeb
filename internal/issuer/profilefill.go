// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net/url"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

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
	if p.hardware == nil {
		return nil
	}
	san, err := p.alternativeNames(cert, u)
	if err != nil {
		return fmt.Errorf("profile %s: san.hardware_serial: %w", p.name, err)
	}
	cert.DNSNames, cert.URIs = nil, nil
	cert.ExtraExtensions = append([]pkix.Extension{san}, cert.ExtraExtensions...)
	return nil
}

var (
	oidSubjectAltName     = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidHardwareModuleName = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 4}
)

// alternativeNames is the subjectAltName with a hardwareModuleName, which
// crypto/x509 does not write (RFC 5280 4.2.1.6, RFC 4108 5):
//
//	otherName [0] { type-id id-on-hardwareModuleName,
//	                value [0] EXPLICIT SEQUENCE { hwType OBJECT IDENTIFIER, hwSerialNum OCTET STRING } }
func (p *Profile) alternativeNames(cert *x509.Certificate, u Unit) (pkix.Extension, error) {
	serial, err := p.hardware.serial.expandChecked(u, textUpTo(64))
	if err != nil {
		return pkix.Extension{}, err
	}
	tag := func(n uint8) cbasn1.Tag { return cbasn1.Tag(n).ContextSpecific() }
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(tag(0).Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidHardwareModuleName)
			b.AddASN1(tag(0).Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(p.hardware.kind)
					b.AddASN1OctetString([]byte(serial))
				})
			})
		})
		for _, name := range cert.DNSNames {
			addString(b, tag(2), name)
		}
		for _, uri := range cert.URIs {
			addString(b, tag(6), uri.String())
		}
	})
	der, err := b.Bytes()
	return pkix.Extension{Id: oidSubjectAltName, Value: der}, err
}
