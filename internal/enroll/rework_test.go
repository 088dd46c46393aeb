// SPDX-License-Identifier: Apache-2.0

package enroll_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"slices"
	"testing"

	"provisioning.example/station/internal/enroll"
)

func reworkSPKI(t testing.TB, curve elliptic.Curve) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestSplitRework(t *testing.T) {
	a, b, long := reworkSPKI(t, elliptic.P256()), reworkSPKI(t, elliptic.P256()), reworkSPKI(t, elliptic.P384())
	off := slices.Clone(a)
	off[len(off)-1] ^= 1
	for name, c := range map[string]struct {
		object []byte
		keys   int
	}{
		"one": {a, 1}, "two": {slices.Concat(a, b), 2}, "none": {nil, 0}, "three": {slices.Concat(a, b, a), 0},
		"cut": {a[:90], 0}, "a byte more": {append(slices.Clone(a), 0), 0}, "P-384": {long, 0}, "not on the curve": {off, 0},
	} {
		keys, err := enroll.SplitRework(c.object)
		if (err == nil) != (c.keys > 0) || len(keys) != c.keys || c.keys > 0 && !bytes.Equal(bytes.Join(keys, nil), c.object) {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
		}
	}
}

// FuzzSplitRework: what comes out is the object again, cut at its keys.
func FuzzSplitRework(f *testing.F) {
	a := reworkSPKI(f, elliptic.P256())
	f.Add(a)
	f.Add(slices.Concat(a, a))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, object []byte) {
		keys, err := enroll.SplitRework(object)
		if err == nil && (len(keys) < 1 || len(keys) > 2 || !bytes.Equal(bytes.Join(keys, nil), object)) {
			t.Errorf("%d keys of %d bytes", len(keys), len(object))
		}
	})
}
