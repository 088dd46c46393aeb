// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/asn1"
	"io"
	"math/big"
	"strings"
	"testing"

	"provisioning.example/station/internal/record"
)

// TestRequestLies has entries say of a request, a name or a lock what is not so.
func TestRequestLies(t *testing.T) {
	other := digest([]byte("other"))
	for _, lie := range []struct {
		name, kind string
		change     func(*record.Body)
		area, what string
	}{
		{"no lie", record.KindIssuing, func(*record.Body) {}, "", ""},
		{"the request's nonce", record.KindIssuing, func(b *record.Body) { b.Nonce = strings.Repeat("00", 32) }, "", ""},
		{"another nonce", record.KindIssuing, func(b *record.Body) { b.Nonce = other }, "request", "does not answer its nonce"},
		{"another name", record.KindIssuing, func(b *record.Body) { b.CN = "SN-0002" }, "request", `for the name "SN-0001", not "SN-0002"`},
		{"another r", record.KindIssuing, func(b *record.Body) { b.CSRR = other }, "request", "says csr_r"},
		{"another certificate's name", record.KindIssued, func(b *record.Body) { b.CN = "SN-0002" }, "certificate", `for the name "SN-0001", not "SN-0002"`},
		{"locked", record.KindEnd, func(b *record.Body) { b.Lock = true }, "", ""},
		{"not locked", record.KindEnd, func(b *record.Body) { b.Lock, b.Receipt.State = true, 2 }, "receipt", "in state 2, which its product wants locked"},
	} {
		t.Run(lie.name, func(t *testing.T) {
			w := newWorld(t)
			w.provision(w.make(1, newKey(t)), func(b *record.Body) {
				if b.Kind == lie.kind {
					lie.change(b)
				}
			})
			r := w.verify(w.anchors())
			if lie.what != "" {
				expect(t, r, lie.area, lie.what)
			} else if !r.OK() {
				t.Error(r.Verdict())
			}
		})
	}
}

// TestForeignRequest stores requests that are not this unit's.
func TestForeignRequest(t *testing.T) {
	for name, c := range map[string]struct {
		csr  func(w *world, m made) []byte
		want string
	}{
		"of another key":   {func(w *world, m made) []byte { return w.request(newKey(t), "SN-0001") }, "for another key"},
		"for another name": {func(w *world, m made) []byte { return w.request(m.key, "SN-0009") }, `is about to sign for "SN-0001"`},
		"not a request":    {func(*world, made) []byte { return []byte("csr") }, "does not parse"},
		"not signed by it": {func(w *world, m made) []byte {
			m.csr[len(m.csr)-1] ^= 1
			return m.csr
		}, "its own key did not sign"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			m := w.make(1, newKey(t))
			m.csr = c.csr(w, m)
			w.provision(m, nil)
			expect(t, w.verify(w.anchors()), "request", c.want)
		})
	}
}

// once is a key that signs with the same secret number each time (FIPS 186-5, 6.4.1).
type once struct{ *ecdsa.PrivateKey }

func (k once) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	number, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), []byte(strings.Repeat("k", 32)))
	if err != nil {
		return nil, err
	}
	point, err := number.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	secret, err := k.Bytes()
	if err != nil {
		return nil, err
	}
	n := elliptic.P256().Params().N
	r := new(big.Int).Mod(new(big.Int).SetBytes(point[1:33]), n)
	s := new(big.Int).Mul(r, new(big.Int).SetBytes(secret))
	s.Add(s, new(big.Int).SetBytes(digest))
	s.Mul(s, new(big.Int).ModInverse(new(big.Int).SetBytes([]byte(strings.Repeat("k", 32))), n))
	return asn1.Marshal(struct{ R, S *big.Int }{r, s.Mod(s, n)})
}

// TestRepeatedRandom finds two requests that give their keys away.
func TestRepeatedRandom(t *testing.T) {
	w := newWorld(t)
	for n := range 2 {
		m := w.make(n+1, newKey(t))
		m.csr = w.request(once{m.key}, m.cert.Subject.CommonName)
		w.provision(m, nil)
	}
	expect(t, w.verify(w.anchors()), "request", "the random number of that in entry 4 of epoch 1, board gw-2/")
}

// TestKeyMadeTwice finds a key that two boards made, though the first no longer
// holds it.
func TestKeyMadeTwice(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	made := func(b *record.Body) {
		if b.Kind == record.KindKey {
			b.Made = true
		}
	}
	first := w.make(1, key)
	w.provision(first, made)
	b := first.body
	w.record(true, nil, []record.Body{
		{
			Kind: record.KindRevoked, Serial: b.Serial, Model: b.Model, UID: b.UID, SPKI: b.SPKI, Cert: digest(first.cert.Raw),
			CertSerial: first.certified(record.KindIssued).CertSerial, Reason: "cessationOfOperation", Approver: "qa",
		},
		{Kind: record.KindScrap, Serial: b.Serial, Model: b.Model, UID: b.UID, Reason: "broken", Approver: "qa", Releases: []record.Claim{
			{Kind: record.ClaimSerial, Value: b.Serial}, {Kind: record.ClaimUID, Value: b.Unit()}, {Kind: record.ClaimSPKI, Value: b.SPKI},
		}},
	})
	if r := w.verify(w.anchors()); !r.OK() {
		t.Fatal(r.Verdict())
	}
	w.provision(w.make(2, key), made)
	expect(t, w.verify(w.anchors()), "life", "which board gw-2/")
}
