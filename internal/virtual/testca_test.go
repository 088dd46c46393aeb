// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"testing"
	"time"
)

// scalarOf returns the private scalar that label stands for, the same on every
// machine: its SHA-256, which is below the order of P-256 and P-384 but for a
// chance nobody will see.
func scalarOf(label string) []byte {
	d := sha256.Sum256([]byte("station vectors: " + label))
	return d[:]
}

func p256(t testing.TB, label string) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalarOf(label))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func p384(t testing.TB, label string) *ecdsa.PrivateKey {
	t.Helper()
	d := append(make([]byte, 16), scalarOf(label)...)
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P384(), d)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ed(label string) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(scalarOf(label)) }

// rsaKey finds two primes from label alone, so that the vectors do not depend
// on how a version of Go searches for them.
func rsaKey(t testing.TB, label string, bits int) *rsa.PrivateKey {
	t.Helper()
	e := big.NewInt(65537)
	one := big.NewInt(1)
	prime := func(name string) *big.Int {
		var raw []byte
		for i := 0; len(raw)*8 < bits/2; i++ {
			raw = append(raw, scalarOf(fmt.Sprint(label, name, i))...)
		}
		raw[0] |= 0xc0 // so that the product has all its bits
		p := new(big.Int).SetBytes(raw[:bits/16])
		p.SetBit(p, 0, 1)
		for !p.ProbablyPrime(20) || new(big.Int).Mod(new(big.Int).Sub(p, one), e).Sign() == 0 {
			p.Add(p, big.NewInt(2))
		}
		return p
	}
	p, q := prime("p"), prime("q")
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537},
		D:         new(big.Int).ModInverse(e, phi), Primes: []*big.Int{p, q},
	}
	key.Precompute()
	if err := key.Validate(); err != nil {
		t.Fatal(err)
	}
	return key
}

// repeatable signs without randomness: ECDSA after RFC 6979, which crypto/ecdsa
// does when it is given no source.
type repeatable struct{ crypto.Signer }

func (r repeatable) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, ok := r.Signer.(*rsa.PrivateKey); ok {
		return r.Signer.Sign(rand.Reader, digest, opts) // blinding only
	}
	return r.Signer.Sign(nil, digest, opts)
}

// A node is a certificate authority, or a leaf, of the test hierarchy.
type node struct {
	cert *x509.Certificate
	der  []byte
	key  crypto.Signer
}

// caTemplate is an authority without a path length.
func caTemplate(cn string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(scalarOf("serial " + cn)[:8]),
		Subject:               pkix.Name{CommonName: cn},
		NotBefore:             time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLen:            -1,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func leafTemplate(cn string) *x509.Certificate {
	c := caTemplate(cn)
	c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return c
}

// issue makes a certificate for key; a nil issuer makes it self-signed.
func issue(t testing.TB, template *x509.Certificate, key crypto.Signer, issuer *node) *node {
	t.Helper()
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.cert, issuer.key
	}
	der, err := x509.CreateCertificate(nil, template, parent, key.Public(), repeatable{signer})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &node{cert: cert, der: der, key: key}
}
