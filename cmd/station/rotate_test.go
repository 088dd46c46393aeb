// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// rotate asks for a new intermediate and has the root sign it.
func (p *plant) rotate(answer string) {
	p.t.Helper()
	p.must("ca", "rotate", "--pin-file", p.path("pin"))
	p.must("root", "sign", "--root", p.path("root"), "--passphrase-file", p.path("passphrase"),
		"--in", p.path("home/ca/request.pem"), "--out", p.path(answer))
}

// issuerOf is the key id of who issued a unit's live certificate.
func (p *plant) issuerOf(uid string) string {
	p.t.Helper()
	r, err := reader.Open(p.t.Context(), p.path("home/ledger/ledger.db"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Close()
	e, found, err := r.Live(p.t.Context(), "posix", uid)
	if err != nil || !found {
		p.t.Fatalf("%s has no live certificate: %v", uid, err)
	}
	return e.Body.IssuerKey
}

// TestRotation: a new key while the old one issues; then boards of both, lists
// of both, and a unit of the old one renewed by the new one.
func TestRotation(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(3)
	a, b, c := "00c0ffee0001", "00c0ffee0002", "00c0ffee0003"
	p.must(p.batchArgs(ports[:1])...)
	p.rotate("second.pem")
	request, err := os.ReadFile(p.path("home/ca/request.pem"))
	if err != nil {
		t.Fatal(err)
	}
	p.must("ca", "rotate", "--pin-file", p.path("pin"))
	if again, err := os.ReadFile(p.path("home/ca/request.pem")); err != nil || !bytes.Equal(again, request) {
		t.Errorf("asked twice, another request: %v", err)
	}
	old := p.certificate("home/ca/certificates.pem")
	p.must(p.batchArgs(ports[1:2])...) // the old one goes on
	if p.issuerOf(a) != p.issuerOf(b) {
		t.Error("another intermediate issued before it was installed")
	}
	p.must("ca", "install", p.path("second.pem"))
	if p.certificate("home/ca/certificates.pem").Equal(old) {
		t.Fatal("the old intermediate is still installed")
	}
	p.must(p.batchArgs(ports[2:])...)
	if p.issuerOf(c) == p.issuerOf(b) {
		t.Error("the new intermediate does not issue")
	}
	p.must(p.batchArgs(ports)...) // boards of the old one are told as done, with its chain
	p.chains(a, b, c)
	if out := p.must("ca", "status"); !strings.Contains(out, "retired") {
		t.Errorf("status: %s", out)
	}

	p.must("scrap", b, "--reason", "keyCompromise", "--approver", "qa-2")
	p.must("ca", "crl", "--pin-file", p.path("pin"))
	lists := p.lists("home/ca/crl.pem")
	if len(lists) != 2 || len(lists[0].RevokedCertificateEntries) != 0 || len(lists[1].RevokedCertificateEntries) != 1 {
		t.Fatalf("%d lists: %+v", len(lists), lists)
	}
	if err := lists[1].CheckSignatureFrom(old); err != nil {
		t.Errorf("the list of the retired one: %v", err)
	}
	between, err := os.ReadFile(p.path("home/ca/certificates.pem"))
	if err != nil {
		t.Fatal(err)
	}
	p.write("both.pem", string(between)+p.retiredText())
	for unit, revoked := range map[string]bool{a: false, b: true, c: false} {
		out, err := p.ssl("verify", "-crl_check", "-CRLfile", "home/ca/crl.pem", "-CAfile", "root/root.pem", "-untrusted", "both.pem", unit+".pem")
		if revoked != strings.Contains(out, "certificate revoked") || revoked != (err != nil) {
			t.Errorf("openssl of %s: %v\n%s", unit, err, out)
		}
	}
	p.content()
	if n := p.count(record.KindCRL); n != 2 {
		t.Errorf("%d lists on record", n)
	}
}

// retiredText is every retired intermediate.
func (p *plant) retiredText() string {
	p.t.Helper()
	files, err := os.ReadDir(p.path("home/ca"))
	if err != nil {
		p.t.Fatal(err)
	}
	var all string
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "retired-") && !strings.HasPrefix(f.Name(), "retired-request") {
			text, err := os.ReadFile(p.path("home/ca/" + f.Name()))
			if err != nil {
				p.t.Fatal(err)
			}
			all += string(text)
		}
	}
	return all
}

