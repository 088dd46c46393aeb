// SPDX-License-Identifier: Apache-2.0

package record

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// Receipt is the board's own signature over what it stores (protocol, prove), with every input needed to check it later.
// All byte strings are lower-case hex; a digest of something the board does not have is absent.
type Receipt struct {
	Alg     string `json:"alg"`
	Nonce   string `json:"nonce"`
	Chain   string `json:"chain"`
	Anchors string `json:"anchors,omitempty"`
	Rework  string `json:"rework,omitempty"`
	Root    string `json:"root,omitempty"`
	Prot    int    `json:"prot"`
	State   int    `json:"state"`
	UID     string `json:"uid"`
	Sig     string `json:"sig"`
}

const proveLabel = "station-prove-v1\x00"

func (r *Receipt) validate() error {
	if !slices.Contains(algorithms, r.Alg) {
		return fmt.Errorf("has the unknown algorithm %q", r.Alg)
	}
	for _, f := range []struct {
		name, value string
		optional    bool
		lo, hi      int
	}{
		{"nonce", r.Nonce, false, 32, 32},
		{"chain", r.Chain, false, 32, 32},
		{"anchors", r.Anchors, true, 32, 32},
		{"rework", r.Rework, true, 32, 32},
		{"root", r.Root, true, 32, 32},
		{"uid", r.UID, false, 1, 32},
		{"sig", r.Sig, false, 1, 1024},
	} {
		if f.value == "" && f.optional {
			continue
		}
		if err := checkHex(f.value, f.lo, f.hi); err != nil {
			return fmt.Errorf("has a %s that %w", f.name, err)
		}
	}
	if r.Prot < 0 || r.Prot > 255 || r.State < 0 || r.State > 255 {
		return fmt.Errorf("has prot %d and state %d, allowed are 0 to 255", r.Prot, r.State)
	}
	return nil
}

// Message returns the bytes that the board signed:
// label, nonce, the four digests (32 zero bytes for what is absent), prot, state, uid.
func (r *Receipt) Message() ([]byte, error) {
	if err := r.validate(); err != nil {
		return nil, fmt.Errorf("receipt %w", err)
	}
	m := []byte(proveLabel)
	for _, digest := range []string{r.Nonce, r.Chain, r.Anchors, r.Rework, r.Root} {
		var d [32]byte
		if _, err := hex.Decode(d[:], []byte(digest)); err != nil {
			return nil, fmt.Errorf("receipt: %w", err)
		}
		m = append(m, d[:]...)
	}
	uid, err := hex.DecodeString(r.UID)
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	return append(append(m, byte(r.Prot), byte(r.State)), uid...), nil
}

var (
	errReceiptSignature = errors.New("receipt: signature does not verify under the unit's key")
	errReceiptKey       = errors.New("receipt: algorithm does not fit the unit's key")
)

// Verify checks the signature under the unit's public key. The meaning of the digests is the caller's to compare.
func (r *Receipt) Verify(pub crypto.PublicKey) error {
	m, err := r.Message()
	if err != nil {
		return err
	}
	sig, err := hex.DecodeString(r.Sig)
	if err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	ok := false
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(m)
		switch {
		case r.Alg == "ES256" && key.Curve == elliptic.P256():
			ok = ecdsa.VerifyASN1(key, digest[:], sig)
		case r.Alg == "ES384" && key.Curve == elliptic.P384():
			long := sha512.Sum384(m)
			ok = ecdsa.VerifyASN1(key, long[:], sig)
		default:
			return errReceiptKey
		}
	case ed25519.PublicKey:
		if r.Alg != "EdDSA" {
			return errReceiptKey
		}
		ok = ed25519.Verify(key, m, sig)
	case *rsa.PublicKey:
		if r.Alg != "RS256" {
			return errReceiptKey
		}
		digest := sha256.Sum256(m)
		ok = rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], sig) == nil
	default:
		return errReceiptKey
	}
	if !ok {
		return errReceiptSignature
	}
	return nil
}
