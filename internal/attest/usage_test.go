// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"
	"time"

	"provisioning.example/station/internal/attest"
)

// TestUsage: a vendor's root vouches for other things than endorsement keys,
// too. Who holds the key of such a certificate opens what is sealed to it, in
// software.
func TestUsage(t *testing.T) {
	a := openArchive(t)
	vendor, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	certify := func(c *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
		c.NotBefore, c.NotAfter = now.Add(-time.Hour), now.Add(time.Hour)
		parent := &x509.Certificate{Subject: pkix.Name{CommonName: "vendor"}, SubjectKeyId: []byte{1}}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, public, vendor)
		if err != nil {
			t.Fatal(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	root := certify(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "vendor"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, vendor.Public())
	roots := x509.NewCertPool()
	roots.AddCert(root)
	endorses := asn1.ObjectIdentifier{2, 23, 133, 8, 1}
	attests := asn1.ObjectIdentifier{2, 23, 133, 8, 3}
	for name, c := range map[string]struct {
		cert *x509.Certificate
		want error
	}{
		"as vendors do":       {&x509.Certificate{KeyUsage: x509.KeyUsageKeyEncipherment, UnknownExtKeyUsage: []asn1.ObjectIdentifier{endorses}}, nil},
		"for an elliptic key": {&x509.Certificate{KeyUsage: x509.KeyUsageKeyAgreement, UnknownExtKeyUsage: []asn1.ObjectIdentifier{endorses}}, nil},
		"among others":        {&x509.Certificate{UnknownExtKeyUsage: []asn1.ObjectIdentifier{attests, endorses}}, nil},
		"that says nothing":   {&x509.Certificate{}, nil}, // as of old chips
		"a TLS client's":      {&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, attest.ErrUsage},
		"for any use":         {&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}, attest.ErrUsage},
		"an attestation key's": {
			&x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, UnknownExtKeyUsage: []asn1.ObjectIdentifier{attests}}, attest.ErrUsage,
		},
		"one that signs": {&x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, UnknownExtKeyUsage: []asn1.ObjectIdentifier{endorses}}, attest.ErrUsage},
	} {
		c.cert.SerialNumber = big.NewInt(2)
		cert := certify(c.cert, a.ek.PublicKey())
		err := attest.CheckEK(cert, a.ek, nil, roots, nil, now)
		if c.want == nil && err != nil || !errors.Is(err, c.want) {
			t.Errorf("a certificate %s: %v, want %v", name, err, c.want)
		}
		if err := attest.CheckEK(cert, a.ek, nil, roots, [][32]byte{a.ek.Pin()}, now); err != nil {
			t.Errorf("a certificate %s, the key pinned: %v", name, err)
		}
	}
}