// TestRotationCutOff: whatever the power leaves of the switch, the installed
// file says who issues, and the next command puts the rest right.
func TestRotationCutOff(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(1)
	p.rotate("second.pem")
	before, err := os.ReadFile(p.path("home/station.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(before, []byte("next_ca = ")) {
		t.Fatalf("no next key in\n%s", before)
	}
	p.must("ca", "install", p.path("second.pem"))
	after, err := os.ReadFile(p.path("home/station.toml"))
	if err != nil {
		t.Fatal(err)
	}
	p.write("home/station.toml", string(before)) // the power failed before it was saved
	p.must(p.batchArgs(ports)...)
	if now, err := os.ReadFile(p.path("home/station.toml")); err != nil || !bytes.Equal(now, after) {
		t.Errorf("station.toml was not put right: %v\n%s", err, now)
	}
	p.must("ca", "install", p.path("second.pem")) // again: nothing changes
	p.content()
}

// TestRotatedPIN: a change of PIN reaches the retired keys too, else their own
// PIN is asked for.
func TestRotatedPIN(t *testing.T) {
	p := newPlant(t, posixProduct)
	p.must(p.batchArgs(p.agents(1))...)
	p.rotate("second.pem")
	p.must("ca", "install", p.path("second.pem"))
	p.write("pin2", "591377\n")
	p.must("ca", "pin", "--pin-file", p.path("pin"), "--new-pin-file", p.path("pin2"))
	p.must("ca", "crl", "--pin-file", p.path("pin2"))
	if n := len(p.lists("home/ca/crl.pem")); n != 2 {
		t.Errorf("%d lists", n)
	}
	if code, _, errs := p.do("ca", "crl", "--pin-file", p.path("pin2"), "--retired-pin-file", p.path("pin")); code != exitUnfit || !strings.Contains(errs, "--retired-pin-file") {
		t.Errorf("the retired key took its old PIN: exit %d, %s", code, errs)
	}
}

// TestRetiredKeyLost: the issuing intermediate's list is made all the same.
func TestRetiredKeyLost(t *testing.T) {
	p := newPlant(t, posixProduct)
	p.must(p.batchArgs(p.agents(1))...)
	p.must("scrap", "00c0ffee0001", "--reason", "keyCompromise", "--approver", "qa-2")
	serial := fmt.Sprintf("%x", pemCerts(t, p.read("home/ca/certificates.pem"))[0].SerialNumber)
	p.rotate("second.pem")
	p.must("ca", "install", p.path("second.pem"))
	text, err := os.ReadFile(p.path("home/station.toml"))
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "retired_ca") {
			kept = append(kept, line)
		}
	}
	p.write("home/station.toml", strings.Join(kept, ""))
	code, out, errs := p.do("ca", "crl", "--pin-file", p.path("pin"))
	if code != exitPassed || !strings.Contains(errs, "no list of retired") || len(p.lists("home/ca/crl.pem")) != 1 {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	warning := "WARNING: 1 revoked certificates of "
	if !strings.Contains(errs, warning) || !strings.Contains(errs, "the root must revoke that intermediate: station root revoke --serial "+serial) {
		t.Errorf("%s", errs)
	}
	// Once the root has revoked it, all is said.
	p.must("root", "revoke", "--root", p.path("root"), "--passphrase-file", p.path("passphrase"), "--serial", serial, "--reason", "superseded", "--operator", "ada", "--approver", "bob")
	p.must("root", "crl", "--root", p.path("root"), "--passphrase-file", p.path("passphrase"), "--out", p.path("root.crl"))
	p.must("ca", "install", p.path("root.crl"))
	if code, out, errs := p.do("ca", "crl", "--pin-file", p.path("pin")); code != exitPassed || strings.Contains(errs, "WARNING") {
		t.Errorf("after the root revoked it: exit %d\n%s%s", code, out, errs)
	}
}
