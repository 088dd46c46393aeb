// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/issuer"
)

func (w *world) terms(number int64, revoked ...issuer.Revoked) issuer.CRLTerms {
	return issuer.CRLTerms{Number: number, ThisUpdate: w.now, NextUpdate: w.now.AddDate(0, 0, 30), Revoked: revoked}
}

// leaf issues a device's certificate.
func (w *world) leaf(t *testing.T, name string) *issuer.Certificate {
	t.Helper()
	profile, err := issuer.BuiltinProfile("mtls")
	if err != nil {
		t.Fatal(err)
	}
	draft, err := w.issuer.Prepare(profile, newDevice(t, name, "").parsed(t), issuer.Unit{Serial: name})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := w.issuer.Sign(t.Context(), draft.TBS(), draft.SPKI())
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestCRL lets openssl judge lists of both curves: signature, text, and the
// verification of a good and a revoked certificate.
func TestCRL(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
		t.Run(curve.Params().Name, func(t *testing.T) {
			dir, w := t.TempDir(), newWorld(t, curve)
			good, bad := w.leaf(t, "good"), w.leaf(t, "bad")
			at := w.now.Add(-time.Hour)
			crl, err := w.issuer.CRL(t.Context(), w.terms(7, issuer.Revoked{Serial: bad.Serial, Time: at, Reason: "keyCompromise"}))
			if err != nil {
				t.Fatal(err)
			}
			if err := crl.Parsed.CheckSignatureFrom(w.intermediate); err != nil {
				t.Error(err)
			}
			writeFile(t, filepath.Join(dir, "list.pem"), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: crl.DER}))
			writeCert(t, filepath.Join(dir, "root.pem"), w.root.Raw)
			writeCert(t, filepath.Join(dir, "intermediate.pem"), w.intermediate.Raw)
			writeCert(t, filepath.Join(dir, "good.pem"), good.DER)
			writeCert(t, filepath.Join(dir, "bad.pem"), bad.DER)
			if out := openssl(t, dir, "crl", "-in", "list.pem", "-CAfile", "intermediate.pem", "-noout", "-verify"); !strings.Contains(out, "verify OK") {
				t.Error(out)
			}
			shown := openssl(t, dir, "crl", "-in", "list.pem", "-noout", "-text")
			for _, want := range []string{
				"Version 2 (0x1)", "X509v3 CRL Number: \n                7", "Key Compromise",
				"Serial Number: " + strings.ToUpper(bad.Serial), "Revocation Date: " + at.Format("Jan _2 15:04:05 2006 GMT"),
				"Next Update: " + w.now.AddDate(0, 0, 30).Format("Jan _2 15:04:05 2006 GMT"),
				strings.ToUpper(colons(w.intermediate.SubjectKeyId)),
			} {
				if !strings.Contains(shown, want) {
					t.Errorf("openssl does not show %q in\n%s", want, shown)
				}
			}
			verify := []string{"verify", "-crl_check", "-CRLfile", "list.pem", "-CAfile", "root.pem", "-untrusted", "intermediate.pem"}
			openssl(t, dir, append(verify, "good.pem")...)
			c := exec.Command("openssl", append(verify, "bad.pem")...)
			c.Dir = dir
			if out, err := c.CombinedOutput(); err == nil || !strings.Contains(string(out), "certificate revoked") {
				t.Errorf("openssl takes a revoked certificate: %v\n%s", err, out)
			}
		})
	}
}

func colons(b []byte) string {
	var parts []string
	for _, x := range b {
		parts = append(parts, hex.EncodeToString([]byte{x}))
	}
	return strings.Join(parts, ":")
}

