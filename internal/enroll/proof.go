// SPDX-License-Identifier: Apache-2.0

package enroll

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"slices"
)

// A Proof is what a board states with its answer to prove: what its storage
// holds, bound to a nonce of the station. Digests are zero for what is absent.
type Proof struct {
	Nonce   [32]byte
	Chain   [32]byte // SHA-256, as are the next three
	Anchors [32]byte
	Rework  [32]byte
	Root    [32]byte // of the root certificate that the firmware pins
	Prot    uint8
	State   State
	UID     []byte
}

// Message returns what the board signs: "station-prove-v1" 00 | nonce | chain |
// anchors | rework | root | prot | state | uid.
func (p Proof) Message() []byte {
	return slices.Concat([]byte("station-prove-v1\x00"), p.Nonce[:], p.Chain[:], p.Anchors[:], p.Rework[:], p.Root[:],
		[]byte{p.Prot, byte(p.State)}, p.UID)
}

// Verify checks sig, the answer to prove, under the board's public key. The key
// must be of the kind that alg names. The error is ErrProof.
func (p Proof) Verify(pub crypto.PublicKey, alg string, sig []byte) error {
	if err := verify(pub, alg, p.Message(), sig); err != nil {
		return fmt.Errorf("%w: %w", ErrProof, err)
	}
	return nil
}

// ReworkMessage returns what a rework key signs to unlock the board with this
// challenge, key (SHA-256 of its SubjectPublicKeyInfo) and uid. Before it is
// signed the board must have shown by a fresh prove that it is that board.
func ReworkMessage(nonce, spki [32]byte, uid []byte) []byte {
	return slices.Concat([]byte("station-rework-v1\x00"), nonce[:], spki[:], uid)
}

// verify checks a signature over message with the hash of the algorithm: ECDSA
// as DER ECDSA-Sig-Value, RSA as PKCS #1 v1.5.
func verify(pub crypto.PublicKey, alg string, message, sig []byte) error {
	good := false
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		switch {
		case alg == "ES256" && key.Curve == elliptic.P256():
			d := sha256.Sum256(message)
			good = ecdsa.VerifyASN1(key, d[:], sig)
		case alg == "ES384" && key.Curve == elliptic.P384():
			d := sha512.Sum384(message)
			good = ecdsa.VerifyASN1(key, d[:], sig)
		default:
			return fmt.Errorf("the key is on %s, the algorithm is %q", key.Curve.Params().Name, alg)
		}
	case ed25519.PublicKey:
		if alg != "EdDSA" {
			return fmt.Errorf("the key is Ed25519, the algorithm is %q", alg)
		}
		good = len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message, sig)
	case *rsa.PublicKey:
		if alg != "RS256" || key.N.BitLen() < 2048 {
			return fmt.Errorf("the key is RSA with %d bits, the algorithm is %q", key.N.BitLen(), alg)
		}
		d := sha256.Sum256(message)
		good = rsa.VerifyPKCS1v15(key, crypto.SHA256, d[:], sig) == nil
	default:
		return fmt.Errorf("no board has a key of type %T", pub)
	}
	if !good {
		return fmt.Errorf("the signature is wrong for this key and message")
	}
	return nil
}
