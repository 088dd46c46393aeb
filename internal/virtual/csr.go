// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"crypto"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"io"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	oidCommonName        = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidSerialNumber      = asn1.ObjectIdentifier{2, 5, 4, 5}
	oidOrganization      = asn1.ObjectIdentifier{2, 5, 4, 10}
	oidChallengePassword = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}
	oidUnstructuredName  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 2}
)

// A csrRequest is what goes into a PKCS#10 request. The protocol knows the
// first three fields; the others exist for boards that lie.
type csrRequest struct {
	cn           string
	sn           string // "" is left out
	nonce        [32]byte
	organization string // a third RDN, against the protocol
	unstructured string // a second attribute, against the protocol
	password     password
}

// password is how the nonce stands in a request.
type password uint8

const (
	passwordOnce password = iota // as the protocol has it
	passwordMissing
	passwordTwice
	passwordPrintable // in the wrong string type
)

// csrTBS returns the CertificationRequestInfo (RFC 2986, section 4.1, version
// 0): subject CN as UTF8String, then serialNumber as PrintableString where
// given, the public key, and challengePassword with the nonce in base64url
// without padding as its single attribute.
func csrTBS(r csrRequest, spki []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addRDN(b, oidCommonName, cbasn1.UTF8String, r.cn)
			if r.sn != "" {
				addRDN(b, oidSerialNumber, cbasn1.PrintableString, r.sn)
			}
			if r.organization != "" {
				addRDN(b, oidOrganization, cbasn1.UTF8String, r.organization)
			}
		})
		b.AddBytes(spki)
		b.AddASN1(cbasn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
			// DER sorts a SET OF by encoding: the shorter attribute is first.
			if r.unstructured != "" {
				addAttribute(b, oidUnstructuredName, cbasn1.UTF8String, r.unstructured)
			}
			tag, times := cbasn1.UTF8String, map[password]int{passwordMissing: 0, passwordOnce: 1, passwordTwice: 2, passwordPrintable: 1}[r.password]
			if r.password == passwordPrintable {
				tag = cbasn1.PrintableString
			}
			for range times {
				addAttribute(b, oidChallengePassword, tag, base64.RawURLEncoding.EncodeToString(r.nonce[:]))
			}
		})
	})
	tbs, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode certification request: %w", err)
	}
	return tbs, nil
}

func addRDN(b *cryptobyte.Builder, oid asn1.ObjectIdentifier, tag cbasn1.Tag, value string) {
	b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oid)
			b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(value)) })
		})
	})
}

func addAttribute(b *cryptobyte.Builder, oid asn1.ObjectIdentifier, tag cbasn1.Tag, value string) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
			b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(value)) })
		})
	})
}

// signCSR wraps tbs and its signature by key into a CertificationRequest.
func signCSR(rand io.Reader, alg *algorithm, key crypto.Signer, tbs []byte) ([]byte, error) {
	sig, err := alg.sign(rand, key, tbs)
	if err != nil {
		return nil, fmt.Errorf("sign certification request: %w", err)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(alg.oid)
			if alg.null {
				b.AddASN1NULL()
			}
		})
		b.AddASN1BitString(sig)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode certification request: %w", err)
	}
	return der, nil
}
