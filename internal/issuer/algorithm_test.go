// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"

	"provisioning.example/station/internal/issuer"
)

// maker makes a key of an algorithm and signs a request's TBS with it.
type maker struct {
	alg        string
	identifier []byte
	key        func(t *testing.T) crypto.Signer
	hash       crypto.Hash
}

var makers = []maker{
	{"ES256", []byte{0x30, 0x0a, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2}, func(t *testing.T) crypto.Signer { return newKey(t, elliptic.P256()) }, crypto.SHA256},
	{"ES384", []byte{0x30, 0x0a, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3}, func(t *testing.T) crypto.Signer { return newKey(t, elliptic.P384()) }, crypto.SHA384},
	{"EdDSA", []byte{0x30, 5, 6, 3, 0x2b, 0x65, 0x70}, func(t *testing.T) crypto.Signer {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}, 0},
	{"RS256", []byte{0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0b, 5, 0}, func(t *testing.T) crypto.Signer { return newRSA(t, 2048) }, crypto.SHA256},
}

func newRSA(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (m maker) request(t *testing.T, key crypto.Signer, want *issuer.Expect) []byte {
	t.Helper()
	spki := spkiOf(t, key.Public())
	want.Alg, want.SPKI = m.alg, sha256.Sum256(spki)
	tbs := der(t, *goodForm(t, spki, *want))
	digest := tbs
	if m.hash != 0 {
		h := m.hash.New()
		h.Write(tbs)
		digest = h.Sum(nil)
	}
	sig, err := key.Sign(rand.Reader, digest, m.hash)
	if err != nil {
		t.Fatal(err)
	}
	return assembleRequest(t, tbs, m.identifier, sig)
}

// TestAlgorithms issues for every kind of key under both kinds of issuer.
func TestAlgorithms(t *testing.T) {
	for _, m := range makers {
		t.Run(m.alg, func(t *testing.T) {
			key := m.key(t)
			want := issuer.Expect{CN: "sensor-001"}
			r, err := issuer.ParseRequest(m.request(t, key, &want), want)
			if err != nil {
				t.Fatal(err)
			}
			for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
				w := newWorld(t, curve)
				draft, err := w.issuer.Prepare(mtls(t), r, issuer.Unit{Serial: "sensor-001"})
				if err != nil {
					t.Fatal(err)
				}
				cert, err := w.issuer.Sign(t.Context(), draft.TBS(), r.SPKI())
				if err != nil {
					t.Fatal(err)
				}
				if !key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(cert.Parsed.PublicKey) {
					t.Error("the certificate is for another key")
				}
			}
			for _, other := range makers {
				if other.alg == m.alg {
					continue
				}
				mixed := want
				mixed.Alg = other.alg
				_, err := issuer.ParseRequest(m.request(t, key, &want), mixed)
				if refused, ok := errors.AsType[*issuer.Refusal](err); !ok || refused.Reason != issuer.ReasonAlgorithm {
					t.Errorf("asked for %s: %v", other.alg, err)
				}
			}
		})
	}
}

// rsaSPKI encodes an RSA key that crypto/rsa might not.
func rsaSPKI(t *testing.T, n *big.Int, e int) []byte {
	t.Helper()
	key := der(t, struct {
		N *big.Int
		E int
	}{n, e})
	return der(t, struct {
		Alg asn1.RawValue
		Key asn1.BitString
	}{
		asn1.RawValue{FullBytes: []byte{0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0}},
		asn1.BitString{Bytes: key, BitLength: 8 * len(key)},
	})
}

// rocaKey makes a modulus as the broken generator did: primes of the form
// k*M + 65537^a mod M, M the product of the first primes.
func rocaKey(t *testing.T) *big.Int {
	t.Helper()
	m := big.NewInt(1)
	for p, n := int64(2), 0; n < 71; p++ {
		if big.NewInt(p).ProbablyPrime(0) {
			m.Mul(m, big.NewInt(p))
			n++
		}
	}
	prime := func() *big.Int {
		top := new(big.Int).Lsh(big.NewInt(1), 1023)
		top.Add(top, new(big.Int).Lsh(big.NewInt(1), 1022)) // the product then has 2048 bits
		base := top.Div(top, m)
		for {
			a, err := rand.Int(rand.Reader, m)
			if err != nil {
				t.Fatal(err)
			}
			k, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 40))
			if err != nil {
				t.Fatal(err)
			}
			p := new(big.Int).Exp(big.NewInt(65537), a, m)
			p.Add(p, new(big.Int).Mul(k.Add(k, base), m))
			if p.ProbablyPrime(20) {
				return p
			}
		}
	}
	return new(big.Int).Mul(prime(), prime())
}

