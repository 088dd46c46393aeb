// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"provisioning.example/station/internal/filter"
	"provisioning.example/station/internal/issuer"
)

// neighbour makes the home of a second station under the same root, with the
// same TPM, and returns a function that runs commands there.
func (p *plant) neighbour(name string) (refused func(want string, args ...string), must func(args ...string) string) {
	p.t.Helper()
	at := func(args ...string) []string { return append([]string{"--home", p.path(name)}, args...) }
	must = func(args ...string) string { p.t.Helper(); return p.must(at(args...)...) }
	must("init", "--tpm", "unix:"+p.path("sock"), "--name", "plant/"+name, "--pin-file", p.path("pin"))
	must("ca", "request", "--pin-file", p.path("pin"))
	p.must("root", "sign", "--root", p.path("root"), "--passphrase-file", p.path("passphrase"),
		"--in", p.path(name+"/ca/request.pem"), "--out", p.path(name+".pem"))
	must("ca", "install", p.path(name+".pem"))
	p.write(name+"/products/gw.toml", posixProduct)
	raw, err := os.ReadFile(p.path(name + "/station.toml"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(name+"/station.toml", strings.Replace(string(raw), "product = ''", "product = 'gw'", 1))
	return func(want string, args ...string) { p.t.Helper(); p.refused(want, at(args...)...) }, must
}

// TestFilterBetweenStations carries used values from one station to another of
// the same root: a file that was changed, of a stranger, of oneself or older
// than the last is refused; the second station refuses the first one's board,
// and notices when its copy is changed.
func TestFilterBetweenStations(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(2)
	p.must(p.batchArgs(ports[:1])...)
	file := p.path("used")
	if out := p.must("ledger", "filter", "export", "--out", file); !strings.Contains(out, "1 keys, 1 serials, 1 boards, 1 random numbers of station plant/line-1") {
		t.Errorf("after one unit %q is exported", out)
	}
	p.refused("of plant/line-1 itself", "ledger", "filter", "import", file)

	refused, must := p.neighbour("line-2")
	p.must("root", "create", "--root", p.path("stranger"), "--cn", "Stranger", "--passphrase-file", p.path("passphrase"))
	refused("was not issued by", "ledger", "filter", "import", file, "--root", p.path("stranger/root.pem"))
	must("ledger", "filter", "import", file)
	if out := must("ledger", "filter", "list"); !strings.Contains(out, "plant/line-1/1  ") {
		t.Errorf("listed are %q", out)
	}
	code, out, errs := p.do(append([]string{"--home", p.path("line-2")}, p.batchArgs(ports)...)...)
	units, sum := events(t, out)
	if code != exitUnits || sum.Passed != 1 || sum.Failed != 1 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	for _, u := range units {
		if u.Outcome == "failed" && (u.Fault != "F-CONNECT-20" || !strings.Contains(u.Detail, "plant/line-1")) {
			t.Errorf("the first station's board ended with %s: %s", u.Fault, u.Detail)
		}
	}
	p.filterForgeries(refused, file)
	p.filterOfRevoked()
	p.must("ledger", "filter", "export", "--out", p.path("newer"))
	must("ledger", "filter", "import", p.path("newer"))
	refused("older than what was imported", "ledger", "filter", "import", file)
	if out := must("ledger", "verify"); !strings.Contains(out, "valid") {
		t.Errorf("the ledger: %s", out)
	}
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p.write("line-2/filters/plant%2Fline-1.used", string(old))
	refused("is not the file that was imported", "ledger", "filter", "list")
	refused("is not the file that was imported", "batch", "--pin-file", p.path("pin"))
}

// filterOfRevoked: the root took back the key of the first station's ledger. A third one, which learns it by a list that is given or
// kept, does not believe what that key signed.
func (p *plant) filterOfRevoked() {
	p.t.Helper()
	refused, must := p.neighbour("line-3")
	root := func(args ...string) {
		p.must(append([]string{"root", args[0], "--root", p.path("root"), "--passphrase-file", p.path("passphrase")}, args[1:]...)...)
	}
	root("crl", "--out", p.path("before.crl"))
	certs := pemCerts(p.t, p.read("answer.pem"))
	at := slices.IndexFunc(certs, func(c *x509.Certificate) bool { _, err := issuer.LedgerOrigin(c); return err == nil })
	root("revoke", "--serial", fmt.Sprintf("%x", certs[at].SerialNumber), "--reason", "keyCompromise", "--operator", "ada", "--approver", "bob")
	root("crl", "--out", p.path("after.crl"))
	refused("the root revoked the key of that ledger", "ledger", "filter", "import", p.path("used"), "--crl", p.path("after.crl"))
	refused("it is no revocation list of", "ledger", "filter", "import", p.path("used"), "--crl", p.path("used"))
	must("ca", "install", p.path("after.crl"))
	refused("the root revoked the key of that ledger", "ledger", "filter", "import", p.path("used"))
	refused("the root revoked the key of that ledger", "ledger", "filter", "import", p.path("used"), "--crl", p.path("before.crl"))
}

// filterForgeries changes one part after the other of a good file.
func (p *plant) filterForgeries(refused func(want string, args ...string), file string) {
	t := p.t
	t.Helper()
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := filter.Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	var b filter.Builder
	b.Add(filter.Serial, "SN-1")
	forged, err := b.Set(parsed.Set.Origin(), parsed.Set.Size())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(f *filter.File)
		want   string
	}{
		"other values":     {func(f *filter.File) { f.Set = forged }, "not those that the ledger's entry names"},
		"another entry":    {func(f *filter.File) { f.Entry = bytes.Replace(f.Entry, []byte("used"), []byte("sued"), 1) }, "is not in the tree"},
		"another proof":    {func(f *filter.File) { f.Proof[len(f.Proof)-5] ^= 1 }, ""},
		"no certificate":   {func(f *filter.File) { f.Certificate = nil }, "give the key with --key"},
		"garbled":          {func(f *filter.File) { f.Proof = []byte("proof") }, "tlog-proof"},
		"not a ledger key": {func(f *filter.File) { f.Certificate = []byte{0x30, 0} }, "certificate of its ledger's key"},
	} {
		bad, err := filter.Parse(bytes.Clone(good))
		if err != nil {
			t.Fatal(err)
		}
		c.change(bad)
		p.write("bad", string(bad.Encode()))
		t.Log(name)
		refused(c.want, "ledger", "filter", "import", p.path("bad"))
	}
}
