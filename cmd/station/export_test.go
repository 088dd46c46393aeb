// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

func (p *plant) read(name string) string {
	p.t.Helper()
	b, err := os.ReadFile(p.path(name))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

// pemCerts are the certificates of a PEM text.
func pemCerts(t *testing.T, text string) (all []*x509.Certificate) {
	t.Helper()
	for b, rest := pem.Decode([]byte(text)); b != nil; b, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// last is the newest entry of a kind.
func (p *plant) last(kind string) record.Body {
	p.t.Helper()
	r, err := reader.Open(p.t.Context(), p.path("home/ledger/ledger.db"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Close()
	page, _, _, err := r.Page(p.t.Context(), reader.Filter{Kinds: []string{kind}}, reader.Cursor{}, 1)
	if err != nil || len(page) != 1 {
		p.t.Fatalf("no entry of kind %s: %v", kind, err)
	}
	return page[0].Body
}

// TestExportPacks: boards are provisioned, one is revoked, and every pack says
// so; a customer who has only the root verifies the manifest.
func TestExportPacks(t *testing.T) {
	p := newPlant(t, posixProduct)
	p.must(p.batchArgs(p.agents(3))...)
	const live, gone = "00c0ffee0001", "00c0ffee0003"
	p.must("scrap", gone, "--reason", "cessationOfOperation", "--approver", "qa-2")

	for _, format := range []string{"aws", "azure"} {
		p.must("ledger", "export", "--format", format, "--out", p.path(format))
		if list := p.read(format + "/allow-list.jsonl"); strings.Count(list, "\n") != 3 || strings.Count(list, `"status":"live"`) != 2 {
			t.Errorf("%s: allow-list\n%s", format, list)
		}
		c := exec.Command("sha256sum", "-c", "--strict", "SHA256SUMS")
		c.Dir = p.path(format)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: %s", format, out)
		}
		if readme := p.read(format + "/README.md"); !strings.Contains(readme, "SIMULATED TPM") {
			t.Errorf("%s: the readme does not say that the TPM is simulated", format)
		}
		code, _, errs := p.do("ledger", "export", "--format", format, "--out", p.path(format))
		if code != exitUsage || !strings.Contains(errs, "a folder is never overwritten") {
			t.Errorf("%s again: exit %d, %s", format, code, errs)
		}
	}
	if bulk := p.read("aws/bulk.jsonl"); strings.Count(bulk, "\n") != 2 || !strings.Contains(bulk, live) || strings.Contains(bulk, gone) {
		t.Errorf("bulk\n%s", bulk)
	}
	if disabled := p.read("azure/disabled-enrollments.jsonl"); !strings.Contains(disabled, `"registrationId":"`+gone+`"`) {
		t.Errorf("disabled\n%s", disabled)
	}
	if e := p.last(record.KindExport); e.Format != "azure" || e.File != "azure" {
		t.Errorf("last export entry %+v", e)
	}

	p.verifyManifest(live)
	p.revokeManifestKey()

	p.must("ledger", "export", "--format", "c-header", "--unit", live, "--out", p.path("certificates.h"))
	if h := p.read("certificates.h"); !strings.Contains(h, "station_device[]") || !strings.Contains(h, "SIMULATED TPM") {
		t.Errorf("header\n%s", h)
	}
	if code, _, errs := p.do("ledger", "export", "--format", "c-header", "--unit", gone, "--out", p.path("gone.h")); code != exitUsage || !strings.Contains(errs, "no live certificate") {
		t.Errorf("header of a scrapped unit: exit %d, %s", code, errs)
	}
	out := p.must("ledger", "export", "--json", "--format", "csv", "--kind", "end", "--result", "passed", "--unit", live, "--out", p.path("one.csv"))
	if !strings.Contains(out, `"event":"export","format":"csv"`) || !strings.Contains(out, `"rows":1,`) {
		t.Errorf("one unit as csv: %s", out)
	}
	if e := p.last(record.KindExport); e.Filter != "kind=end unit="+live+" result=passed" {
		t.Errorf("filter on record: %q", e.Filter)
	}
	p.content()
}

// revokeManifestKey: the key's certificate is revoked as any other; superseded, the same key gets another one, compromised, another key
// is made. doctor tells.
func (p *plant) revokeManifestKey() {
	t := p.t
	t.Helper()
	was := p.last(record.KindCA)
	for _, try := range []struct {
		reason string
		same   bool
	}{{"superseded", true}, {"keyCompromise", false}} {
		if out := p.must("doctor"); !strings.Contains(out, "the certificate of the key that signs manifests ends in") {
			t.Errorf("doctor before it is revoked:\n%s", out)
		}
		p.must("ca", "revoke", "--serial", was.CertSerial, "--reason", try.reason, "--approver", "qa-2")
		if out := p.must("doctor"); !strings.Contains(out, "of the key that signs manifests was revoked: "+try.reason) {
			t.Errorf("doctor, %s:\n%s", try.reason, out)
		}
		if code, _, errs := p.do("ledger", "export", "--format", "manifest", "--out", p.path("no.json")); code != exitUsage || !strings.Contains(errs, "to certify the key that signs manifests") {
			t.Errorf("%s, without a PIN: exit %d, %s", try.reason, code, errs)
		}
		p.must("ledger", "export", "--format", "manifest", "--out", p.path(try.reason+".json"), "--pin-file", p.path("pin"))
		now := p.last(record.KindCA)
		if now.Action != "certified" || now.Cert == was.Cert || (now.SPKI == was.SPKI) != try.same {
			t.Errorf("%s: certified %+v after %+v", try.reason, now, was)
		}
		was = now
	}
	p.must("ca", "crl", "--pin-file", p.path("pin"), "--out", p.path("manifest.crl"))
	if l := p.lists("manifest.crl"); len(l) != 1 || len(l[0].RevokedCertificateEntries) != 3 { // and the scrapped unit
		t.Errorf("%d lists, the first names %d certificates", len(l), len(l[0].RevokedCertificateEntries))
	}
	p.refused("the root revokes it", "ca", "revoke", "--reason", "superseded", "--approver", "qa-2", "--serial",
		hex.EncodeToString(pemCerts(t, p.read("home/ca/certificates.pem"))[0].SerialNumber.Bytes()))
}

// verifyManifest exports manifests and judges them from outside.
func (p *plant) verifyManifest(serial string) {
	t := p.t
	t.Helper()
	// The key does not exist yet, and nobody may certify it without the PIN.
	if code, _, errs := p.do("ledger", "export", "--format", "manifest", "--out", p.path("m.json")); code != exitUsage || !strings.Contains(errs, "to certify the key that signs manifests") {
		t.Errorf("without a PIN: exit %d, %s", code, errs)
	}
	p.must("ledger", "export", "--format", "manifest", "--out", p.path("m.json"), "--pin-file", p.path("pin"))
	p.must("ledger", "export", "--format", "manifest", "--out", p.path("again.json")) // no PIN
	certified := p.last(record.KindCA)
	if certified.Action != "certified" || certified.Cert == "" {
		t.Errorf("last ca entry %+v", certified)
	}
	roots := x509.NewCertPool()
	roots.AddCert(pemCerts(t, p.read("root/root.pem"))[0])
	for _, name := range []string{"m.json", "again.json"} {
		var units []json.RawMessage
		if err := json.Unmarshal([]byte(p.read(name)), &units); err != nil || len(units) != 2 {
			t.Fatalf("%s: %d units, %v", name, len(units), err)
		}
		// Units stand in the order in which they ended.
		at := slices.IndexFunc(units, func(u json.RawMessage) bool { return strings.Contains(string(u), `"uniqueId":"`+serial+`"`) })
		if at < 0 {
			t.Fatalf("%s does not hold %s", name, serial)
		}
		jws, err := jose.ParseSignedJSON(string(units[at]), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		chains, err := jws.Signatures[0].Protected.Certificates(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if err != nil {
			t.Fatal(err)
		}
		signer := chains[0][0]
		if digestOf(signer.Raw) != certified.Cert {
			t.Errorf("%s: signed by %s, which is not on record", name, signer.Subject)
		}
		if station, err := issuer.ManifestStation(signer); err != nil || station != "plant/line-1" {
			t.Errorf("%s: signed by %s: %v", name, signer.Subject, err)
		}
		inside, err := jws.Verify(signer.PublicKey)
		if err != nil || !strings.Contains(string(inside), `"serialNumber":"`+serial+`"`) || !strings.Contains(string(inside), `"simulatedTpm":true`) {
			t.Errorf("%s: %v\n%s", name, err, inside)
		}
	}
}

// TestExportRefuses: mistakes are found before anything is recorded or written.
func TestExportRefuses(t *testing.T) {
	p := newPlant(t, posixProduct)
	before := p.count(record.KindExport)
	for what, args := range map[string][]string{
		"allowed: audit, aws, azure, bundle, c-header, csv, html, jsonl, manifest, xlsx": {"--format", "pdf"},
		"only units that passed are registered":                                          {"--format", "aws", "--result", "failed"},
		"allowed: passed, failed, error, aborted":                                        {"--result", "good"},
		"kinds are of entries: csv":                                                      {"--format", "azure", "--kind", "end"},
		"lists the kinds":                                                                {"--kind", "ends"},
		"topic root":                                                                     {"--format", "aws", "--topic-root", "#"},
		"enrollment group":                                                               {"--format", "azure", "--enrollment-group", "A B"},
		"a day as 2026-11-22":                                                            {"--since", "yesterday"},
		"name it with --unit SERIAL":                                                     {"--format", "audit"},
		"about one unit, whole":                                                          {"--format", "audit", "--unit", "x", "--order", "WO-1"},
		"kinds are of entries: csv, jsonl, xlsx":                                         {"--format", "html", "--kind", "end"},
		"an audit and a bundle hold their proof":                                         {"--format", "audit", "--unit", "x", "--proof"},
		"no unit \"x\" in the ledger":                                                    {"--format", "audit", "--unit", "x"},
		"it is for all devices":                                                          {"--format", "c-header", "--order", "WO-1"},
	} {
		code, _, errs := p.do(append([]string{"ledger", "export", "--out", p.path("x")}, args...)...)
		if code != exitUsage || !strings.Contains(errs, what) || exists(p.path("x")) {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
	}
	if n := p.count(record.KindExport); n != before {
		t.Errorf("%d exports are on record that never were", n-before)
	}
	code, _, errs := p.do("ledger", "export", "--format", "aws", "--out", filepath.Join(p.path("no"), "folder"))
	if code != exitUsage || !strings.Contains(errs, "name a place that can be written") {
		t.Errorf("no folder: exit %d, %s", code, errs)
	}
}

// TestCAVerification: what a cloud asks for, on record before the file is there.
func TestCAVerification(t *testing.T) {
	p := newPlant(t, posixProduct)
	const code = "3c1f7a0b5d2e4f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8"
	approved := []string{"--approver", "qa-2", "--pin-file", p.path("pin")}
	ask := func(args ...string) (int, string) {
		exit, _, errs := p.do(append([]string{"ca", "verification"}, args...)...)
		return exit, errs
	}
	p.must(append([]string{"ca", "verification", "--code", code, "--out", p.path("v.pem"), "--reason", "account 1"}, approved...)...)
	cert := pemCerts(t, p.read("v.pem"))[0]
	e := p.last(record.KindCAVerify)
	if e.Code != code || e.Cert != digestOf(cert.Raw) || e.Approver != "qa-2" || e.Reason != "account 1" {
		t.Errorf("on record: %+v", e)
	}
	if out, err := p.ssl("verify", "-x509_strict", "-CAfile", "root/root.pem", "-untrusted", "home/ca/certificates.pem", "v.pem"); err != nil {
		t.Errorf("openssl: %s", out)
	}
	if out, err := p.ssl("verify", "-purpose", "sslclient", "-CAfile", "root/root.pem", "-untrusted", "home/ca/certificates.pem", "v.pem"); err == nil {
		t.Errorf("openssl takes it for a TLS client: %s", out)
	}
	if subject, err := p.ssl("x509", "-in", "v.pem", "-noout", "-subject", "-nameopt", "RFC2253"); err != nil || strings.TrimSpace(subject) != "subject=CN="+code {
		t.Errorf("%s, %v", subject, err)
	}

	// With somebody's own key, as AWS describes it.
	if out, err := p.ssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "v.key", "-subj", "/CN="+code, "-out", "v.csr"); err != nil {
		t.Fatal(out)
	}
	p.must(append([]string{"ca", "verification", "--code", code, "--csr", p.path("v.csr"), "--out", p.path("own.pem"), "--days", "1"}, approved...)...)
	ours, err1 := p.ssl("x509", "-in", "own.pem", "-noout", "-pubkey")
	theirs, err2 := p.ssl("req", "-in", "v.csr", "-noout", "-pubkey")
	if err1 != nil || err2 != nil || ours != theirs {
		t.Errorf("key of the certificate\n%sof the request\n%s", ours, theirs)
	}

	before := p.count(record.KindCAVerify)
	for what, args := range map[string][]string{
		"--approver":               {"--code", code, "--out", p.path("x.pem"), "--pin-file", p.path("pin")},
		"registration code":        append([]string{"--code", "two words", "--out", p.path("x.pem")}, approved...),
		"--out is needed":          append([]string{"--code", code}, approved...),
		"--days 31":                append([]string{"--code", code, "--out", p.path("x.pem"), "--days", "31"}, approved...),
		"the code is":              append([]string{"--code", "0" + code[1:], "--csr", p.path("v.csr"), "--out", p.path("x.pem")}, approved...),
		"the ledger knows already": append([]string{"--code", code, "--csr", p.path("v.csr"), "--out", p.path("x.pem")}, approved...),
	} {
		if exit, errs := ask(args...); exit != exitUsage || !strings.Contains(errs, what) || exists(p.path("x.pem")) {
			t.Errorf("%s: exit %d, %s", what, exit, errs)
		}
	}
	if n := p.count(record.KindCAVerify); n != before {
		t.Errorf("%d certificates are on record that were refused", n-before)
	}
	if out := p.must("ledger", "verify", "--root", p.path("root/root.pem")); !strings.HasPrefix(out, "valid, origin proven") {
		t.Errorf("ledger verify: %s", out)
	}
}
