// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"math/big"

	"github.com/google/go-tpm/tpm2"
)

// maxPublic is the longest TPMT_PUBLIC taken, in bytes: more than an RSA 2048
// key with a policy has.
const maxPublic = 512

// Public is the public area of a key in a TPM, with a public key in it that is
// valid: a point on its curve, a modulus of 2048 bits.
type Public struct {
	area tpm2.TPMTPublic
	raw  []byte
	key  crypto.PublicKey
	spki []byte // SubjectPublicKeyInfo of key, DER
	name [34]byte
}

// ParsePublic reads a TPMT_PUBLIC (Part 2, section 12.2.4) of the kinds that we
// know: ECC P-256 and P-384, RSA 2048, named by SHA-256. The bytes must be
// exactly those that a TPM writes.
func ParsePublic(b []byte) (*Public, error) {
	if len(b) > maxPublic {
		return nil, refuse(ErrPublic, "%d bytes are too many, at most %d are taken", len(b), maxPublic)
	}
	area, err := tpm2.Unmarshal[tpm2.TPMTPublic](b)
	if err != nil {
		return nil, refuse(ErrPublic, "%w", err)
	}
	if !bytes.Equal(tpm2.Marshal(*area), b) {
		return nil, refuse(ErrPublic, "bytes that mean nothing")
	}
	if area.NameAlg != tpm2.TPMAlgSHA256 {
		return nil, refuse(ErrPublic, "the name algorithm is %#04x, not SHA-256", uint16(area.NameAlg))
	}
	p := &Public{area: *area, raw: bytes.Clone(b)}
	if p.key, err = publicKey(area); err != nil {
		return nil, refuse(ErrPublic, "%w", err)
	}
	if p.spki, err = x509.MarshalPKIXPublicKey(p.key); err != nil {
		return nil, refuse(ErrPublic, "%w", err)
	}
	p.name[1] = byte(tpm2.TPMAlgSHA256)
	digest := sha256.Sum256(b)
	copy(p.name[2:], digest[:])
	return p, nil
}

// Name is the key's Name (Part 1, section 16).
func (p *Public) Name() [34]byte { return p.name }

// PublicKey is the *ecdsa.PublicKey or *rsa.PublicKey.
func (p *Public) PublicKey() crypto.PublicKey { return p.key }

// Bytes is the TPMT_PUBLIC.
func (p *Public) Bytes() []byte { return bytes.Clone(p.raw) }

func publicKey(area *tpm2.TPMTPublic) (crypto.PublicKey, error) {
	switch area.Type {
	case tpm2.TPMAlgECC:
		return eccKey(area)
	case tpm2.TPMAlgRSA:
		return rsaKey(area)
	}
	return nil, fmt.Errorf("the algorithm is %#04x, neither ECC nor RSA", uint16(area.Type))
}

func eccKey(area *tpm2.TPMTPublic) (*ecdsa.PublicKey, error) {
	parms, err := area.Parameters.ECCDetail()
	if err != nil {
		return nil, err
	}
	point, err := area.Unique.ECC()
	if err != nil {
		return nil, err
	}
	curve, known := map[tpm2.TPMECCCurve]elliptic.Curve{
		tpm2.TPMECCNistP256: elliptic.P256(), tpm2.TPMECCNistP384: elliptic.P384(),
	}[parms.CurveID]
	if !known {
		return nil, fmt.Errorf("the curve is %#04x, neither P-256 nor P-384", uint16(parms.CurveID))
	}
	size := (curve.Params().BitSize + 7) / 8
	x, y := point.X.Buffer, point.Y.Buffer
	if len(x) > size || len(y) > size {
		return nil, fmt.Errorf("the point has %d and %d bytes, its curve %d", len(x), len(y), size)
	}
	encoded := make([]byte, 1+2*size)
	encoded[0] = 4 // uncompressed (SEC 1, section 2.3.3)
	copy(encoded[1+size-len(x):], x)
	copy(encoded[1+2*size-len(y):], y)
	return ecdsa.ParseUncompressedPublicKey(curve, encoded)
}

func rsaKey(area *tpm2.TPMTPublic) (*rsa.PublicKey, error) {
	parms, err := area.Parameters.RSADetail()
	if err != nil {
		return nil, err
	}
	modulus, err := area.Unique.RSA()
	if err != nil {
		return nil, err
	}
	n := new(big.Int).SetBytes(modulus.Buffer)
	if parms.KeyBits != 2048 || n.BitLen() != 2048 || len(modulus.Buffer) != 256 || n.Bit(0) == 0 {
		return nil, fmt.Errorf("an RSA modulus of %d bits, 2048 are expected", n.BitLen())
	}
	exponent := parms.Exponent
	if exponent == 0 {
		exponent = 65537 // Part 2, section 12.2.3.5
	}
	if exponent < 65537 || exponent&1 == 0 || exponent > 1<<31-1 {
		return nil, fmt.Errorf("an RSA exponent of %d", exponent)
	}
	return &rsa.PublicKey{N: n, E: int(exponent)}, nil
}
