// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/virtual"
)

// fieldKey is the key of a board with the fault cloned-key: the test speaks for
// it when it has left the line.
func fieldKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	seed := sha256.Sum256([]byte("the key of a board whose random source is not"))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// fielded is a world whose board passed and left the line.
func fielded(t *testing.T) (*world, *ecdsa.PrivateKey) {
	t.Helper()
	w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1, faultOf("cloned-key"))})
	w.recordIssuer()
	wantOutcome(t, w.run()[1], record.Passed, "")
	return w, fieldKey(t)
}

func csrOf(t *testing.T, key crypto.Signer, cn string) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: cn}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (w *world) terms() provision.RenewalTerms {
	return provision.RenewalTerms{Issuer: w.issuer, Profile: issuer.BuiltinProfile}
}

func (w *world) renew(der []byte) *provision.Renewal {
	w.t.Helper()
	r, err := w.desk().Renew(w.t.Context(), w.terms(), der)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, key := fielded(t)
		defer w.close()
		issued := w.entries(uid1, record.KindIssued)[0]
		<-time.After(200 * 24 * time.Hour)
		der := csrOf(t, key, uid1)
		first := w.renew(der)
		cert, err := x509.ParseCertificate(first.Chain[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := w.issuer.Verify(cert); err != nil || first.Kept || len(first.Chain) != 2 || cert.Subject.CommonName != uid1 ||
			!key.PublicKey.Equal(cert.PublicKey) || first.Serial != uid1 || !first.NotAfter.Equal(cert.NotAfter) {
			t.Errorf("renewed: %+v, %v", first, err)
		}
		renewed := w.entries(uid1, record.KindRenewed)
		if len(renewed) != 1 || renewed[0].Predecessor != issued.Cert || renewed[0].CSR != digestHex(der) || renewed[0].Run != "" {
			t.Errorf("on record: %+v", renewed)
		}
		live, found, err := w.reader.Live(t.Context(), w.product.Model, uid1)
		if err != nil || !found || live.Body.Cert != renewed[0].Cert {
			t.Errorf("live is %+v, %v", live.Body, err)
		}
		// The same again, and another one for the same: nothing is signed.
		for _, again := range [][]byte{der, csrOf(t, key, uid1)} {
			if r := w.renew(again); !r.Kept || !bytes.Equal(r.Chain[0], first.Chain[0]) {
				t.Errorf("asked again: %+v", r)
			}
		}
		if _, err := w.desk().Renew(t.Context(), w.terms(), csrOf(t, key, "another")); !errors.Is(err, provision.ErrRefused) {
			t.Errorf("under another name: %v", err)
		}
		// In its last third the very same request gets the next one.
		<-time.After(244 * 24 * time.Hour)
		second := w.renew(der)
		if second.Kept || second.CertSerial == first.CertSerial || w.entries(uid1, record.KindRenewed)[1].Predecessor != renewed[0].Cert {
			t.Errorf("in its last third: %+v", second)
		}
		// On the bench the board is told as what it is.
		w.open()
		wantOutcome(t, w.run()[1], record.Failed, "F-CONNECT-18")
		// Whoever scraps the unit revokes what did not end.
		done, err := w.desk().Scrap(t.Context(), named(uid1), worn)
		if err != nil || len(done.Certificates) != 2 {
			t.Errorf("scrapped: %+v, %v", done, err)
		}
	})
}

// TestRenewByAnotherIssuer: after a rotation a unit gets a certificate of the
// new intermediate, once; what it keeps is told with its own chain.
func TestRenewByAnotherIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, key := fielded(t)
		defer w.close()
		der := csrOf(t, key, uid1)
		first, old := w.renew(der), w.issuer
		w.rotate()
		if r := w.renew(der); !r.Kept || !bytes.Equal(r.Chain[1], old.Certificate().Raw) {
			t.Errorf("the same request: %+v", r)
		}
		next := w.renew(csrOf(t, key, uid1))
		if next.Kept || next.CertSerial == first.CertSerial || !bytes.Equal(next.Chain[1], w.issuer.Certificate().Raw) {
			t.Errorf("another request: %+v", next)
		}
	})
}

