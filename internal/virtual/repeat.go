// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
)

// repeatsR is a P-256 key whose signatures are all made with the same secret
// number, as a board's are whose random source starts alike at every boot. Two
// such signatures give the key away.
type repeatsR struct{ *ecdsa.PrivateKey }

// Sign is ECDSA (FIPS 186-5, 6.4.1) with a k that is always the same.
func (r repeatsR) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	seed := sha256.Sum256([]byte("the random number of a board whose random source is not"))
	once, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		return nil, err
	}
	point, err := once.PublicKey.Bytes() // 04, x, y
	if err != nil {
		return nil, err
	}
	secret, err := r.Bytes()
	if err != nil {
		return nil, err
	}
	n := elliptic.P256().Params().N
	x := new(big.Int).SetBytes(point[1:33])
	x.Mod(x, n)
	s := new(big.Int).Mul(x, new(big.Int).SetBytes(secret))
	s.Add(s, new(big.Int).SetBytes(digest[:min(len(digest), 32)]))
	s.Mul(s, new(big.Int).ModInverse(new(big.Int).SetBytes(seed[:]), n))
	s.Mod(s, n)
	if x.Sign() == 0 || s.Sign() == 0 {
		return nil, errors.New("sign: try another message")
	}
	return asn1.Marshal(struct{ R, S *big.Int }{x, s})
}

// repeatingCSR signs the csr with the number that never changes.
func repeatingCSR(b *Board, _ *csrRequest) (*algorithm, crypto.Signer, []byte) {
	if key, ok := b.flash.key.(*ecdsa.PrivateKey); ok && key.Curve == elliptic.P256() {
		return b.flash.alg, repeatsR{key}, b.flash.spki
	}
	return b.flash.alg, b.flash.key, b.flash.spki
}
