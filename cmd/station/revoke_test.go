// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"strings"
	"testing"

	"provisioning.example/station/internal/record"
)

// chains writes what openssl verifies boards with, and each unit's certificate.
func (p *plant) chains(serials ...string) {
	p.t.Helper()
	for _, s := range serials {
		p.must("unit", s, "--cert", p.path(s+".pem"))
	}
}

// ssl runs openssl in the plant's folder.
func (p *plant) ssl(args ...string) (string, error) {
	c := exec.Command("openssl", args...)
	c.Dir = p.dir
	out, err := c.CombinedOutput()
	return string(out), err
}

// lists reads the revocation lists of a file.
func (p *plant) lists(name string) (all []*x509.RevocationList) {
	p.t.Helper()
	text, err := os.ReadFile(p.path(name))
	if err != nil {
		p.t.Fatal(err)
	}
	for b, rest := pem.Decode(text); b != nil; b, rest = pem.Decode(rest) {
		l, err := x509.ParseRevocationList(b.Bytes)
		if err != nil {
			p.t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// wantVerdict lets openssl verify a unit's certificate with the lists.
func (p *plant) wantVerdict(unit, lists string, revoked bool) {
	p.t.Helper()
	out, err := p.ssl("verify", "-crl_check", "-CRLfile", lists, "-CAfile", "root/root.pem", "-untrusted", "home/ca/certificates.pem", unit+".pem")
	if revoked != (err != nil) || revoked != strings.Contains(out, "certificate revoked") {
		p.t.Errorf("openssl of %s: %v\n%s", unit, err, out)
	}
}

// TestScrapAndCRL: a unit is scrapped, another one's certificate revoked, a
// third one stays: what openssl, the ledger and the bench make of it.
func TestScrapAndCRL(t *testing.T) {
	t.Parallel()
	p := newPlant(t, posixProduct)
	ports := p.agents(3)
	p.must(p.batchArgs(ports)...)
	scrapped, revoked, good := "00c0ffee0001", "00c0ffee0002", "00c0ffee0003"
	p.chains(scrapped, revoked, good)
	for _, try := range []struct {
		args []string
		want string
	}{
		{[]string{"scrap", scrapped, "--reason", "superseded"}, "approval"},
		{[]string{"scrap", scrapped, "--approver", "qa-2"}, "is not a reason to revoke; allowed: keyCompromise"},
		{[]string{"scrap", "--reason", "superseded", "--approver", "qa-2"}, "no unit is named"},
		{[]string{"scrap", "SN-0", "--reason", "superseded", "--approver", "qa-2"}, "knows no unit"},
		{[]string{"ca", "revoke", "--reason", "superseded", "--approver", "qa-2"}, "either a certificate or a unit"},
		{[]string{"ca", "revoke", "--serial", "00", "--reason", "superseded", "--approver", "qa-2"}, "no certificate with serial"},
		{[]string{"ca", "crl", "--days", "0", "--pin-file", p.path("pin")}, "--days 0"},
	} {
		if code, out, errs := p.do(try.args...); code != exitUsage || !strings.Contains(errs, try.want) {
			t.Errorf("%v: exit %d, want %q\n%s%s", try.args, code, try.want, out, errs)
		}
	}
	p.must("ca", "crl", "--pin-file", p.path("pin"), "--out", p.path("first.pem"))
	p.wantVerdict(scrapped, "first.pem", false)

	out := p.must("scrap", scrapped, "--reason", "cessationOfOperation", "--note", "dropped", "--approver", "qa-2")
	if !strings.Contains(out, "scrapped unit "+scrapped) || !strings.Contains(out, "revoked certificate ") {
		t.Error(out)
	}
	p.must("ca", "revoke", "--unit", revoked, "--reason", "keyCompromise", "--approver", "qa-2")
	if code, _, errs := p.do("scrap", scrapped, "--reason", "superseded", "--approver", "qa-2"); code != exitUsage || !strings.Contains(errs, "scrapped already") {
		t.Errorf("a second time: exit %d, %s", code, errs)
	}
	p.must("ca", "crl", "--pin-file", p.path("pin"), "--days", "7")
	lists := p.lists("home/ca/crl.pem")
	if len(lists) != 1 || len(lists[0].RevokedCertificateEntries) != 2 || lists[0].Number.Int64() != 2 {
		t.Fatalf("%d lists, the first: %+v", len(lists), lists)
	}
	if out, err := p.ssl("crl", "-in", "home/ca/crl.pem", "-CAfile", "home/ca/certificates.pem", "-noout", "-verify"); err != nil || !strings.Contains(out, "verify OK") {
		t.Errorf("openssl crl: %v\n%s", err, out)
	}
	p.wantVerdict(scrapped, "home/ca/crl.pem", true)
	p.wantVerdict(revoked, "home/ca/crl.pem", true)
	p.wantVerdict(good, "home/ca/crl.pem", false)

	code, out, _ := p.do(p.batchArgs(ports)...)
	units, _ := events(t, out)
	faults := map[string]string{}
	for _, u := range units {
		faults[u.UID] = u.Fault
	}
	if code != exitUnits || faults[scrapped] != "F-CONNECT-14" || faults[revoked] != "F-CONNECT-17" || faults[good] != "" {
		t.Errorf("the bench: exit %d, %v", code, faults)
	}
	p.content()
	for kind, n := range map[string]int{record.KindScrap: 1, record.KindRevoked: 2, record.KindCRL: 2} {
		if got := p.count(kind); got != n {
			t.Errorf("%d %s entries, want %d", got, kind, n)
		}
	}
	if code, _, errs := p.do("unit", revoked, "--cert", p.path("none.pem")); code == exitPassed || exists(p.path("none.pem")) {
		t.Errorf("a revoked unit has a live certificate: %s", errs)
	}
}
