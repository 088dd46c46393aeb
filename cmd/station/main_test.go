// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// asStation makes the test binary act as the program, in a process of its own.
const asStation = "STATION_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asStation) != "" {
		stationMain()
	}
	testscript.Main(m, map[string]func(){"station": stationMain})
}

// ledgerVerify builds the auditor's program as it is shipped, without cgo.
func ledgerVerify(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger-verify")
	c := exec.Command("go", "build", "-o", path, "../ledger-verify")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func TestScripts(t *testing.T) {
	verify := ledgerVerify(t)
	unit, err := filepath.Abs("../../scripts/verify-unit.sh")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true, Setup: func(e *testscript.Env) error {
		e.Setenv("USER", "technician")
		e.Setenv("VERIFY_UNIT", unit)
		e.Setenv("PATH", filepath.Dir(verify)+string(os.PathListSeparator)+e.Getenv("PATH"))
		return nil
	}})
}

// plant is a root and a station's home on disk, with a swtpm that the test
// owns: it may be killed and started again.
type plant struct {
	t     *testing.T
	dir   string
	swtpm *exec.Cmd

	control bool // swtpm has the control channel that the TPM's tools want
}

// deadline bounds every wait of these tests; it is far beyond what is needed,
// and reaching it is a failure.
const deadline = 5 * time.Minute

func newPlant(t *testing.T, product string, init ...string) *plant {
	t.Helper()
	return newPlantWith(t, product, func(p *plant) string {
		p.manufacture()
		p.startTPM()
		return "unix:" + p.path("sock")
	}, init...)
}

// newPlantWith is a plant whose TPM is made by tpm, which returns its spec; init
// are more arguments of station init.
func newPlantWith(t *testing.T, product string, tpm func(*plant) string, init ...string) *plant {
	t.Helper()
	// A socket's path may have 107 bytes at most: t.TempDir is too long.
	dir, err := os.MkdirTemp("", "st")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &plant{t: t, dir: dir}
	p.write("pin", "482913\n")
	p.write("passphrase", "correct horse battery\n")
	spec := tpm(p)
	p.must("root", "create", "--root", p.path("root"), "--cn", "Test root", "--passphrase-file", p.path("passphrase"))
	p.must(append([]string{"init", "--tpm", spec, "--name", "plant/line-1", "--pin-file", p.path("pin")}, init...)...)
	p.must("ca", "request", "--pin-file", p.path("pin"))
	p.must("root", "sign", "--root", p.path("root"), "--passphrase-file", p.path("passphrase"),
		"--in", p.path("home/ca/request.pem"), "--out", p.path("answer.pem"))
	p.must("ca", "install", p.path("answer.pem"))
	p.write("home/products/gw.toml", product)
	p.config("product = ''", "product = 'gw'")
	return p
}

const posixProduct = "name = \"gw-2\"\nmodel = \"posix\"\n"

func (p *plant) path(name string) string { return filepath.Join(p.dir, name) }

func (p *plant) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(p.path(name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// config changes station.toml as a person would.
func (p *plant) config(old, new string) {
	p.t.Helper()
	raw, err := os.ReadFile(p.path("home/station.toml"))
	if err != nil {
		p.t.Fatal(err)
	}
	if !bytes.Contains(raw, []byte(old)) {
		p.t.Fatalf("station.toml does not hold %q:\n%s", old, raw)
	}
	p.write("home/station.toml", strings.Replace(string(raw), old, new, 1))
}

func (p *plant) manufacture() {
	p.t.Helper()
	if err := os.Mkdir(p.path("tpm"), 0o700); err != nil {
		p.t.Fatal(err)
	}
	out, err := exec.Command("swtpm_setup", "--tpm2", "--tpmstate", "dir://"+p.path("tpm"), "--pcr-banks", "sha256").CombinedOutput()
	if err != nil {
		p.t.Fatalf("swtpm_setup: %v\n%s", err, out)
	}
}

// startTPM starts swtpm on a socket and returns when it listens.
func (p *plant) startTPM() {
	p.t.Helper()
	os.Remove(p.path("sock"))
	c := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+p.path("tpm"),
		"--server", "type=unixio,path="+p.path("sock"), "--flags", "not-need-init,startup-clear")
	if p.control {
		c.Args = append(c.Args, "--ctrl", "type=unixio,path="+p.path("sock.ctrl"))
	}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.swtpm = c
	p.t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	// The socket's name is there a moment before it takes connections.
	p.until("swtpm listens", func() bool {
		c, err := net.Dial("unix", p.path("sock"))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// until waits for something observable.
func (p *plant) until(what string, is func() bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), deadline)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.t.Fatalf("waited in vain: %s", what)
		}
	}
}

