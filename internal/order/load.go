// SPDX-License-Identifier: Apache-2.0

package order

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"provisioning.example/station/internal/settings"
)

// ErrSignature marks an order that the office did not sign, or that was changed
// since.
var ErrSignature = errors.New("the order is not signed by the office's key")

// SignatureSuffix is what the name of an order's signature ends with.
const SignatureSuffix = ".sig"

// maxSignature is how much of a signature is read, in bytes: DER over P-256 has
// 72 at most, and what is longer does not verify.
const maxSignature = 256

// Load reads an order's file, which is called as the order is. With a key its
// signature is checked before anything else of it is looked at: the file of the
// same name and ".sig" holds an ECDSA signature, DER, over the SHA-256 of the
// order's bytes, as `openssl dgst -sha256 -sign` makes it. Errors start with
// the file's path.
func Load(path string, key *ecdsa.PublicKey) (*Order, error) {
	text, err := settings.Read(path)
	if err != nil {
		return nil, err
	}
	if key != nil {
		sig, err := ReadSignature(path + SignatureSuffix)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %w", path, ErrSignature, err)
		}
		digest := sha256.Sum256(text)
		if !ecdsa.VerifyASN1(key, digest[:], sig) {
			return nil, fmt.Errorf("%s: %w, or was changed since", path, ErrSignature)
		}
	}
	o, err := Parse(path, text)
	if err != nil {
		return nil, err
	}
	if nameOf(path) != o.Name() {
		return nil, settings.Verify(path, text, []settings.Check{{Key: "order", Allowed: fmt.Sprintf("%q, as the file is called, or call the file %s.toml", nameOf(path), o.Name())}})
	}
	o.signed = key != nil
	return o, nil
}

// ReadSignature reads a signature's file.
func ReadSignature(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sig, err := io.ReadAll(io.LimitReader(f, maxSignature+1))
	if err == nil && len(sig) > maxSignature {
		err = fmt.Errorf("%s: over %d bytes: no signature", filepath.Base(path), maxSignature)
	}
	return sig, err
}

// ReadKey reads the key that orders are signed under: one PEM block,
// SubjectPublicKeyInfo, P-256.
func ReadKey(path string) (*ecdsa.PublicKey, error) {
	text, err := settings.Read(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" || len(rest) > 0 {
		return nil, fmt.Errorf("%s: one PEM block \"PUBLIC KEY\" is needed, and nothing behind it", path)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	p256, ok := key.(*ecdsa.PublicKey)
	if !ok || p256.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s: the key is not on P-256", path)
	}
	return p256, nil
}
