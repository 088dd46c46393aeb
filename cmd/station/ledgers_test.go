// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/export"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/record/bundle"
	"provisioning.example/station/internal/record/dossier"
)

var updateLedgers = flag.Bool("update-ledgers", false, "write testdata/ledgers/SCHEMA-VERSION anew, with this program")

// ledgersNonce is what the bundles there were asked.
const ledgersNonce = "00112233445566778899aabbccddeeff"

// TestLedgersOfBefore: what earlier versions wrote is read, judged and exported by this one, and its evidence is the same to the byte.
// testdata/ledgers/README.md says what is there.
func TestLedgersOfBefore(t *testing.T) {
	const all = "testdata/ledgers"
	if *updateLedgers {
		makeLedger(t, filepath.Join(all, fmt.Sprint(reader.SchemaVersion)))
	}
	dirs, err := os.ReadDir(all)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, d := range dirs {
		if d.IsDir() {
			seen++
			t.Run("schema version "+d.Name(), func(t *testing.T) { judgeOld(t, filepath.Join(all, d.Name())) })
		}
	}
	if seen < reader.SchemaVersion {
		t.Errorf("ledgers of %d schema versions, this program writes version %d", seen, reader.SchemaVersion)
	}
}

// judgeOld reads all that is in a folder.
func judgeOld(t *testing.T, dir string) {
	root, err := readCertificate(filepath.Join(dir, "root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(t.Context(), filepath.Join(dir, "ledger.bundle"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close() //nolint:errcheck // test
	anchors, err := audit.SortCertificates(b.Certificates, root)
	if err != nil {
		t.Fatal(err)
	}
	asked := anchors
	if asked.Nonce, err = record.ParseNonce(ledgersNonce); err != nil {
		t.Fatal(err)
	}
	r, err := audit.VerifyBundle(t.Context(), b, asked)
	if err != nil {
		t.Fatal(err)
	}
	wantOld(t, "bundle", r)
	if r.Challenge == nil || !r.Challenge.Proven {
		t.Errorf("bundle: the challenge: %s", r.Verdict())
	}
	d, err := dossier.Open(filepath.Join(dir, "unit.zip"))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := audit.VerifyUnit(t.Context(), d, anchors); err != nil || r.Grade() != audit.Valid {
		t.Errorf("unit: %v, %v", r, err)
	}
	judgeOldFile(t, dir, anchors)
}

// judgeOldFile takes in a copy of the database, as a restore does: reading must not change what is kept.
func judgeOldFile(t *testing.T, dir string, anchors audit.Anchors) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	if _, err := ledger.TakeIn(t.Context(), filepath.Join(dir, "ledger.db"), path); err != nil {
		t.Fatal(err)
	}
	l, err := reader.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	report, err := audit.Verify(t.Context(), l, anchors)
	if err != nil {
		t.Fatal(err)
	}
	wantOld(t, "database", report)
	want, err := os.ReadFile(filepath.Join(dir, "evidence.sha256"))
	if err != nil {
		t.Fatal(err)
	}
	if got := evidence(t, l); got != string(want) {
		t.Errorf("the evidence is another one: %s, want %s", got, want)
	}
	for _, format := range export.Formats() {
		if res, err := export.Write(t.Context(), io.Discard, format, l, export.Options{}); err != nil || res.Rows == 0 {
			t.Errorf("%s: %d rows, %v", format, res.Rows, err)
		}
	}
}

// evidence is the digest of the entries as JSONL, as sha256sum prints it.
func evidence(t *testing.T, l *reader.Reader) string {
	t.Helper()
	sum := sha256.New()
	if _, err := export.Write(t.Context(), sum, "jsonl", l, export.Options{}); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil)) + "  evidence.jsonl\n"
}

func wantOld(t *testing.T, what string, r *audit.Report) {
	t.Helper()
	if r.Grade() != audit.Valid || r.Passed != 4 || r.Corrections != 1 || r.Signoffs != 3 || r.Certified == 0 || r.Unvouched != 0 || r.Lists != 1 {
		t.Errorf("%s: %s\n%v", what, r.Verdict(), r.Findings)
	}
	var begins []string
	for _, e := range r.Epochs {
		begins = append(begins, e.Begins)
	}
	if got := strings.Join(begins[1:], " "); got != "handover restored" {
		t.Errorf("%s: epochs after the first begin with %q", what, got)
	}
}

