// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"os"
	"os/exec"
	"strings"
	"testing"

	"provisioning.example/station/internal/attest"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/tpm"
)

// TestExportBlob exports the CA key: approved, recorded, for the PIN, and once
// to a place; the file goes on taking the PIN that was.
func TestExportBlob(t *testing.T) {
	p := newPlant(t, posixProduct)
	out := p.path("ca.pem")
	args := []string{"ca", "export-blob", "--out", out, "--reason", "an audit with openssl", "--pin-file", p.path("pin")}
	approved := append(args, "--approver", "qa-1")
	p.write("wrong", "000000\n")
	p.refused("--out and --reason are needed", "ca", "export-blob", "--out", out, "--approver", "qa-1")
	p.refused("somebody's approval", args...)
	p.refused("the TPM refused the PIN", append(approved, "--pin-file", p.path("wrong"))...)
	before := p.count(record.KindConfig)
	if exists(out) {
		t.Fatal("a refused export left a file")
	}
	if said := p.must(approved...); !strings.Contains(said, "goes on loading after a change of the") {
		t.Errorf("no warning: %s", said)
	}
	if n := p.count(record.KindConfig); n != before+1 {
		t.Errorf("%d config entries, before %d", n, before)
	}
	p.refused("is there already", approved...)
	file, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode: %v, %v", info, err)
	}
	k, err := attest.ParseKeyFile(file)
	if err != nil {
		t.Fatal(err)
	}
	h, err := openHome(p.path("home"))
	if err != nil || k.Public.Name() != h.cfg.Keys.CA.Name {
		t.Errorf("the file holds %x: %v", k.Public.Name(), err)
	}
	p.sqlite("SELECT count(*) FROM entry WHERE body LIKE '%private blob of the CA key%' AND body LIKE '%qa-1%'", "1")

	p.write("new", "731904\n")
	p.must("ca", "pin", "--pin-file", p.path("pin"), "--new-pin-file", p.path("new"))
	p.signWithOpenSSL(out, "482913", true)
	p.signWithOpenSSL(out, "731904", false)
	p.withTPM(func(m *tpm.TPM) {
		if da, err := m.DA(t.Context()); err != nil || da.Used == 0 {
			t.Errorf("wrong PINs of the file do not count: %+v, %v", da, err)
		}
	})
}

// signWithOpenSSL has openssl sign with an exported key in the plant's TPM.
func (p *plant) signWithOpenSSL(key, pin string, good bool) {
	p.t.Helper()
	digest := sha256.Sum256([]byte("outside of the ledger"))
	p.write("digest", string(digest[:]))
	p.stopTPM()
	p.control = true
	p.startTPM()
	c := exec.Command("openssl", "pkeyutl", "-provider", "tpm2", "-provider", "default", "-sign", "-inkey", key,
		"-in", p.path("digest"), "-passin", "pass:"+pin, "-out", p.path("signature"))
	c.Env = append(os.Environ(), "TPM2OPENSSL_TCTI=swtpm:path="+p.path("sock"))
	if text, err := c.CombinedOutput(); (err == nil) != good {
		p.t.Errorf("openssl with PIN %s: %v\n%s", pin, err, text)
	}
}