func TestRenewalRefused(t *testing.T) {
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ended := func(w *world) { <-time.After(400 * 24 * time.Hour) }
	for name, try := range map[string]struct {
		before func(w *world)
		der    func(key crypto.Signer) []byte
		want   string
	}{
		"stranger": {nil, func(crypto.Signer) []byte { return csrOf(t, stranger, uid1) }, "no unit of this station has key"},
		"name":     {nil, func(key crypto.Signer) []byte { return csrOf(t, key, "another") }, "refused (identity)"},
		"garbage":  {nil, func(crypto.Signer) []byte { return []byte("no request") }, "refused (malformed)"},
		"scrapped": {func(w *world) {
			if _, err := w.desk().Scrap(w.t.Context(), named(uid1), worn); err != nil {
				w.t.Fatal(err)
			}
		}, nil, "was scrapped"},
		"revoked": {func(w *world) {
			if _, err := w.desk().RevokeUnit(w.t.Context(), named(uid1), worn); err != nil {
				w.t.Fatal(err)
			}
		}, nil, "was revoked"},
		"ended": {ended, nil, "--ended renews such too"},
		"reworked": {func(w *world) {
			w.append(record.Body{
				Kind: record.KindRework, Model: w.product.Model, UID: uid1, Reason: "superseded", Approver: "qa-2", Operator: "os:test", Software: "test",
			})
		}, nil, "does not have key"},
		"random number": {func(w *world) {
			der := csrOf(w.t, fieldKey(w.t), uid1)
			r, err := issuer.ParseRenewal(der)
			if err != nil {
				w.t.Fatal(err)
			}
			b := record.Example(record.KindIssuing)
			b.Station, b.Claims, b.Run, b.CSRR = "", nil, "", hex.EncodeToString(r.R())
			w.append(b)
			w.lastCSR = der
		}, nil, "has the random number of another one"},
	} {
		bubble(t, name, func(t *testing.T) {
			w, key := fielded(t)
			defer w.close()
			if try.before != nil {
				try.before(w)
			}
			der := w.lastCSR
			if try.der != nil {
				der = try.der(key)
			} else if der == nil {
				der = csrOf(t, key, uid1)
			}
			_, err := w.desk().Renew(t.Context(), w.terms(), der)
			wantRefused(t, err, try.want)
			if n := len(w.entries(uid1, record.KindRenewed)) + len(w.entries(uid1, record.KindIssuing)); n != 1 {
				t.Errorf("%d certificates on record", n)
			}
		})
	}
	bubble(t, "not passed", func(t *testing.T) {
		w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1, faultOf("cloned-key"))})
		defer w.close()
		stopAt(w, "proven")
		w.run()
		_, err := w.desk().Renew(t.Context(), w.terms(), csrOf(t, fieldKey(t), uid1))
		wantRefused(t, err, "has not passed yet")
	})
	bubble(t, "ended, and asked for", func(t *testing.T) {
		w, key := fielded(t)
		defer w.close()
		ended(w)
		terms := w.terms()
		terms.Ended = true
		if _, err := w.desk().Renew(t.Context(), terms, csrOf(t, key, uid1)); err != nil {
			t.Error(err)
		}
	})
}

// TestRenewalCut dies at each commit point: asking again gives one certificate,
// over the very TBS that was on record.
func TestRenewalCut(t *testing.T) {
	died := errors.New("died")
	for _, point := range []string{"issuing", "signed", "renewed"} {
		bubble(t, point, func(t *testing.T) {
			w, key := fielded(t)
			defer w.close()
			der := csrOf(t, key, uid1)
			func() {
				defer func() {
					if p := recover(); p != died {
						t.Fatalf("it did not die: %v", p)
					}
				}()
				d := w.desk().OnCommit(func(p string) {
					if p == point {
						panic(died)
					}
				})
				_, err := d.Renew(t.Context(), w.terms(), der)
				t.Fatalf("it lived: %v", err)
			}()
			again := w.renew(der)
			issuing, renewed := w.entries(uid1, record.KindIssuing), w.entries(uid1, record.KindRenewed)
			if len(issuing) != 2 || len(renewed) != 1 || renewed[0].TBS != issuing[1].TBS || again.Kept != (point == "renewed") ||
				digestHex(again.Chain[0]) != renewed[0].Cert {
				t.Errorf("%d TBS, %d certificates, answered %+v", len(issuing), len(renewed), again)
			}
		})
	}
	bubble(t, "long ago", func(t *testing.T) {
		w, key := fielded(t)
		defer w.close()
		der := csrOf(t, key, uid1)
		func() {
			defer func() { _ = recover() }()
			_, _ = w.desk().OnCommit(func(string) { panic(died) }).Renew(t.Context(), w.terms(), der)
		}()
		<-time.After(48 * time.Hour)
		w.renew(der)
		if n := len(w.entries(uid1, record.KindIssuing)); n != 3 {
			t.Errorf("%d TBS, want a fresh one", n)
		}
	})
}
