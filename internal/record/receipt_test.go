// SPDX-License-Identifier: Apache-2.0

package record_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"path/filepath"
	"testing"

	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/vector"
)

func TestReceiptMessageIsThatOfTheVectors(t *testing.T) {
	cases, err := vector.Read(filepath.Join("..", "..", "testdata", "vectors", "prove.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		text := func(key string) string { return hex.EncodeToString(c.Fields[key]) }
		if len(c.Fields["prot"]) != 1 || len(c.Fields["state"]) != 1 || !c.Has("message") {
			t.Fatalf("%s: prot, state or message is missing", c.Name)
		}
		r := record.Receipt{
			Alg: "ES256", Nonce: text("nonce"), Chain: text("chain"), Anchors: text("anchors"), Rework: text("rework"), Root: text("root"),
			Prot: int(c.Fields["prot"][0]), State: int(c.Fields["state"][0]), UID: text("uid"), Sig: "00",
		}
		got, err := r.Message()
		if err != nil || !bytes.Equal(got, c.Fields["message"]) {
			t.Errorf("%s: %x, %v", c.Name, got, err)
		}
	}
}

func TestReceiptOfEveryAlgorithm(t *testing.T) {
	p256, p384 := newKey(t), mustKey(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t)
	rsaKey := mustKey(rsa.GenerateKey(rand.Reader, 2048))(t)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]crypto.Signer{"ES256": p256, "ES384": p384, "EdDSA": ed, "RS256": rsaKey}
	for alg, key := range keys {
		r := *record.Example(record.KindEnd).Receipt
		r.Alg = alg
		m, err := r.Message()
		if err != nil {
			t.Fatal(err)
		}
		r.Sig = hex.EncodeToString(signature(t, alg, key, m))
		if err := r.Verify(key.Public()); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		for other, wrong := range keys {
			if other != alg && r.Verify(wrong.Public()) == nil {
				t.Errorf("%s: verifies under a key of %s", alg, other)
			}
		}
		changed := r
		changed.State = 2
		if changed.Verify(key.Public()) == nil {
			t.Errorf("%s: verifies although the state was changed", alg)
		}
		changed = r
		changed.Sig = hex.EncodeToString(signature(t, alg, key, append(m, 0)))
		if changed.Verify(key.Public()) == nil {
			t.Errorf("%s: a signature over something else verifies", alg)
		}
	}
}

func mustKey[K any](key K, err error) func(testing.TB) K {
	return func(t testing.TB) K {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
}

func signature(t *testing.T, alg string, key crypto.Signer, m []byte) []byte {
	t.Helper()
	digest, opts := m, crypto.SignerOpts(crypto.Hash(0))
	switch alg {
	case "ES256", "RS256":
		sum := sha256.Sum256(m)
		digest, opts = sum[:], crypto.SHA256
	case "ES384":
		sum := sha512.Sum384(m)
		digest, opts = sum[:], crypto.SHA384
	}
	sig, err := key.Sign(rand.Reader, digest, opts)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func TestReceiptIsBounded(t *testing.T) {
	for name, change := range map[string]func(*record.Receipt){
		"algorithm": func(r *record.Receipt) { r.Alg = "HS256" },
		"nonce":     func(r *record.Receipt) { r.Nonce = r.Nonce[2:] },
		"chain":     func(r *record.Receipt) { r.Chain = "" },
		"anchors":   func(r *record.Receipt) { r.Anchors = "00" },
		"uid":       func(r *record.Receipt) { r.UID = "" },
		"uid caps":  func(r *record.Receipt) { r.UID = "AA" },
		"prot":      func(r *record.Receipt) { r.Prot = 256 },
		"state":     func(r *record.Receipt) { r.State = -1 },
		"signature": func(r *record.Receipt) { r.Sig = hex.EncodeToString(make([]byte, 1025)) },
	} {
		r := *record.Example(record.KindEnd).Receipt
		change(&r)
		if _, err := r.Message(); err == nil {
			t.Errorf("%s: a message was made", name)
		}
		b := record.Example(record.KindEnd)
		b.Receipt = &r
		if _, err := b.Encode(); err == nil {
			t.Errorf("%s: an entry was encoded", name)
		}
	}
}