// TestCRLReasons: every reason of the table comes back as it went in, and
// unspecified is not written out (RFC 5280 5.3.1).
func TestCRLReasons(t *testing.T) {
	w := newWorld(t, elliptic.P256())
	var revoked []issuer.Revoked
	for n, r := range issuer.RevocationReasons() {
		revoked = append(revoked, issuer.Revoked{Serial: fmt.Sprintf("%02x", n+1), Time: w.now, Reason: r.Name})
	}
	crl, err := w.issuer.CRL(t.Context(), w.terms(1, revoked...))
	if err != nil {
		t.Fatal(err)
	}
	for n, e := range crl.Parsed.RevokedCertificateEntries {
		r := issuer.RevocationReasons()[n]
		if e.ReasonCode != r.Code || (len(e.Extensions) == 0) != (r.Code == 0) {
			t.Errorf("%s: code %d, %d extensions", r.Name, e.ReasonCode, len(e.Extensions))
		}
	}
}

func TestCRLRefusals(t *testing.T) {
	w := newWorld(t, elliptic.P256())
	one := issuer.Revoked{Serial: "0102", Time: w.now, Reason: "superseded"}
	with := func(change func(*issuer.Revoked)) issuer.Revoked {
		r := one
		change(&r)
		return r
	}
	backwards := w.terms(1)
	backwards.NextUpdate = backwards.ThisUpdate
	for name, try := range map[string]struct {
		terms issuer.CRLTerms
		want  string
	}{
		"number":    {w.terms(0), "begin at 1"},
		"hold":      {w.terms(1, with(func(r *issuer.Revoked) { r.Reason = "certificateHold" })), "is not a reason"},
		"serial":    {w.terms(1, with(func(r *issuer.Revoked) { r.Serial = "xy" })), "not a serial number"},
		"twice":     {w.terms(1, one, one), "twice"},
		"backwards": {backwards, "nextUpdate"},
	} {
		if _, err := w.issuer.CRL(t.Context(), try.terms); err == nil || !strings.Contains(err.Error(), try.want) {
			t.Errorf("%s: %v, want %q", name, err, try.want)
		}
	}
	w.intermediate = w.certify(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "No CRL"}, SerialNumber: big.NewInt(3), NotBefore: w.now, NotAfter: w.now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}, w.key.Public())
	if _, err := w.newIssuer(t).CRL(t.Context(), w.terms(1)); err == nil || !strings.Contains(err.Error(), "cRLSign") {
		t.Errorf("an intermediate without cRLSign: %v", err)
	}
}

// TestParseCRL refuses lists that are well-formed but not of our form.
func TestParseCRL(t *testing.T) {
	w := newWorld(t, elliptic.P256())
	crl, err := w.issuer.CRL(t.Context(), w.terms(1, issuer.Revoked{Serial: "0102", Time: w.now, Reason: "superseded"}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := issuer.ParseCRL(crl.DER); err != nil {
		t.Error(err)
	}
	make := func(change func(*x509.RevocationList)) []byte {
		l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: w.now, NextUpdate: w.now.AddDate(0, 0, 1)}
		change(l)
		der, err := x509.CreateRevocationList(rand.Reader, l, w.intermediate, w.key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	entry := x509.RevocationListEntry{SerialNumber: big.NewInt(5), RevocationTime: w.now}
	for name, try := range map[string]struct {
		der  []byte
		want string
	}{
		"empty": {nil, "0 bytes"},
		"long":  {append(crl.DER, 0), "behind it"},
		"cut":   {crl.DER[:len(crl.DER)-1], "does not parse"},
		"delta": {make(func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}
		}), "2.5.29.27"},
		"number 0": {make(func(l *x509.RevocationList) { l.Number = big.NewInt(0) }), "number 0"},
		"hold": {make(func(l *x509.RevocationList) {
			e := entry
			e.ReasonCode = 6
			l.RevokedCertificateEntries = []x509.RevocationListEntry{e}
		}), "another reason"},
		"twice": {make(func(l *x509.RevocationList) { l.RevokedCertificateEntries = []x509.RevocationListEntry{entry, entry} }), "twice"},
	} {
		if _, err := issuer.ParseCRL(try.der); err == nil || !strings.Contains(err.Error(), try.want) {
			t.Errorf("%s: %v, want %q", name, err, try.want)
		}
	}
}
