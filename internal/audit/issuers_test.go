// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"
)

// TestManyIssuers: who wants the auditor to be busy for days sends many certificates of one key that all issued each other.
func TestManyIssuers(t *testing.T) {
	newKey := func() *ecdsa.PrivateKey {
		t.Helper()
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	issue := func(n int64, name string, key *ecdsa.PrivateKey) *x509.Certificate {
		t.Helper()
		template := &x509.Certificate{
			SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
			SubjectKeyId: []byte(name), AuthorityKeyId: []byte(name),
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	c := newCertificates(issue(1, "root", newKey()), nil)
	key := newKey()
	for n := range int64(200) {
		c.add(issue(n, "busy", key))
	}
	for range 2 {
		if paths, err := c.paths("62757379"); err == nil {
			t.Fatalf("proven: %v", paths)
		}
	}
	if most := maxSameKey * (maxSameKey + 1); c.checks > most {
		t.Fatalf("%d signatures checked, at most %d are needed", c.checks, most)
	}
}
