// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/zip"
	"bytes"
	"encoding/pem"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/record/dossier"
)

// customer is somebody who has a unit's file, a root certificate, and the two
// ways to judge them.
type customer struct {
	*plant
	verifier string
}

func (c *customer) run(name string, args ...string) (code int, out string) {
	c.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = c.dir
	text, err := cmd.CombinedOutput()
	return exitCode(c.t, err), string(text)
}

func (c *customer) program(args ...string) (int, string) { return c.run(c.verifier, args...) }

func (c *customer) script(args ...string) (int, string) {
	path, err := filepath.Abs("../../scripts/verify-unit.sh")
	if err != nil {
		c.t.Fatal(err)
	}
	return c.run("bash", append([]string{path}, args...)...)
}

// expect runs both and wants the exit code, and what each says.
func (c *customer) expect(code int, file, program, script string) {
	c.t.Helper()
	if got, out := c.program("--root", "root/root.pem", file); got != code || !strings.Contains(out, program) {
		c.t.Errorf("ledger-verify %s: exit %d, no %q in\n%s", file, got, program, out)
	}
	if got, out := c.script("root/root.pem", file); got != code || !strings.Contains(out, script) {
		c.t.Errorf("verify-unit.sh %s: exit %d, no %q in\n%s", file, got, script, out)
	}
}

