// SPDX-License-Identifier: Apache-2.0

// Package issuer decides and signs: certificate rules in, a device's request
// in, a certificate out. It knows no device, no TPM and no database; the key is
// any crypto.Signer.
//
// A [Profile] says what certificates look like. [ParseRequest] turns a device's
// bytes into a [Request] or refuses them. [Issuer.Prepare] builds and lints the
// bytes to be signed (the TBS), so that they can be recorded before the key is
// used; [Issuer.Sign] signs exactly those bytes, then or after a crash.
package issuer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"time"
)

// ErrWindow means that a certificate would be valid before or after one of its
// issuers: the station's intermediate must be renewed, or the clock set.
var ErrWindow = errors.New("outside the issuing window")

// Config is what an issuer is made of.
type Config struct {
	// Chain is the issuing intermediate first, then its issuers, the root last.
	Chain []*x509.Certificate
	// Signer is the intermediate's key, P-256 or P-384. If it has a method
	// SignContext(ctx, digest, opts) as well, that one is called.
	Signer crypto.Signer
	Now    func() time.Time // nil: time.Now
	Rand   io.Reader        // for serial numbers; nil: crypto/rand
}

// Issuer is an intermediate and its key. It is immutable: any number of
// goroutines may use it, as far as the signer allows.
type Issuer struct {
	chain   []*x509.Certificate
	signer  crypto.Signer
	scheme  scheme
	fixed   fixed
	lintKey *ecdsa.PrivateKey // throw-away key of the signer's curve: signs what is only looked at
	now     func() time.Time
	rand    io.Reader
}

// scheme is how an issuer's key signs.
type scheme struct {
	hash       crypto.Hash
	algorithm  x509.SignatureAlgorithm
	identifier []byte // DER AlgorithmIdentifier
	longest    int    // bytes of the longest DER ECDSA-Sig-Value
}

// New verifies every link of the chain, once for all certificates that will be
// made, and that the signer is the key of its first certificate. Dates are
// looked at when a certificate is made, not here.
func New(c Config) (*Issuer, error) {
	if len(c.Chain) < 2 || c.Signer == nil {
		return nil, errors.New("issuer: an intermediate, its root and a key are needed")
	}
	if err := checkChain(c.Chain); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	public, ok := c.Signer.Public().(*ecdsa.PublicKey)
	if !ok || !public.Equal(c.Chain[0].PublicKey) {
		return nil, fmt.Errorf("issuer: the key is not the one certified as %q", c.Chain[0].Subject)
	}
	i := &Issuer{chain: slices.Clone(c.Chain), fixed: fixedPart(c.Chain), signer: c.Signer, now: c.Now, rand: c.Rand}
	switch public.Curve {
	case elliptic.P256():
		i.scheme = scheme{crypto.SHA256, x509.ECDSAWithSHA256, algorithmNamed("ES256").identifier, 72}
	case elliptic.P384():
		i.scheme = scheme{crypto.SHA384, x509.ECDSAWithSHA384, algorithmNamed("ES384").identifier, 104}
	default:
		return nil, fmt.Errorf("issuer: a %s cannot issue; allowed: P-256, P-384", keyKind(public))
	}
	if i.now == nil {
		i.now = time.Now
	}
	if i.rand == nil {
		i.rand = rand.Reader
	}
	var err error
	if i.lintKey, err = ecdsa.GenerateKey(public.Curve, rand.Reader); err != nil {
		return nil, fmt.Errorf("issuer: make the throw-away key: %w", err)
	}
	return i, nil
}

// Draft is a certificate before its signature: looked at, ready to be recorded.
type Draft struct {
	tbs                 []byte
	spki                [32]byte
	serial, keyID       string
	notBefore, notAfter time.Time
}

// TBS is a copy of the DER TBSCertificate to be recorded and signed.
func (d *Draft) TBS() []byte { return bytes.Clone(d.tbs) }

// SPKI is the SHA-256 of the device's SubjectPublicKeyInfo, for [Issuer.Sign].
func (d *Draft) SPKI() [32]byte { return d.spki }

// Serial is the certificate's serial number: 32 lower-case hex digits.
func (d *Draft) Serial() string { return d.serial }

// NotBefore is the first second of validity.
func (d *Draft) NotBefore() time.Time { return d.notBefore }

// NotAfter is the last second of validity.
func (d *Draft) NotAfter() time.Time { return d.notAfter }

// KeyID is the issuer's subjectKeyIdentifier in lower-case hex.
func (d *Draft) KeyID() string { return d.keyID }

// KeyID is the issuer's subjectKeyIdentifier in lower-case hex.
func (i *Issuer) KeyID() string { return hex.EncodeToString(i.chain[0].SubjectKeyId) }

// Certificate returns the issuing intermediate.
func (i *Issuer) Certificate() *x509.Certificate { return i.chain[0] }

// Root returns the root the chain ends at.
func (i *Issuer) Root() *x509.Certificate { return i.chain[len(i.chain)-1] }

// Chain returns what a board is given: the leaf and its issuers in DER, the
// leaf first, the root left out.
func (i *Issuer) Chain(leaf []byte) [][]byte {
	out := [][]byte{bytes.Clone(leaf)}
	for _, c := range i.chain[:len(i.chain)-1] {
		out = append(out, bytes.Clone(c.Raw))
	}
	return out
}

