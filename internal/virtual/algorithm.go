// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
)

// An algorithm is one of the protocol's four, as this board can use it: a name
// means key type and hash both.
type algorithm struct {
	name     string
	hash     crypto.Hash // 0 where the algorithm hashes by itself
	x509     x509.SignatureAlgorithm
	oid      asn1.ObjectIdentifier // of the AlgorithmIdentifier in a CSR
	null     bool                  // parameters are NULL, not absent
	generate func(io.Reader) (crypto.Signer, error)
	holds    func(crypto.PublicKey) bool // is this public key one of ours?
}

// algorithms are all there are. A board makes RSA keys only when its Config
// asks for them, as few small boards do: they take minutes for one. Every board
// may check RSA links.
var algorithms = []algorithm{
	{
		name: "ES256", hash: crypto.SHA256, x509: x509.ECDSAWithSHA256,
		oid:      asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2},
		generate: func(r io.Reader) (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), r) },
		holds:    onCurve(elliptic.P256()),
	},
	{
		name: "ES384", hash: crypto.SHA384, x509: x509.ECDSAWithSHA384,
		oid:      asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3},
		generate: func(r io.Reader) (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), r) },
		holds:    onCurve(elliptic.P384()),
	},
	{
		name: "EdDSA", x509: x509.PureEd25519,
		oid: asn1.ObjectIdentifier{1, 3, 101, 112},
		generate: func(r io.Reader) (crypto.Signer, error) {
			_, key, err := ed25519.GenerateKey(r)
			return key, err
		},
		holds: func(pub crypto.PublicKey) bool { _, ok := pub.(ed25519.PublicKey); return ok },
	},
	{
		name: "RS256", hash: crypto.SHA256, x509: x509.SHA256WithRSA,
		oid: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, null: true,
		generate: func(r io.Reader) (crypto.Signer, error) { return rsa.GenerateKey(r, 2048) },
		holds: func(pub crypto.PublicKey) bool {
			key, ok := pub.(*rsa.PublicKey)
			return ok && key.N.BitLen() >= 2048
		},
	},
}

func onCurve(c elliptic.Curve) func(crypto.PublicKey) bool {
	return func(pub crypto.PublicKey) bool {
		key, ok := pub.(*ecdsa.PublicKey)
		return ok && key.Curve == c
	}
}

// algorithmByName returns nil for a name the protocol does not have.
func algorithmByName(name string) *algorithm {
	for i := range algorithms {
		if algorithms[i].name == name {
			return &algorithms[i]
		}
	}
	return nil
}

// algorithmOfLink returns the algorithm of a signature in a chain, nil when its
// hash and the issuer's key together are none of the protocol's.
func algorithmOfLink(sig x509.SignatureAlgorithm, issuer crypto.PublicKey) *algorithm {
	for i := range algorithms {
		if algorithms[i].x509 == sig && algorithms[i].holds(issuer) {
			return &algorithms[i]
		}
	}
	return nil
}

// sign signs message with the algorithm's own hash: ECDSA as a DER
// ECDSA-Sig-Value, EdDSA as it is.
func (a *algorithm) sign(rand io.Reader, key crypto.Signer, message []byte) ([]byte, error) {
	if a.hash == 0 {
		return key.Sign(rand, message, crypto.Hash(0))
	}
	h := a.hash.New()
	h.Write(message)
	return key.Sign(rand, h.Sum(nil), a.hash)
}

// signTLS signs the content of a CertificateVerify: as sign does, but RSA as
// RSASSA-PSS with a salt as long as the hash, the one RSA scheme that TLS 1.3
// has for it (RFC 8446, 4.2.3).
func (a *algorithm) signTLS(rand io.Reader, key crypto.Signer, message []byte) ([]byte, error) {
	if _, ok := key.(*rsa.PrivateKey); !ok {
		return a.sign(rand, key, message)
	}
	h := a.hash.New()
	h.Write(message)
	return key.Sign(rand, h.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: a.hash})
}

// spkiOf returns the DER SubjectPublicKeyInfo of a key.
func spkiOf(pub crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return der, nil
}

// verifyP256 checks a DER ECDSA signature of SHA-256(message) by the P-256 key
// in spki.
func verifyP256(spki, message, sig []byte) error {
	pub, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return fmt.Errorf("parse public key: %w", err)
	}
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return errors.New("the public key is not on P-256")
	}
	digest := sha256.Sum256(message)
	if !ecdsa.VerifyASN1(key, digest[:], sig) {
		return errors.New("the signature does not verify")
	}
	return nil
}
