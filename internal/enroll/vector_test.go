// SPDX-License-Identifier: Apache-2.0

package enroll_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"path/filepath"
	"testing"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/vector"
)

// vectors returns the cases of one file that Go and C share.
func vectors(t testing.TB, name string) []vector.Case {
	t.Helper()
	cases, err := vector.Read(filepath.Join("..", "..", "testdata", "vectors", name))
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

func bytes32(t testing.TB, c vector.Case, key string) (d [32]byte) {
	t.Helper()
	if n := copy(d[:], c.Fields[key]); n != 0 && n != 32 || len(c.Fields[key]) > 32 {
		t.Fatalf("%s: %s has %d bytes", c.Name, key, len(c.Fields[key]))
	}
	return d
}

func TestProofVectors(t *testing.T) {
	for _, c := range vectors(t, "prove.txt") {
		p := enroll.Proof{
			Nonce: bytes32(t, c, "nonce"), Chain: bytes32(t, c, "chain"), Anchors: bytes32(t, c, "anchors"),
			Rework: bytes32(t, c, "rework"), Root: bytes32(t, c, "root"),
			Prot: c.Fields["prot"][0], State: enroll.State(c.Fields["state"][0]), UID: c.Fields["uid"],
		}
		if got := p.Message(); !bytes.Equal(got, c.Fields["message"]) {
			t.Errorf("%s: message %x, want %x", c.Name, got, c.Fields["message"])
		}
	}
}

func TestReworkVectors(t *testing.T) {
	for _, c := range vectors(t, "rework.txt") {
		got := enroll.ReworkMessage(bytes32(t, c, "nonce"), bytes32(t, c, "spki"), c.Fields["uid"])
		if !bytes.Equal(got, c.Fields["message"]) {
			t.Errorf("%s: message %x, want %x", c.Name, got, c.Fields["message"])
		}
	}
}

// proofSigners has one key of each algorithm, and RSA, which boards with a
// secure element may have.
func proofSigners(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"ES256": newKey(t), "ES384": p384, "EdDSA": ed, "RS256": rs}
}
