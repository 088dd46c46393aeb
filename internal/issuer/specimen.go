// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// SpecimenConfig says what a specimen is made for.
type SpecimenConfig struct {
	// Chain is the station's, intermediate first, root last. Empty: one is made
	// up that the profile can be issued under.
	Chain []*x509.Certificate
	Alg   string    // the device's key; empty: the profile's first
	Unit  Unit      // the profile's templates are filled from it
	Now   time.Time // zero: the time it is
}

// Specimen makes the certificate that a unit would get, by the very steps of
// issuing: a request is made and checked, the certificate prepared, linted and
// signed. Every key in it is thrown away, the issuers' too, which have only the
// names and dates of the real ones: it proves nothing and is worth nothing.
//
// The errors are those that the unit would meet on the line.
func (p *Profile) Specimen(c SpecimenConfig) (*Certificate, error) {
	if c.Now.IsZero() {
		c.Now = time.Now()
	}
	if c.Alg == "" {
		c.Alg = p.algorithms[0]
	}
	if len(c.Chain) == 0 {
		c.Chain = madeUpChain(p, c.Now)
	}
	i, err := stageIssuer(c.Chain, c.Now)
	if err != nil {
		return nil, fmt.Errorf("specimen of profile %s: %w", p.name, err)
	}
	request, err := p.stageRequest(c.Alg, c.Unit)
	if err != nil {
		return nil, err
	}
	draft, err := i.Prepare(p, request, c.Unit)
	if err != nil {
		return nil, err
	}
	cert, err := i.Sign(context.Background(), draft.TBS(), draft.SPKI())
	if err != nil {
		return nil, err
	}
	return cert, p.Lint(cert.Parsed)
}

// madeUpChain is an intermediate and a root of which only names, dates and
// identifiers count: stageIssuer gives them keys.
func madeUpChain(p *Profile, now time.Time) []*x509.Certificate {
	end := noExpiry
	if p.Expires() {
		end = now.Add(p.lifetime + 365*24*time.Hour).Truncate(time.Second)
	}
	made := func(cn string, id byte) *x509.Certificate {
		return &x509.Certificate{
			Subject: pkix.Name{CommonName: cn}, SerialNumber: big.NewInt(int64(id)), SubjectKeyId: []byte{id},
			NotBefore: now.AddDate(0, 0, -2).Truncate(time.Second), NotAfter: end,
			PublicKeyAlgorithm: x509.ECDSA, PublicKey: &ecdsa.PublicKey{Curve: elliptic.P256()},
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLen: -1,
		}
	}
	return []*x509.Certificate{made("the station's intermediate", 1), made("the root", 2)}
}

// stageIssuer makes an issuer with the names, dates, identifiers and kinds of
// key of a chain, and throw-away keys.
func stageIssuer(chain []*x509.Certificate, now time.Time) (*Issuer, error) {
	made := make([]*x509.Certificate, len(chain))
	var (
		parent    *x509.Certificate
		parentKey *ecdsa.PrivateKey
	)
	for n := len(chain) - 1; n >= 0; n-- {
		from := chain[n]
		curve := elliptic.P256()
		if onCurve(from.PublicKey, elliptic.P384()) {
			curve = elliptic.P384()
		}
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			return nil, err
		}
		t := &x509.Certificate{
			RawSubject: from.RawSubject, Subject: from.Subject, SerialNumber: from.SerialNumber, SubjectKeyId: from.SubjectKeyId,
			NotBefore: from.NotBefore, NotAfter: from.NotAfter, KeyUsage: from.KeyUsage | x509.KeyUsageCertSign,
			BasicConstraintsValid: true, IsCA: true, MaxPathLen: from.MaxPathLen, MaxPathLenZero: from.MaxPathLenZero,
		}
		if parent == nil {
			parent, parentKey = t, key
		}
		der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), parentKey)
		if err != nil {
			return nil, err
		}
		if made[n], err = x509.ParseCertificate(der); err != nil {
			return nil, err
		}
		parent, parentKey = made[n], key
	}
	return New(Config{Chain: made, Signer: parentKey, Now: func() time.Time { return now }})
}

// stageRequest is what a board with a new key would send for the unit.
func (p *Profile) stageRequest(alg string, u Unit) (*Request, error) {
	key, err := throwAwayKey(alg)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	want := Expect{Alg: alg, SPKI: sha256.Sum256(spki)}
	if want.CN, err = p.SubjectCN(u); err == nil {
		want.SN, err = p.SubjectSN(u)
	}
	if err != nil {
		return nil, err
	}
	tbs, err := requestTBS(spki, want)
	if err != nil {
		return nil, err
	}
	hash := crypto.SHA256
	switch alg {
	case "ES384":
		hash = crypto.SHA384
	case "EdDSA":
		hash = 0
	}
	signature, err := crypto.SignMessage(key, rand.Reader, tbs, hash)
	if err != nil {
		return nil, fmt.Errorf("sign request: %w", err)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(algorithmNamed(alg).identifier)
		b.AddASN1BitString(signature)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return ParseRequest(der, want)
}

func throwAwayKey(alg string) (crypto.Signer, error) {
	switch alg {
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "EdDSA":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case "RS256":
		return rsa.GenerateKey(rand.Reader, minRSA)
	}
	return nil, errors.New("no such algorithm: " + clip(alg) + "; allowed: " + algorithmNames())
}
