// SPDX-License-Identifier: Apache-2.0

package tpm_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"path/filepath"
	"testing"

	"provisioning.example/station/internal/tpm"
)

func secret() ([]byte, error) { return []byte("correct horse"), nil }

func TestSign(t *testing.T) {
	for _, spec := range []string{
		"sim",
		"sim:" + filepath.Join(t.TempDir(), "state"),
		"swtpm:" + filepath.Join(t.TempDir(), "tpm"),
	} {
		m, err := tpm.Open(t.Context(), tpm.Config{Spec: spec})
		if err != nil {
			t.Fatal(err)
		}
		for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
			pin, _ := secret()
			ref, err := m.CreateKey(t.Context(), tpm.CA, curve, pin)
			if err != nil {
				t.Fatal(err)
			}
			k, err := m.Key(t.Context(), ref, secret)
			if err != nil {
				t.Fatal(err)
			}
			digest := sha256.Sum256([]byte("a message"))
			sig, err := k.Sign(nil, digest[:], crypto.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			if !ecdsa.VerifyASN1(k.Public().(*ecdsa.PublicKey), digest[:], sig) {
				t.Errorf("%s: the signature does not verify", spec)
			}
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