// twoRounds has the root challenge the TPM and certify what it made.
func (p *plant) twoRounds(replace ...string) {
	p.t.Helper()
	root := func(args ...string) {
		p.must(append([]string{"root", args[0], "--root", p.path("root"), "--passphrase-file", p.path("passphrase")}, args[1:]...)...)
	}
	pin := ""
	for line := range strings.Lines(p.must(append([]string{"ca", "request", "--pin-file", p.path("pin")}, replace...)...)) {
		if text, found := strings.CutPrefix(line, "endorsement key of the TPM, SHA-256: "); found {
			pin = strings.TrimSpace(text)
		}
	}
	for _, name := range []string{"challenge.pem", "tpm.pem", "answer.pem"} {
		if err := os.RemoveAll(p.path(name)); err != nil {
			p.t.Fatal(err)
		}
	}
	request := p.path("home/ca/request.pem")
	root("challenge", "--in", request, "--out", p.path("challenge.pem"), "--ek-pin", pin)
	p.must("ca", "answer", "--in", p.path("challenge.pem"), "--out", p.path("tpm.pem"))
	root("sign", "--in", request, "--answer", p.path("tpm.pem"), "--out", p.path("answer.pem"))
	p.must(append([]string{"ca", "install", p.path("answer.pem")}, replace...)...)
}

// makeLedger lets a station live through three epochs: a TPM that is replaced, and a copy that is put back.
func makeLedger(t *testing.T, dir string) {
	p := newPlantWith(t, posixProduct, func(p *plant) string { return "sim:" + p.path("chip") })
	ports := p.agents(5)
	p.twoRounds("--replace")
	p.must(p.batchArgs(ports[:2])...)
	p.must("scrap", "00c0ffee0002", "--reason", "cessationOfOperation", "--approver", "qa-1")
	p.must("ca", "crl", "--pin-file", p.path("pin"))
	if err := os.RemoveAll(p.path("chip")); err != nil {
		t.Fatal(err)
	}
	p.must(p.handoverArgs("--reason", "the TPM was replaced", "--approver", "qa-1")...)
	p.twoRounds()
	p.must(p.batchArgs(ports[2:3])...)
	p.keepLedger("older.db")
	p.must(p.batchArgs(ports[3:4])...)
	p.must("ledger", "export", "--format", "bundle", "--out", p.path("lost.bundle"))
	p.putLedger("older.db")
	p.must(p.restoreArgs("--accept-loss", "--known", p.path("lost.bundle"))...)
	p.twoRounds("--replace")
	p.must(p.batchArgs(ports[4:])...)
	p.write("operator.pin", "770215")
	as := func(id string, args ...string) []string {
		return append(args, "--operator", id, "--operator-pin-file", p.path("operator.pin"))
	}
	p.must("operator", "add", "otto", "--role", "admin", "--new-pin-file", p.path("operator.pin"))
	p.must(as("otto", "operator", "add", "anna", "--role", "qa", "--new-pin-file", p.path("operator.pin"))...)
	end := p.lastOf(record.KindEnd)
	p.must(as("anna", "ledger", "correct", fmt.Sprint(end), "--field", "slot", "--new", "2", "--reason", "the fixture was turned round")...)
	p.must(as("anna", "ledger", "sign-off", "--reason", "end of shift")...)
	p.must(as("anna", "ledger", "export", "--format", "bundle", "--challenge", ledgersNonce, "--out", p.path("ledger.bundle"))...)
	p.must(as("anna", "ledger", "export", "--format", "audit", "--unit", "00c0ffee0001", "--out", p.path("unit.zip"))...)
	p.keepFixture(dir)
}

// lastOf is the number of the newest entry of a kind, in its epoch.
func (p *plant) lastOf(kind string) int64 {
	p.t.Helper()
	r, err := reader.Open(p.t.Context(), p.path("home/ledger/ledger.db"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Close()
	page, _, _, err := r.Page(p.t.Context(), reader.Filter{Kinds: []string{kind}}, reader.Cursor{}, 1)
	if err != nil || len(page) != 1 {
		p.t.Fatalf("%d entries of kind %s, %v", len(page), kind, err)
	}
	return page[0].Seq
}

func (p *plant) keepFixture(dir string) {
	t := p.t
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p.keepLedger("ledger.db")
	l, err := reader.Open(t.Context(), p.path("ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	p.write("evidence.sha256", evidence(t, l))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{
		"ledger.db": "ledger.db", "ledger.bundle": "ledger.bundle", "unit.zip": "unit.zip", "root.pem": "root/root.pem", "evidence.sha256": "evidence.sha256",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(p.read(from)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
