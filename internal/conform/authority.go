// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// An Authority is a certificate with its key, to make test chains with.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// NewAuthority returns the test root that a board's firmware pins. The error
// says what keeps it from signing chains.
func NewAuthority(cert *x509.Certificate, key crypto.Signer) (*Authority, error) {
	type comparable interface{ Equal(crypto.PublicKey) bool }
	pub, ok := key.Public().(comparable)
	switch {
	case !ok || !pub.Equal(cert.PublicKey):
		return nil, fmt.Errorf("%w: the key is not that of its certificate", ErrAuthority)
	case !cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, fmt.Errorf("%w: its certificate may not sign certificates", ErrAuthority)
	}
	return &Authority{cert, key}, nil
}

// keyMakers make keys by the protocol's names of algorithms, in the order in
// which they are preferred here.
var keyMakers = []struct {
	name string
	make func() (crypto.Signer, error)
}{
	{"ES256", func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }},
	{"ES384", func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) }},
	{"EdDSA", func() (crypto.Signer, error) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}},
	{"RS256", func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }},
}

// algorithmOf names the algorithm that x509 signs with by this key.
func algorithmOf(pub crypto.PublicKey) string {
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return "ES256"
		case elliptic.P384():
			return "ES384"
		}
	case ed25519.PublicKey:
		return "EdDSA"
	case *rsa.PublicKey:
		return "RS256"
	}
	return ""
}

// newKey makes a key whose signatures the board can check.
func (b *bench) newKey() (crypto.Signer, error) {
	for _, m := range keyMakers {
		if slices.Contains(b.facts.Verify, m.name) {
			return m.make()
		}
	}
	return nil, unchecked("info names no signature algorithm that the board can check")
}

// caTemplate is an authority without a path length.
func caTemplate(cn string) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: cn}, IsCA: true, BasicConstraintsValid: true, MaxPathLen: -1,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func leafTemplate() *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: "unit"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// sign makes a certificate for pub, by a or, where a is nil, by own itself.
func sign(a *Authority, t *x509.Certificate, pub crypto.PublicKey, own crypto.Signer) (*x509.Certificate, error) {
	t.SerialNumber = new(big.Int).SetBytes(sum(fmt.Append(nil, random32()))[:8])
	t.NotBefore, t.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := t, own
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, pub, signer)
	if err != nil {
		return nil, fmt.Errorf("make a test certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// authority makes a new authority under a, nil for a root.
func (b *bench) authority(a *Authority, t *x509.Certificate) (*Authority, error) {
	key, err := b.newKey()
	if err != nil {
		return nil, err
	}
	cert, err := sign(a, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &Authority{cert, key}, nil
}

// leaf makes a certificate for the board's key.
func (b *bench) leaf(a *Authority) (*x509.Certificate, error) {
	if b.pub == nil {
		return nil, unchecked("the board's public key is not known")
	}
	return sign(a, leafTemplate(), b.pub, nil)
}

// accepted makes a chain that this board must accept, DER, leaf first: with an
// intermediate where the root allows one.
func (b *bench) accepted() ([][]byte, error) {
	issuer := b.root
	var certs [][]byte
	if r := b.root.cert; r.MaxPathLen != 0 || !r.MaxPathLenZero {
		var err error
		if issuer, err = b.authority(b.root, caTemplate("Test issuing")); err != nil {
			return nil, err
		}
		certs = [][]byte{issuer.cert.Raw}
	}
	leaf, err := b.leaf(issuer)
	if err != nil {
		return nil, err
	}
	return append([][]byte{leaf.Raw}, certs...), nil
}

// chooseRoot decides which root leads to acceptance on this board.
func (b *bench) chooseRoot() error {
	var err error
	if b.throw, err = b.authority(nil, caTemplate("Test root")); err != nil {
		var not *uncheckedError
		if errors.As(err, &not) {
			return nil // the check of info tells what is missing
		}
		return err
	}
	given := b.cfg.Authority
	switch {
	case given == nil && b.facts.Root == nil:
		b.root = b.throw
	case given == nil:
	case b.facts.Root != nil && string(sum(given.cert.Raw)) != string(b.facts.Root):
		return fmt.Errorf("%w: the board pins a root with digest %x, the one given has %x", ErrAuthority, b.facts.Root, sum(given.cert.Raw))
	case !slices.Contains(b.facts.Verify, algorithmOf(given.cert.PublicKey)):
		return fmt.Errorf("%w: the board does not check signatures of its key, only of %v", ErrAuthority, b.facts.Verify)
	default:
		b.root = given
	}
	return nil
}
