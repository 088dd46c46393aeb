// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"
)

// newBoards is a plant with nothing but a folder: board test needs no home.
func newBoards(t *testing.T) *plant {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	return &plant{t: t, dir: t.TempDir()}
}

// testRoot writes a root with its key, as a firmware author has one.
func (p *plant) testRoot(name string) []string {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, MaxPathLen: 1, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), crypto.Signer(key))
	if err != nil {
		p.t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(name+".der", string(der))
	p.write(name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	p.write(name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})))
	return []string{"--ca-cert", p.path(name + ".pem"), "--ca-key", p.path(name + ".key")}
}

// expect runs a command that must end with this code, and say these words.
func (p *plant) expect(code int, words []string, args ...string) string {
	p.t.Helper()
	got, out, errs := p.do(args...)
	if got != code {
		p.t.Errorf("station %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, code, out, errs)
	}
	for _, w := range words {
		if !strings.Contains(out+errs, w) {
			p.t.Errorf("station %s does not say %q\n%s%s", strings.Join(args, " "), w, out, errs)
		}
	}
	return out
}

// TestBoardTest runs the conformance test over posix agents, right and wrong.
func TestBoardTest(t *testing.T) {
	p := newBoards(t)
	port := p.agents(1)[0]
	test := []string{"board", "test", "--port", port}
	with := func(more ...string) []string { return append(append([]string{}, test...), more...) }

	out := p.expect(exitPassed, []string{" 0 wrong, 0 not checked", "the board is blank"}, with("--model", "posix")...)
	if strings.Contains(out, "WRONG") || !strings.HasPrefix(out, "ok           connect/info") {
		t.Errorf("people read:\n%s", out)
	}
	p.expect(exitUnits, []string{
		"WRONG        info/model", `expected  model "pump"`, `got       "posix"`, "see       docs/protocol.md, section 2, info",
		"error: info/model is wrong", "hint: see docs/protocol.md", "station > ", "board   < ",
	}, with("--model", "pump", "--bytes")...)
	checkEvents(t, p.expect(exitUnits, nil, with("--model", "pump", "--json", "--bytes=all")...))

	p.expect(exitUsage, []string{"--port is needed"}, "board", "test")
	p.expect(exitUsage, []string{"--bytes=some", "hint: allowed"}, with("--bytes=some")...)
	p.expect(exitUsage, []string{"belong together"}, with("--ca-key", port)...)
	p.expect(exitUnfit, []string{"is the board plugged in?", "hint: see what is plugged in"}, "board", "test", "--port", p.path("none"))
}

// checkEvents reads what scripts get.
func checkEvents(t *testing.T, out string) {
	t.Helper()
	checks, sum := map[string]checkObject{}, checkSummary{}
	for line := range strings.Lines(out) {
		var o checkObject
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		if o.Event == "check" {
			checks[o.ID] = o
			continue
		}
		if err := json.Unmarshal([]byte(line), &sum); err != nil {
			t.Fatal(err)
		}
	}
	if sum.Event != "summary" || sum.Wrong != 1 || sum.First != "info/model" || sum.Section != "2, info" || !sum.Blank || sum.OK != len(checks)-1-sum.Outside {
		t.Errorf("summary %+v of %d checks", sum, len(checks))
	}
	if o := checks["info/model"]; o.Verdict != "wrong" || o.Expected != `model "pump"` || o.Got != `"posix"` {
		t.Errorf("%+v", o)
	}
	o := checks["csr/bytes"]
	if o.Verdict != "ok" || len(o.Bytes) < 2 || o.Bytes[0].From != "station" || !strings.HasPrefix(o.Bytes[0].Hex, "0a0609") || o.Bytes[1].From != "board" {
		t.Errorf("%+v", o)
	}
	if o := checks["commit/root"]; o.Verdict != "outside" || o.Reason == "" {
		t.Errorf("%+v", o)
	}
}

// TestBoardTestPinned is a board that pins a root: without its key not all can
// be checked; with it all can, and a key that is left is wiped only with leave.
func TestBoardTestPinned(t *testing.T) {
	p := newBoards(t)
	pinned, other := p.testRoot("pinned"), p.testRoot("other")
	port := p.agents(1, "--root", p.path("pinned.der"), "--prot", "0")[0]
	with := func(more ...string) []string {
		return append([]string{"board", "test", "--port", port, "--model", "posix"}, more...)
	}

	p.expect(exitUsage, []string{"the test root does not fit", "pins a root"}, with(other...)...)
	p.expect(exitUsage, []string{"the key is not that of its certificate"}, with("--ca-cert", p.path("other.pem"), "--ca-key", p.path("pinned.key"))...)
	p.expect(exitUsage, []string{"no private key in it"}, with("--ca-cert", p.path("other.pem"), "--ca-key", p.path("other.pem"))...)
	out := p.expect(exitUnits, []string{"error: not everything could be checked", "--ca-cert", "the board is not blank", " 0 wrong"}, with()...)
	if !strings.Contains(out, "ok           commit/root ") || !strings.Contains(out, "not checked  lock/state") {
		t.Errorf("people read:\n%s", out)
	}
	p.expect(exitUsage, []string{"the board is not blank", "hint: --yes"}, with(pinned...)...)
	p.expect(exitPassed, []string{"ok           commit/root-path", "ok           locked/groups", " 0 wrong, 0 not checked, 0 about", "the board is blank"},
		with(append(pinned, "--yes")...)...)
}

// TestBoardTestKey keeps the key that unlocks boards, and takes one by name.
func TestBoardTestKey(t *testing.T) {
	p := newBoards(t)
	port := p.agents(1)[0]
	key := p.path("rework.key")
	p.expect(exitPassed, nil, "board", "test", "--port", port, "--rework-key", key)
	before, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(key); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
	p.expect(exitPassed, nil, "board", "test", "--port", port, "--rework-key", key)
	if after, err := os.ReadFile(key); err != nil || string(after) != string(before) {
		t.Errorf("the key was made anew: %v", err)
	}
	p.write("text", "no key")
	p.expect(exitUsage, []string{"no private key in it", "--rework-key"}, "board", "test", "--port", port, "--rework-key", p.path("text"))
}
