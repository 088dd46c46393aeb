// SPDX-License-Identifier: Apache-2.0

package tpm_test

import (
	"crypto/elliptic"
	"crypto/rand"
	"testing"

	"provisioning.example/station/internal/attest"
	"provisioning.example/station/internal/tpm"
)

// TestEvidence goes the whole way: endorsement, challenge, attestation key,
// statements about three keys and a counter.
func TestEvidence(t *testing.T) {
	for name, cfg := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			ctx, m := t.Context(), open(t, cfg)
			e, err := m.Endorsement(ctx)
			if err != nil {
				t.Fatal(err)
			}
			ek, ak := parse(t, e.Public), attestationKey(t, m)
			if err := attest.CheckAK(ak); err != nil {
				t.Error(err)
			}
			secret := []byte("a secret of the root, 32 bytes..")
			blob, sealed, err := attest.MakeCredential(rand.Reader, ek, ak, secret)
			if err != nil {
				t.Fatal(err)
			}
			if opened, err := m.ActivateCredential(ctx, blob, sealed); err != nil || string(opened) != string(secret) {
				t.Fatalf("opened %x: %v", opened, err)
			}
			qualifying := [32]byte{1, 2, 3}
			for purpose, p := range map[string]tpm.Purpose{"ca": tpm.CA, "checkpoint": tpm.Checkpoint, "rework": tpm.Rework} {
				ref, creation, err := m.CreateKey(ctx, p, elliptic.P256(), []byte(pin))
				if err != nil {
					t.Fatal(err)
				}
				area, err := m.PublicArea(ctx, ref)
				if err != nil {
					t.Fatal(err)
				}
				key := parse(t, area)
				if err := attest.CheckKey(purpose, key); err != nil {
					t.Error(err)
				}
				s, err := m.CertifyCreation(ctx, ref, creation, qualifying)
				if err != nil {
					t.Fatal(err)
				}
				if c, err := attest.VerifyCreation(ak, key, s.Attest, s.Signature, qualifying); err != nil || c.Hash != creation.Hash {
					t.Errorf("%s: %+v, %v", purpose, c, err)
				}
			}
		})
	}
}

func parse(t *testing.T, area []byte) *attest.Public {
	t.Helper()
	p, err := attest.ParsePublic(area)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func attestationKey(t *testing.T, m *tpm.TPM) *attest.Public {
	t.Helper()
	area, err := m.AttestationKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, area)
}
