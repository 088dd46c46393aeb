// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/virtual"
)

var everyAlgorithm = []string{"ES256", "ES384", "EdDSA", "RS256"}

// makesAny lets a board make keys of every algorithm.
func makesAny(c *virtual.Config) { c.Algs = everyAlgorithm }

// TestAlgorithms takes a board of every key algorithm through the whole
// procedure, request, proof, rehearsal and receipt, under an issuer of every
// curve; every signature on record is checked once more.
func TestAlgorithms(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
		for _, alg := range everyAlgorithm {
			bubble(t, alg+" under "+curve.Params().Name, func(t *testing.T) {
				w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1, makesAny)}, func(w *world) {
					w.curve, w.product.Algorithm = curve, alg
					w.makeAuthority()
				})
				defer w.close()
				r := w.run()[1]
				wantOutcome(t, r, record.Passed, "")
				w.checkSignatures(t, r.CertSHA256, alg, curve)
			})
		}
	}
}

// checkSignatures looks at everything that one unit's key signed.
func (w *world) checkSignatures(t *testing.T, cert, alg string, curve elliptic.Curve) {
	t.Helper()
	der, err := w.reader.Blob(t.Context(), cert)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if kind := keyAlgorithm(c.PublicKey); kind != alg {
		t.Errorf("the certificate is for a %s key", kind)
	}
	if want := map[string]x509.SignatureAlgorithm{"P-256": x509.ECDSAWithSHA256, "P-384": x509.ECDSAWithSHA384}; c.SignatureAlgorithm != want[curve.Params().Name] {
		t.Errorf("signed with %s", c.SignatureAlgorithm)
	}
	issuing, end := w.entries(uid1, record.KindIssuing)[0], w.entries(uid1, record.KindEnd)[0]
	request, err := w.reader.Blob(t.Context(), issuing.CSR)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(request)
	if err != nil || csr.CheckSignature() != nil {
		t.Errorf("the request on record: %v", err)
	}
	if isECDSA := strings.HasPrefix(alg, "ES"); isECDSA != (issuing.CSRR != "") || issuing.CN != c.Subject.CommonName {
		t.Errorf("r on record %q, CN %q", issuing.CSRR, issuing.CN)
	}
	if err := end.Receipt.Verify(c.PublicKey); err != nil || end.Receipt.Alg != alg {
		t.Errorf("the receipt, %s: %v", end.Receipt.Alg, err)
	}
}

func keyAlgorithm(public any) string {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		return map[string]string{"P-256": "ES256", "P-384": "ES384"}[k.Params().Name]
	case ed25519.PublicKey:
		return "EdDSA"
	case *rsa.PublicKey:
		return "RS256"
	}
	return ""
}

// TestVerifyList: a board that cannot check a signature of the chain is refused
// before anything is signed, whatever the issuer's curve.
func TestVerifyList(t *testing.T) {
	for name, c := range map[string]struct {
		curve  elliptic.Curve
		verify []string
		max    int
		want   string
	}{
		"ES256 under P-256":            {elliptic.P256(), []string{"ES256"}, 0, ""},
		"ES384 under P-384":            {elliptic.P384(), []string{"ES384"}, 0, ""},
		"only ES256 under P-384":       {elliptic.P384(), []string{"ES256"}, 0, "F-ISSUE-06"},
		"only ES384 under P-256":       {elliptic.P256(), []string{"ES384", "EdDSA", "RS256"}, 0, "F-ISSUE-06"},
		"everything, but a small room": {elliptic.P256(), everyAlgorithm, 2048, "F-ISSUE-10"},
	} {
		bubble(t, name, func(t *testing.T) {
			b := board(t, 1, func(v *virtual.Config) { v.Verify, v.Max = c.verify, c.max })
			w := newWorld(t, map[string]*virtual.Board{portName(1): b}, func(w *world) {
				w.curve = c.curve
				w.makeAuthority()
				if c.max > 0 { // a chain of more than the 2048 bytes that every board has room for
					w.profile = profileOf(t, bulky())
				}
			})
			defer w.close()
			r := w.run()[1]
			if code(r.Fault) != c.want {
				t.Fatalf("ended with %v, want %q", r.Fault, c.want)
			}
			if n := len(w.entries(uid1, record.KindIssuing)); (n == 0) != (c.want != "") {
				t.Errorf("%d certificates were about to be signed", n)
			}
		})
	}
}

// bulky is a profile with eight long extensions.
func bulky() string {
	var text strings.Builder
	for n := range 8 {
		fmt.Fprintf(&text, "[[extension]]\noid = '1.3.6.1.4.1.32473.%d'\nvalue = '048201f0%s'\n", n+1, strings.Repeat("00", 0x1f0))
	}
	return text.String()
}

// TestWithoutExpiry provisions with an IDevID under issuers that do not end,
// and refuses it under issuers that do.
func TestWithoutExpiry(t *testing.T) {
	for name, want := range map[string]string{"issuers without end": "", "issuers with an end": "F-ISSUE-08"} {
		bubble(t, name, func(t *testing.T) {
			w := one(t, func(w *world) {
				var err error
				if w.profile, err = issuer.BuiltinProfile("idevid"); err != nil {
					t.Fatal(err)
				}
				if want == "" {
					w.end = issuer.NoExpiry()
				}
				w.makeAuthority()
			})
			defer w.close()
			r := w.run()[1]
			if code(r.Fault) != want {
				t.Fatalf("ended with %v, want %q", r.Fault, want)
			}
			if want != "" {
				return
			}
			if b := w.entries(uid1, record.KindIssued)[0]; b.NotAfter != "9999-12-31T23:59:59.000000Z" {
				t.Errorf("on record it ends at %s", b.NotAfter)
			}
		})
	}
}
