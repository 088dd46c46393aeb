// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"bytes"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
)

func seed(f *testing.F, names ...string) {
	f.Helper()
	for _, name := range names {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

func FuzzPublic(f *testing.F) {
	seed(f, "ek.public", "ak.public", "ca.public", "checkpoint.public")
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePublic(b)
		if err != nil {
			return
		}
		if !bytes.Equal(p.Bytes(), b) {
			t.Error("it reads as something else")
		}
		if _, err := x509.MarshalPKIXPublicKey(p.PublicKey()); err != nil {
			t.Error(err)
		}
		if CheckAK(p) == nil && p.area.Type != tpm2.TPMAlgECC {
			t.Error("an attestation key that is not ECC")
		}
		for _, purpose := range []string{"ca", "checkpoint", "rework"} {
			if CheckKey(purpose, p) == nil && CheckAK(p) == nil {
				t.Error("a key that signs statements and what it is given")
			}
		}
	})
}

func FuzzAttest(f *testing.F) {
	seed(f, "creation.attest", "counter.attest", "quote.attest")
	f.Fuzz(func(t *testing.T, b []byte) {
		said, err := parseAttest(b)
		if err != nil {
			return
		}
		if said.Magic != generated || !bytes.Equal(tpm2.Marshal(*said), b) {
			t.Error("it reads as something else")
		}
	})
}

func FuzzSignature(f *testing.F) {
	seed(f, "creation.signature", "counter.signature")
	f.Fuzz(func(t *testing.T, b []byte) {
		r, s, err := parseSignature(b)
		if err == nil && (len(r) > 66 || len(s) > 66) {
			t.Errorf("%d and %d bytes", len(r), len(s))
		}
	})
}

// FuzzCertificates feeds certificates of an endorsement key and of the
// authority above it: none is good without a root.
func FuzzCertificates(f *testing.F) {
	read := func(name string) []byte {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	ek, err := ParsePublic(read("ek.public"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(read("ek.der"), read("issuer.der"))
	f.Add(read("issuer.der"), read("root.der"))
	f.Fuzz(func(t *testing.T, cert, above []byte) {
		c, chain, err := ParseCertificates([][]byte{cert, above})
		if err != nil {
			return
		}
		if err := CheckEK(c, ek, chain, x509.NewCertPool(), nil, time.Unix(1_800_000_000, 0)); err == nil {
			t.Error("trusted without a root")
		}
	})
}

func FuzzKeyFile(f *testing.F) {
	seed(f, "key.pem")
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParseKeyFile(b)
		if err == nil && (k.Public == nil || len(k.Private) == 0 || k.Parent != ownerHierarchy && k.Parent>>24 != 0x81) {
			t.Errorf("%+v", k)
		}
	})
}
