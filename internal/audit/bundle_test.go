// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/record/bundle"
)

// bundled writes the world's ledger as a bundle, as the station's export does.
func (w *world) bundled(name string) string { return w.bundledBy(w, name, "ulm/st-07") }

// bundledBy lets another ledger record it.
func (w *world) bundledBy(by *world, name, station string) string {
	w.t.Helper()
	w.open()
	snapshot, err := w.reader().Snapshot(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	defer snapshot.Close() //nolint:errcheck // test
	var certs []byte
	for _, der := range [][]byte{w.issuer.Raw, w.root.Raw, w.checkpoint.Raw} {
		certs = append(certs, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	path := filepath.Join(w.t.TempDir(), name)
	f, err := os.Create(path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // test
	_, err = bundle.Write(w.t.Context(), f, snapshot, bundle.Head{
		Station: station, Created: record.Timestamp(began), Operator: "op-17", Software: "test", Certificates: certs,
		Sign: func(_ context.Context, manifest string, m *bundle.Manifest) ([]byte, record.Proof, error) {
			by.record(true, nil, []record.Body{{Kind: record.KindExport, Format: "bundle", FileDigest: manifest, Count: m.Entries()}})
			size, _ := by.ledger.Size()
			proof, err := by.ledger.Proof(w.t.Context(), size)
			if err != nil {
				return nil, proof, err
			}
			e, err := by.ledger.Reader().Entry(w.t.Context(), 1, size)
			return e.Raw, proof, err
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return path
}

func judge(t *testing.T, path string, anchors audit.Anchors) *audit.Report {
	t.Helper()
	b, err := bundle.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close() //nolint:errcheck // test
	r, err := audit.VerifyBundle(t.Context(), b, anchors)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestBundleIsJudgedAsItsLedger(t *testing.T) {
	w := newWorld(t)
	for n := range 5 {
		w.provision(w.make(n, newKey(t)), nil)
	}
	ledger := w.verify(w.anchors())
	path := w.bundled("first")
	b, err := bundle.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close() //nolint:errcheck // test
	anchors, err := audit.SortCertificates(b.Certificates, w.root)
	if err != nil {
		t.Fatal(err)
	}
	r := judge(t, path, anchors)
	if !r.OK() || !r.Proven || r.Verdict() != ledger.Verdict() {
		t.Fatalf("bundle: %s\nledger: %s", r.Verdict(), ledger.Verdict())
	}
	// Without a root, nothing that came along proves anything.
	if anchors, err = audit.SortCertificates(b.Certificates, nil); err != nil {
		t.Fatal(err)
	}
	if r := judge(t, path, anchors); !r.OK() || r.Proven {
		t.Fatalf("without an anchor: %s", r.Verdict())
	}
	// A later bundle contains what the first one's checkpoint covers; the first does not contain the later one's.
	w.provision(w.make(5, newKey(t)), nil)
	second, err := bundle.Open(t.Context(), w.bundled("second"))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close() //nolint:errcheck // test
	earlier := w.anchors()
	earlier.Known = [][]byte{b.Proof.Checkpoint}
	if r, err := audit.VerifyBundle(t.Context(), second, earlier); err != nil || !r.OK() {
		t.Fatalf("with the first bundle's checkpoint: %v, %v", r, err)
	}
	later := w.anchors()
	later.Known = [][]byte{second.Proof.Checkpoint}
	if r := judge(t, path, later); r.OK() || !strings.Contains(r.Verdict(), "it was rolled back") {
		t.Fatalf("an older bundle: %s", r.Verdict())
	}
}

// TestBundleDamage flips one bit in every byte: each is refused, and where it is in a record, that is named.
func TestBundleDamage(t *testing.T) {
	w := newWorld(t)
	unit := w.make(1, newKey(t))
	w.provision(unit, nil)
	whole, err := os.ReadFile(w.bundled("whole"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "damaged")
	damage := func(data []byte) error {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := bundle.Open(t.Context(), path)
		if err == nil {
			b.Close() //nolint:errcheck // test
		}
		return err
	}
	if err := damage(whole); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		flipped := bytes.Clone(whole)
		flipped[i] ^= 1 << (i % 8)
		var d *bundle.DamageError
		if err := damage(flipped); !errors.As(err, &d) {
			t.Fatalf("bit %d of byte %d of %d flipped: %v", i%8, i, len(whole), err)
		}
	}
	for i := range 40 {
		if err := damage(whole[:len(whole)*i/40]); err == nil {
			t.Fatalf("cut at %d fortieths: taken", i)
		}
	}
	named := map[string]string{
		`"kind":"issuing"`: "epoch-1/entries.jsonl, entry 4: ", // after the authority, begun and key
		answer:             "blobs.bin, blob " + digest(unit.csr),
	}
	for text, want := range named {
		at := bytes.Index(whole, []byte(text))
		if at < 0 {
			t.Fatalf("%q is not in the bundle", text)
		}
		flipped := bytes.Clone(whole)
		flipped[at+3] ^= 1
		if err := damage(flipped); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q spoilt: %v, want %s", text, err, want)
		}
	}
}

// TestForgedBundle is a bundle that somebody wrote anew: every digest of its own fits, and the ledger never recorded it.
func TestForgedBundle(t *testing.T) {
	w := newWorld(t)
	w.provision(w.make(1, newKey(t)), nil)
	other := newWorld(t)
	other.provision(other.make(1, newKey(t)), nil)
	r := judge(t, other.bundled("other"), w.anchors())
	if r.OK() || r.Proven {
		t.Fatalf("another station's ledger under our anchors: %s", r.Verdict())
	}
	if !strings.Contains(fmt.Sprint(r.Findings), "manifest") {
		t.Fatalf("the manifest passes: %v", r.Findings)
	}
}

// TestBorrowedManifest: the ledger of another station, certified by the same root, recorded the bundle; or it calls itself another station's.
func TestBorrowedManifest(t *testing.T) {
	w := newWorld(t)
	w.provision(w.make(1, newKey(t)), nil)
	key := newKey(t)
	const origin8 = "ulm/st-08/1"
	cert := certify(t, &x509.Certificate{
		SerialNumber: big.NewInt(1<<50 + 1), Subject: pkix.Name{CommonName: origin8}, URIs: []*url.URL{{Scheme: "ledger", Opaque: origin8}},
		KeyUsage: x509.KeyUsageDigitalSignature, NotBefore: began, NotAfter: began.AddDate(20, 0, 0),
	}, w.root, &key.PublicKey, w.rootKey)
	by := &world{t: t, config: ledger.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Origin: origin8, Signer: key}}
	if err := ledger.Create(t.Context(), by.config); err != nil {
		t.Fatal(err)
	}
	for range 20 { // so that its export entry has a number that could be
		by.record(false, nil, []record.Body{{Kind: record.KindStop}})
	}
	anchors := w.anchors()
	anchors.Certificates = append(anchors.Certificates, cert)
	if r := judge(t, w.bundledBy(by, "borrowed", "ulm/st-07"), anchors); r.OK() || !strings.Contains(r.Verdict(), "was recorded by the ledger of ulm/st-08/1") {
		t.Errorf("recorded elsewhere: %s", r.Verdict())
	}
	if r := judge(t, w.bundledBy(w, "renamed", "ulm/st-08"), anchors); r.OK() || !strings.Contains(r.Verdict(), `calls itself one of "ulm/st-08"`) {
		t.Errorf("under another name: %s", r.Verdict())
	}
}
