// SPDX-License-Identifier: Apache-2.0

package authority_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/record"
)

// crlWorld is an issuer whose certificates and revocations are in a ledger.
type crlWorld struct {
	t      *testing.T
	ledger *ledger.Ledger
	issuer *issuer.Issuer
	now    time.Time
	n      int
}

func newCRLWorld(t *testing.T) *crlWorld {
	t.Helper()
	w := &crlWorld{t: t, now: time.Date(2026, 11, 22, 7, 31, 0, 0, time.UTC)}
	rootKey, key := newKey(t, elliptic.P256()), newKey(t, elliptic.P256())
	ca := func(name string, public *ecdsa.PublicKey, parent *x509.Certificate) *x509.Certificate {
		spki, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(int64(len(name))), Subject: pkix.Name{CommonName: name}, SubjectKeyId: issuer.KeyIdentifier(spki),
			NotBefore: w.now.AddDate(-1, 0, 0), NotAfter: w.now.AddDate(20, 0, 0), IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
		if parent == nil {
			parent = c
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, public, rootKey)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	root := ca("root", &rootKey.PublicKey, nil)
	var err error
	w.issuer, err = issuer.New(issuer.Config{
		Chain: []*x509.Certificate{ca("intermediate", &key.PublicKey, root), root}, Signer: key, Now: func() time.Time { return w.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	c := ledger.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Origin: "ulm/st-07/1", Signer: newKey(t, elliptic.P256())}
	if err := ledger.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if w.ledger, err = ledger.Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.ledger.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *crlWorld) append(b record.Body, blobs ...[]byte) {
	w.t.Helper()
	b.Station, b.Operator, b.Software, b.Claims = "", "op-17", "test", nil
	if b.Time == "" || b.Kind != record.KindCRL {
		b.Time = record.Timestamp(w.now)
	}
	if _, err := w.ledger.Append(w.t.Context(), ledger.Batch{Bodies: []record.Body{b}, Blobs: blobs}); err != nil {
		w.t.Fatal(err)
	}
}

// issue makes a certificate and puts it on record.
func (w *crlWorld) issue() *issuer.Certificate {
	w.t.Helper()
	w.n++
	name := fmt.Sprintf("sensor-%03d", w.n)
	profile, err := issuer.BuiltinProfile("mtls")
	if err != nil {
		w.t.Fatal(err)
	}
	draft, err := w.issuer.Prepare(profile, deviceRequest(w.t, name), issuer.Unit{Serial: name})
	if err != nil {
		w.t.Fatal(err)
	}
	cert, err := w.issuer.Sign(w.t.Context(), draft.TBS(), draft.SPKI())
	if err != nil {
		w.t.Fatal(err)
	}
	b := record.Example(record.KindIssued)
	b.Cert, b.CertSerial, b.IssuerKey = hex.EncodeToString(cert.SHA256[:]), cert.Serial, w.issuer.KeyID()
	b.NotBefore, b.NotAfter = record.Timestamp(cert.Parsed.NotBefore), record.Timestamp(cert.Parsed.NotAfter)
	w.append(b, cert.DER)
	return cert
}

func (w *crlWorld) revoke(c *issuer.Certificate, reason string) {
	w.t.Helper()
	w.append(record.Body{
		Kind: record.KindRevoked, Cert: hex.EncodeToString(c.SHA256[:]), CertSerial: c.Serial, IssuerKey: w.issuer.KeyID(), Reason: reason,
	})
}

// list makes a list and puts it on record.
func (w *crlWorld) list(number int64) *issuer.CRL {
	w.t.Helper()
	crl, b, err := authority.NewCRL(w.t.Context(), authority.CRLConfig{
		Reader: w.ledger.Reader(), Issuer: w.issuer, Days: 30, Number: number, Now: w.now,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.append(b, crl.DER)
	if stored, err := w.ledger.Reader().Blob(w.t.Context(), b.CRL); err != nil || sha256.Sum256(stored) != crl.SHA256 {
		w.t.Errorf("the list on record is not the list: %v", err)
	}
	return crl
}

// TestCRLFromLedger: openssl takes the good one and refuses the revoked one,
// crypto/x509 sees the same list.
func TestCRLFromLedger(t *testing.T) {
	w := newCRLWorld(t)
	w.now = time.Now().UTC()
	good, bad := w.issue(), w.issue()
	w.revoke(bad, "keyCompromise")
	crl := w.list(0)
	dir := t.TempDir()
	write := func(name, label string, der []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("root.pem", "CERTIFICATE", w.issuer.Root().Raw)
	write("ca.pem", "CERTIFICATE", w.issuer.Certificate().Raw)
	write("good.pem", "CERTIFICATE", good.DER)
	write("bad.pem", "CERTIFICATE", bad.DER)
	write("crl.pem", "X509 CRL", crl.DER)
	openssl(t, dir, "crl", "-in", "crl.pem", "-CAfile", "ca.pem", "-noout", "-verify")
	verify := []string{"verify", "-crl_check", "-CRLfile", "crl.pem", "-CAfile", "root.pem", "-untrusted", "ca.pem"}
	openssl(t, dir, append(verify, "good.pem")...)
	c := exec.Command("openssl", append(verify, "bad.pem")...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err == nil || !strings.Contains(string(out), "certificate revoked") {
		t.Errorf("openssl takes a revoked certificate: %v\n%s", err, out)
	}
	entries := crl.Parsed.RevokedCertificateEntries
	if len(entries) != 1 || entries[0].SerialNumber.Cmp(bad.Parsed.SerialNumber) != 0 || entries[0].ReasonCode != 1 {
		t.Errorf("listed: %+v", entries)
	}
}

// TestCRLForgets what ended, but not before a list made after the end named it
// (RFC 5280 3.3): also where no list was made in its lifetime.
func TestCRLForgets(t *testing.T) {
	w := newCRLWorld(t)
	early, late := w.issue(), w.issue()
	want := func(number int64, certs ...*issuer.Certificate) {
		t.Helper()
		crl := w.list(0)
		var got, wanted []string
		for _, e := range crl.Parsed.RevokedCertificateEntries {
			got = append(got, e.SerialNumber.String())
		}
		for _, c := range certs {
			wanted = append(wanted, c.Parsed.SerialNumber.String())
		}
		if fmt.Sprint(got) != fmt.Sprint(wanted) || crl.Parsed.Number.Int64() != number {
			t.Errorf("%s: list %s names %v, want list %d with %v", w.now, crl.Parsed.Number, got, number, wanted)
		}
	}
	want(1)
	w.revoke(early, "superseded")
	want(2, early)
	w.now = early.Parsed.NotAfter.Add(-time.Minute)
	w.revoke(late, "unspecified")
	w.now = early.Parsed.NotAfter
	want(3, early, late) // the last second of its life
	w.now = w.now.Add(time.Second)
	want(4, early, late) // the first list behind it
	want(5)
	again := w.issue()
	w.now = again.Parsed.NotAfter.Add(time.Hour)
	w.revoke(again, "superseded")
	want(6, again)
	want(7)
}

func TestCRLNumbers(t *testing.T) {
	w := newCRLWorld(t)
	for _, try := range [][2]int64{{0, 1}, {0, 2}, {70, 70}, {3, 71}} {
		if got := w.list(try[0]).Parsed.Number.Int64(); got != try[1] {
			t.Errorf("with at least %d: number %d, want %d", try[0], got, try[1])
		}
	}
	w.now = w.now.Add(-time.Minute)
	for _, try := range []struct {
		days int
		want string
	}{{30, "set the clock"}, {0, "allowed: 1 to 3650"}, {3651, "allowed: 1 to 3650"}} {
		_, _, err := authority.NewCRL(t.Context(), authority.CRLConfig{Reader: w.ledger.Reader(), Issuer: w.issuer, Days: try.days, Now: w.now})
		if err == nil || !strings.Contains(err.Error(), try.want) {
			t.Errorf("%d days: %v, want %s", try.days, err, try.want)
		}
	}
}

// TestCRLDue until a list was made behind the end of the last certificate.
func TestCRLDue(t *testing.T) {
	w := newCRLWorld(t)
	want := func(due bool) {
		t.Helper()
		got, err := authority.CRLDue(t.Context(), w.ledger.Reader(), w.issuer.KeyID())
		if err != nil || got != due {
			t.Errorf("%s: due is %v, %v", w.now, got, err)
		}
	}
	want(false) // it never issued
	c := w.issue()
	want(true)
	w.list(0)
	want(true)
	w.now = c.Parsed.NotAfter
	w.list(0)
	want(true)
	w.now = w.now.Add(time.Second)
	want(true)
	w.list(0)
	want(false)
}