func TestWeakRSA(t *testing.T) {
	sound := newRSA(t, 2048).N
	for _, c := range []struct {
		name string
		spki []byte
		want issuer.Reason
	}{
		{"1024 bits", rsaSPKI(t, newRSA(t, 1024).N, 65537), issuer.ReasonWeakKey},
		{"2047 bits", rsaSPKI(t, new(big.Int).Rsh(new(big.Int).SetBit(sound, 1, 1), 1), 65537), issuer.ReasonWeakKey},
		{"4104 bits", rsaSPKI(t, new(big.Int).SetBit(new(big.Int).Lsh(sound, 2056), 0, 1), 65537), issuer.ReasonWeakKey},
		{"exponent 3", rsaSPKI(t, sound, 3), issuer.ReasonWeakKey},
		{"even exponent", rsaSPKI(t, sound, 65538), issuer.ReasonWeakKey},
		{"even modulus", rsaSPKI(t, new(big.Int).SetBit(sound, 0, 0), 65537), issuer.ReasonWeakKey},
		{"ROCA", rsaSPKI(t, rocaKey(t), 65537), issuer.ReasonWeakKey},
		{"sound, but not the signer's", rsaSPKI(t, sound, 65537), issuer.ReasonSignature},
	} {
		want := issuer.Expect{CN: "a", Alg: "RS256", SPKI: sha256.Sum256(c.spki)}
		b := assembleRequest(t, der(t, *goodForm(t, c.spki, want)), makers[3].identifier, make([]byte, 256))
		_, err := issuer.ParseRequest(b, want)
		if refused, ok := errors.AsType[*issuer.Refusal](err); !ok || refused.Reason != c.want {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// TestKeyEncodings signs soundly with keys that are not written in their one form.
func TestKeyEncodings(t *testing.T) {
	key := newKey(t, elliptic.P256())
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	compressed := append([]byte{2 + point[64]&1}, point[1:33]...)
	p256 := []byte{0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}
	spki := func(alg, bits []byte, more ...byte) []byte {
		body := append(append(alg[:len(alg):len(alg)], der(t, asn1.BitString{Bytes: bits, BitLength: 8 * len(bits)})...), more...)
		return der(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: body})
	}
	infinity := []byte{0}
	for _, c := range []struct {
		name string
		spki []byte
		want issuer.Reason
	}{
		{"compressed point", spki(p256, compressed), issuer.ReasonWeakKey},
		{"point at infinity", spki(p256, infinity), issuer.ReasonWeakKey},
		{"no point", spki(p256, nil), issuer.ReasonWeakKey},
		{"trailing data", spki(p256, point, 5, 0), issuer.ReasonMalformed},
		{"hybrid point", spki(p256, append([]byte{6 + point[64]&1}, point[1:]...)), issuer.ReasonWeakKey},
	} {
		want := issuer.Expect{CN: "a", Alg: "ES256", SPKI: sha256.Sum256(c.spki)}
		_, err := issuer.ParseRequest(signRequest(t, der(t, *goodForm(t, c.spki, want)), key), want)
		if refused, ok := errors.AsType[*issuer.Refusal](err); !ok || refused.Reason != c.want {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	want := issuer.Expect{CN: "a", Alg: "ES256", SPKI: sha256.Sum256(spki(p256, point))}
	if _, err := issuer.ParseRequest(signRequest(t, der(t, *goodForm(t, spki(p256, point), want)), key), want); err != nil {
		t.Errorf("what they were made from: %v", err)
	}
}

func TestKeyIdentifier(t *testing.T) {
	// crypto/x509 uses the same method since Go 1.25 for issuers without one.
	key := newKey(t, elliptic.P256())
	w := newWorld(t, elliptic.P256())
	c := selfSigned(t, w, &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: w.now, NotAfter: w.now})
	if got := issuer.KeyIdentifier(c.RawSubjectPublicKeyInfo); string(got) != string(c.SubjectKeyId) {
		t.Errorf("%x, crypto/x509 has %x", got, c.SubjectKeyId)
	}
	if issuer.KeyIdentifier([]byte("x")) != nil || issuer.KeyIdentifier(append(spkiOf(t, key.Public()), 0)) != nil {
		t.Error("an identifier of something that is no key")
	}
}