// unpack takes a unit's file apart, as any program for archives does.
func (c *customer) unpack(file, folder string) {
	c.t.Helper()
	z, err := zip.OpenReader(c.path(file))
	if err != nil {
		c.t.Fatal(err)
	}
	defer z.Close()
	for _, m := range z.File {
		path := filepath.Join(c.path(folder), filepath.FromSlash(m.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			c.t.Fatal(err)
		}
		r, err := m.Open()
		if err != nil {
			c.t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			c.t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
}

// TestUnitsFile: a board is made, another one scrapped; who has their files and
// the root judges them, and sees every lie.
func TestUnitsFile(t *testing.T) {
	t.Parallel()
	p := newPlant(t, posixProduct)
	p.must(p.batchArgs(p.agents(2))...)
	const live, gone = "00c0ffee0001", "00c0ffee0002"
	p.must("scrap", gone, "--reason", "cessationOfOperation", "--approver", "qa-2")
	for serial, file := range map[string]string{live: "live.zip", gone: "gone.zip"} {
		p.must("ledger", "export", "--format", "audit", "--unit", serial, "--out", p.path(file))
	}
	if e := p.last(record.KindExport); e.Format != "audit" || e.FileDigest == "" || !strings.HasPrefix(e.Filter, "unit=00c0ffee") {
		t.Errorf("on record: %+v", e)
	}
	c := &customer{p, ledgerVerify(t)}
	c.expect(0, "live.zip", "included, origin proven: ", "1 certificates that chain to the root")
	if code, out := c.program("--root", "root/root.pem", "gone.zip"); code != 6 || !strings.Contains(out, "REVOKED: 1 of the unit's certificates") {
		t.Errorf("ledger-verify gone.zip: exit %d\n%s", code, out)
	}
	if code, out := c.script("root/root.pem", "gone.zip"); code != 0 || !strings.Contains(out, "1 certificates that chain to the root") {
		t.Errorf("verify-unit.sh gone.zip, which does not look at revocation: exit %d\n%s", code, out)
	}
	c.keys()
	c.spoilt()
	c.forged()
	c.flipped()
	p.content()
}

// keys are an anchor, too: the ledger's own, and somebody else's.
func (c *customer) keys() {
	t := c.t
	t.Helper()
	c.unpack("live.zip", "keys")
	for _, cert := range pemCerts(t, c.read("keys/certificates.pem")) {
		if _, err := issuer.LedgerOrigin(cert); err == nil {
			c.write("checkpoint.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})))
		}
	}
	public, err := c.ssl("x509", "-in", "checkpoint.pem", "-noout", "-pubkey")
	if err != nil {
		t.Fatal(public)
	}
	c.write("key.pem", public)
	if code, out := c.script("--key", "key.pem", "live.zip"); code != 0 || !strings.Contains(out, "whose chain was not checked") {
		t.Errorf("with the ledger's key: exit %d\n%s", code, out)
	}
	if out, err := c.ssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "other.key"); err != nil {
		t.Fatal(out)
	}
	if out, err := c.ssl("pkey", "-in", "other.key", "-pubout", "-out", "other.pem"); err != nil {
		t.Fatal(out)
	}
	if code, out := c.script("--key", "other.pem", "live.zip"); code != 1 || !strings.Contains(out, "NOT INCLUDED entries/1-") || strings.Contains(out, "\nINCLUDED") {
		t.Errorf("with another key: exit %d\n%s", code, out)
	}
}

// spoilt are files that were changed where they lie unpacked.
func (c *customer) spoilt() {
	t := c.t
	t.Helper()
	c.unpack("live.zip", "spoilt")
	end := ""
	entries, err := filepath.Glob(c.path("spoilt/entries/*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range entries {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(`"outcome":"passed"`)) {
			end = strings.TrimPrefix(path, c.dir+"/")
		}
	}
	name := strings.TrimPrefix(end, "spoilt/")
	judge := func(want string) {
		t.Helper()
		if code, out := c.script("root/root.pem", "spoilt"); code != 1 || !strings.Contains(out, want) {
			t.Errorf("exit %d, no %q in\n%s", code, want, out)
		}
	}
	whole := c.read(end)
	c.write(end, strings.Replace(whole, `"passed"`, `"failed"`, 1))
	judge("NOT INCLUDED " + name + ": the proof does not lead from it to the checkpoint's root")
	c.write(end, whole)
	if code, out := c.script("root/root.pem", "spoilt"); code != 0 {
		t.Errorf("mended: exit %d\n%s", code, out)
	}
	proof := strings.TrimSuffix(end, ".json") + ".tlog-proof"
	was := c.read(proof)
	c.write(proof, strings.Replace(was, "\nindex ", "\nindex 1", 1))
	judge("NOT INCLUDED " + name + ": ")
	c.write(proof, was)
	cert := "spoilt/blobs/" + c.last(record.KindIssued).Cert
	if !exists(c.path(cert)) { // the newest is of the other board
		body, err := record.Decode([]byte(whole))
		if err != nil {
			t.Fatal(err)
		}
		cert = "spoilt/blobs/" + body.Cert
	}
	der := []byte(c.read(cert))
	der[len(der)-1] ^= 1
	c.write(cert, string(der))
	judge("NOT VALID blobs/" + filepath.Base(cert) + ": it was changed")
}

// forged is a file that somebody wrote anew: all its own digests fit.
func (c *customer) forged() {
	t := c.t
	t.Helper()
	d, err := dossier.Open(c.path("live.zip"))
	if err != nil {
		t.Fatal(err)
	}
	content := dossier.Content{
		Station: d.Manifest.Station, Unit: d.Manifest.Unit, Created: d.Manifest.Created, Operator: "op-17", Software: d.Manifest.Software,
		Certificates: d.Certificates, Blobs: map[string][]byte{},
		Sign: func(manifest string) ([]byte, record.Proof, error) {
			body, err := record.Decode(d.Entry)
			if err != nil {
				return nil, record.Proof{}, err
			}
			body.FileDigest = manifest
			raw, err := body.Encode()
			return raw, d.Proof, err
		},
	}
	for _, f := range d.Manifest.Files {
		if blob, err := d.Blob(f.SHA256); err == nil {
			content.Blobs[f.SHA256] = blob
		}
	}
	for _, e := range d.Entries {
		if e.Body.Outcome == record.Passed {
			e.Body.Attempt++
			if e.Raw, err = e.Body.Encode(); err != nil {
				t.Fatal(err)
			}
		}
		content.Entries = append(content.Entries, e)
	}
	var out bytes.Buffer
	if _, err := dossier.Write(&out, content); err != nil {
		t.Fatal(err)
	}
	c.write("forged.zip", out.String())
	c.expect(1, "forged.zip", "is NOT INCLUDED in the ledger", "NOT INCLUDED entries/1-")
	c.expect(1, "forged.zip", "was not recorded by the ledger of plant/line-1/1", "NOT INCLUDED MANIFEST.entry.json")
}

// flipped are bits here and there; package dossier flips one in every byte.
func (c *customer) flipped() {
	c.t.Helper()
	whole := []byte(c.read("live.zip"))
	for n := range 16 {
		flipped := bytes.Clone(whole)
		at := len(whole) * n / 16
		flipped[at] ^= 4
		c.write("flipped.zip", string(flipped))
		if code, out := c.program("--root", "root/root.pem", "flipped.zip"); code != 1 || !strings.Contains(out, "damaged") {
			c.t.Errorf("byte %d: exit %d, %s", at, code, out)
		}
	}
}
