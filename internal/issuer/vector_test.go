// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"testing"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/vector"
)

// TestRequestVectors holds the requests that boards must make against what is
// taken here, byte for byte.
func TestRequestVectors(t *testing.T) {
	cases, err := vector.Read("../../testdata/vectors/csr.txt")
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for _, c := range cases {
		if len(c.Fields["tbs"]) == 0 {
			continue // a vector of what a board must refuse
		}
		taken++
		t.Run(c.Name, func(t *testing.T) {
			key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), c.Fields["d"])
			if err != nil {
				t.Fatal(err)
			}
			spki := spkiOf(t, key.Public())
			want := issuer.Expect{CN: c.Text("cn"), SN: c.Text("sn"), Alg: "ES256", SPKI: sha256.Sum256(spki)}
			copy(want.Nonce[:], c.Fields["nonce"])
			tbs := c.Fields["tbs"]
			if _, err := issuer.ParseRequest(signRequest(t, tbs, key), want); err != nil {
				t.Error(err)
			}
			if made := der(t, *goodForm(t, spki, want)); !bytes.Equal(made, tbs) {
				t.Error("this package's tests build requests in another form")
			}
			everyOtherByte(t, tbs, key, want)
		})
	}
	if taken == 0 {
		t.Fatal("no vector of a request that is taken")
	}
}

// everyOtherByte changes each byte of a request, signs it soundly, and wants
// it refused: the form leaves no freedom.
func everyOtherByte(t *testing.T, tbs []byte, key *ecdsa.PrivateKey, want issuer.Expect) {
	t.Helper()
	for n := range tbs {
		changed := bytes.Clone(tbs)
		changed[n] ^= 0x20
		// Lengths may no longer fit: then it cannot even be put together.
		if rest, err := asn1.Unmarshal(changed, new(asn1.RawValue)); err != nil || len(rest) > 0 {
			continue
		}
		_, err := issuer.ParseRequest(signRequest(t, changed, key), want)
		if _, ok := errors.AsType[*issuer.Refusal](err); !ok {
			t.Errorf("byte %d changed: %v, want a refusal", n, err)
		}
	}
}