// Prepare builds the certificate of a unit from the profile; from the request
// come only the public key and the identity that must be the profile's. The
// result was signed with a throw-away key and linted, and holds a fresh serial
// number: it is for one use.
//
// Errors: *[Refusal] when the request does not fit the profile, [ErrWindow]
// when the certificate would outlive an issuer, others when the unit lacks a
// variable.
func (i *Issuer) Prepare(p *Profile, r *Request, u Unit) (*Draft, error) {
	if err := p.accepts(r, u); err != nil {
		return nil, err
	}
	template, err := i.template(p, r)
	if err == nil {
		err = p.fill(template, u)
	}
	if err != nil {
		return nil, err
	}
	return i.draft(p, r, template)
}

// draft makes and lints what is to be signed.
func (i *Issuer) draft(p *Profile, r *Request, template *x509.Certificate) (*Draft, error) {
	parent := &x509.Certificate{
		RawSubject:   i.chain[0].RawSubject,
		SubjectKeyId: i.chain[0].SubjectKeyId,
		PublicKey:    i.lintKey.Public(),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, r.public, i.lintKey)
	if err != nil {
		return nil, fmt.Errorf("prepare certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("prepare certificate: %w", err)
	}
	if err := i.lint(cert, r.spki); err != nil {
		return nil, fmt.Errorf("prepare certificate: %w", err)
	}
	if err := p.Lint(cert); err != nil {
		return nil, fmt.Errorf("prepare certificate: %w", err)
	}
	return &Draft{
		tbs: cert.RawTBSCertificate, spki: r.spki, serial: serialText(cert.SerialNumber), keyID: i.KeyID(),
		notBefore: cert.NotBefore, notAfter: cert.NotAfter,
	}, nil
}

// accepts compares a request with what the profile allows and would have asked for.
func (p *Profile) accepts(r *Request, u Unit) error {
	if !slices.Contains(p.algorithms, r.alg) {
		return refuse(ReasonAlgorithm, "profile %s does not take %s keys; allowed: %v", p.name, r.alg, p.algorithms)
	}
	cn, err := p.SubjectCN(u)
	if err != nil {
		return err
	}
	sn, err := p.SubjectSN(u)
	if err != nil {
		return err
	}
	if r.cn != cn || r.sn != sn {
		return refuse(ReasonIdentity, "request is for CN %q serialNumber %q, the profile names this unit CN %q serialNumber %q",
			r.cn, r.sn, cn, sn)
	}
	return nil
}

// template fills everything a device's certificate says, but for whom it is.
func (i *Issuer) template(p *Profile, r *Request) (*x509.Certificate, error) {
	notBefore, notAfter, err := i.validity(p)
	if err != nil {
		return nil, err
	}
	serial, err := i.serial()
	if err != nil {
		return nil, err
	}
	// basicConstraints is left out: RFC 5280 4.2.1.9 wants it of issuers only,
	// and a certificate without it is none.
	return &x509.Certificate{
		SerialNumber: serial, NotBefore: notBefore, NotAfter: notAfter,
		SignatureAlgorithm: i.scheme.algorithm,
		KeyUsage:           p.base.keyUsage, ExtKeyUsage: p.base.extUsage,
		SubjectKeyId: KeyIdentifier(r.rawSPKI),
	}, nil
}

// validity lays a lifetime from now, backdated, inside that of every issuer.
// Both ends are valid seconds (RFC 5280 4.1.2.5), so the last is one less.
func (i *Issuer) validity(p *Profile) (notBefore, notAfter time.Time, err error) {
	now := i.now().UTC().Truncate(time.Second)
	notBefore = now.Add(-p.backdate)
	for _, c := range i.chain {
		if now.Before(c.NotBefore) {
			return now, now, fmt.Errorf("%w: it is %s, %q begins at %s: set the clock",
				ErrWindow, now.Format(time.RFC3339), c.Subject, c.NotBefore.Format(time.RFC3339))
		}
		if notBefore.Before(c.NotBefore) {
			notBefore = c.NotBefore
		}
	}
	if !p.Expires() {
		return notBefore, noExpiry, i.Suits(p)
	}
	notAfter = notBefore.Add(p.lifetime - time.Second)
	for _, c := range i.chain {
		if notAfter.After(c.NotAfter) {
			return now, now, fmt.Errorf("%w: a certificate of profile %s would live until %s, its issuer %q ends at %s: renew the intermediate",
				ErrWindow, p.name, notAfter.Format(time.RFC3339), c.Subject, c.NotAfter.Format(time.RFC3339))
		}
	}
	return notBefore, notAfter, nil
}

// serial draws 16 random bytes and makes them a positive integer of 16 bytes
// (RFC 5280 4.1.2.2), so that 126 random bits are left and every serial number
// has the same length.
func (i *Issuer) serial() (*big.Int, error) {
	var b [16]byte
	if _, err := io.ReadFull(i.rand, b[:]); err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:]), nil
}

func serialText(n *big.Int) string { return hex.EncodeToString(n.Bytes()) }

// KeyIdentifier is the subjectKeyIdentifier of a DER SubjectPublicKeyInfo by
// RFC 7093 2 (1): the first 160 bits of the SHA-256 of the key bits. It is
// always written out, so that stations and roots of all versions agree.
// It is nil when spki is not a SubjectPublicKeyInfo.
func KeyIdentifier(spki []byte) []byte {
	bits, ok := keyBits(spki)
	if !ok {
		return nil
	}
	h := sha256.Sum256(bits)
	return h[:20]
}

// signDigest asks the key for one signature. A TPM's key can be waited for
// under a deadline, which crypto.Signer has no room for.
func (i *Issuer) signDigest(ctx context.Context, digest []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s, ok := i.signer.(interface {
		SignContext(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error)
	}); ok {
		return s.SignContext(ctx, digest, i.scheme.hash)
	}
	return i.signer.Sign(rand.Reader, digest, i.scheme.hash)
}