// station prepares the program in a process of its own.
func (p *plant) station(args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), asStation+"=1", "STATION_HOME="+p.path("home"))
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

func (p *plant) must(args ...string) string {
	p.t.Helper()
	code, out, errs := p.do(args...)
	if code != exitPassed {
		p.t.Fatalf("station %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// do runs a command to its end.
func (p *plant) do(args ...string) (code int, out, errs string) {
	p.t.Helper()
	var o, e bytes.Buffer
	c := p.station(args...)
	c.Stdout, c.Stderr = &o, &e
	return exitCode(p.t, c.Run()), o.String(), e.String()
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return exitPassed
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return -1
}

// agents starts posix agents and returns their ports.
func (p *plant) agents(n int, args ...string) []string {
	p.t.Helper()
	binary, err := filepath.Abs("../../firmware/build/posix-agent")
	if err != nil {
		p.t.Fatal(err)
	}
	if !exists(binary) {
		p.t.Fatal("firmware/build/posix-agent is missing: run make firmware")
	}
	var ports []string
	for i := range n {
		port := p.path(fmt.Sprintf("port%d", i+1))
		c := exec.Command(binary, append([]string{
			"--state", p.path(fmt.Sprintf("state%d", i+1)), "--link", port, "--model", "posix",
			"--uid", fmt.Sprintf("00c0ffee%04x", i+1), "--prot", "7",
		}, args...)...)
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := c.Start(); err != nil {
			p.t.Fatal(err)
		}
		p.t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
		ports = append(ports, port)
	}
	for _, port := range ports {
		p.until(port+" is there", func() bool { return exists(port) })
	}
	return ports
}

func portArgs(ports []string) []string {
	var out []string
	for _, port := range ports {
		out = append(out, "--port", port)
	}
	return out
}

func (p *plant) batchArgs(ports []string, more ...string) []string {
	return append(append([]string{"batch", "--json", "--pin-file", p.path("pin")}, portArgs(ports)...), more...)
}

// unitEvent is what batch --json says of a unit.
type unitEvent struct {
	Event, Port, Serial, UID, Outcome, Fault, Detail string
	Slot, Attempt                                    int
	Seq                                              int64
	CertSHA256                                       string `json:"cert_sha256"`
	Passed, Failed, Error, Aborted                   int
}

func events(t *testing.T, out string) (units []unitEvent, summary unitEvent) {
	t.Helper()
	for line := range strings.Lines(out) {
		var e unitEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		if e.Event == "summary" {
			summary = e
		} else {
			units = append(units, e)
		}
	}
	return units, summary
}

// count is how many entries of a kind the ledger holds now.
func (p *plant) count(kind string) int {
	p.t.Helper()
	r, err := reader.Open(p.t.Context(), p.path("home/ledger/ledger.db"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Close()
	n, err := r.Count(p.t.Context(), reader.Query{Kinds: []string{kind}})
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// content checks what must be true after any trouble: the ledger is valid, no
// key has two certificates, no run is open.
func (p *plant) content() {
	p.t.Helper()
	if out := p.must("ledger", "verify", "--root", p.path("root/root.pem")); !strings.HasPrefix(out, "valid, origin proven") || !strings.Contains(out, " 0 open") {
		p.t.Errorf("ledger verify: %s", out)
	}
	r, err := reader.Open(p.t.Context(), p.path("home/ledger/ledger.db"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Close()
	issued, err := r.EntriesOf(p.t.Context(), reader.Query{Kinds: []string{record.KindIssued}})
	if err != nil {
		p.t.Fatal(err)
	}
	certs := map[string]string{}
	for _, e := range issued {
		if other, twice := certs[e.Body.SPKI]; twice && other != e.Body.Cert {
			p.t.Errorf("key %s has two certificates", e.Body.SPKI)
		}
		certs[e.Body.SPKI] = e.Body.Cert
	}
}

// sqlite asks the ledger's file with another reader.
func (p *plant) sqlite(query, want string) {
	p.t.Helper()
	out, err := exec.Command("sqlite3", "-readonly", p.path("home/ledger/ledger.db"), query).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != want {
		p.t.Errorf("sqlite3 %q: %v %s, want %s", query, err, out, want)
	}
}
