// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/tpm"
)

// TestClockBehindLedger: with a clock behind the ledger's last entry doctor
// and batch stop, and nothing is recorded that would hide it from the next.
func TestClockBehindLedger(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(1)
	p.appendLater(time.Hour)
	for range 2 {
		if code, out, errs := p.do("doctor"); code != exitUnfit || !hasStop(out, "clock") {
			t.Errorf("doctor: exit %d\n%s%s", code, out, errs)
		}
		if code, out, errs := p.do(p.batchArgs(ports)...); code != exitUnfit || !strings.Contains(errs, "set the clock") {
			t.Errorf("batch: exit %d\n%s%s", code, out, errs)
		}
	}
	if n := p.count(record.KindBegun); n != 0 {
		t.Errorf("%d units were begun", n)
	}
}

// appendLater writes an entry with the time of a clock that is ahead.
func (p *plant) appendLater(ahead time.Duration) {
	p.t.Helper()
	h, err := openHome(p.path("home"))
	if err != nil {
		p.t.Fatal(err)
	}
	dev, err := tpm.Open(p.t.Context(), tpm.Config{Spec: h.tpmSpec()})
	if err != nil {
		p.t.Fatal(err)
	}
	defer dev.Close()
	auth, err := os.ReadFile(h.authPath())
	if err != nil {
		p.t.Fatal(err)
	}
	c, err := ledgerConfig(p.t.Context(), dev, h.cfg.Keys, auth, "os:test", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	c.Path, c.Origin = h.ledgerPath(), h.origin()
	c.Now = func() time.Time { return time.Now().Add(ahead) }
	l, err := ledger.Open(p.t.Context(), c)
	if err != nil {
		p.t.Fatal(err)
	}
	seqs, err := l.Append(p.t.Context(), ledger.Batch{Bodies: []record.Body{{Kind: record.KindStop, Operator: "os:test", Software: "station test"}}})
	if err == nil {
		err = l.Cover(p.t.Context(), seqs[0])
	}
	if err != nil {
		p.t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		p.t.Fatal(err)
	}
}

// TestReadOnlyLedger: a ledger that cannot be written lets nothing begin.
func TestReadOnlyLedger(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(2)
	c := p.station(p.batchArgs(ports)...)
	script := `set -e
mount --bind "$HOME_DIR/ledger" "$HOME_DIR/ledger"
mount -o remount,bind,ro "$HOME_DIR/ledger"
exec "$@"`
	code, out := p.inNamespace(script, c)
	if code != exitUnfit {
		t.Errorf("exit %d, want %d\n%s", code, exitUnfit, out)
	}
	if n := p.count(record.KindBegun); n != 0 {
		t.Errorf("%d units were begun", n)
	}
	p.must(p.batchArgs(ports)...)
	p.content()
}

// inNamespace runs a command with mounts of its own.
func (p *plant) inNamespace(script string, c *exec.Cmd) (code int, out string) {
	p.t.Helper()
	args := []string{"--mount", "--propagation", "private", "sh", "-c", script, "sh"}
	if os.Geteuid() != 0 {
		args = append([]string{"--user", "--map-root-user"}, args...)
	}
	n := exec.Command("unshare", append(args, c.Args...)...)
	n.Env = append(c.Env, "HOME_DIR="+p.path("home"))
	var b bytes.Buffer
	n.Stdout, n.Stderr = &b, &b
	return exitCode(p.t, n.Run()), b.String()
}

// TestReaderGoesAway: whoever reads a batch's output may end; the boards are
// finished all the same.
func TestReaderGoesAway(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(4)
	c := p.station(p.batchArgs(ports, "--jobs", "1")...)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = io.Discard
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	out.Close()
	if code := exitCode(t, c.Wait()); code != exitPassed {
		t.Errorf("exit %d", code)
	}
	if n := p.count(record.KindProven); n != len(ports) {
		t.Errorf("%d of %d units were finished", n, len(ports))
	}
	p.content()
}

func TestBatchLimits(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(3)
	units, sum := events(t, p.must(p.batchArgs(ports, "--count", "2")...))
	if len(units) != 2 || sum.Passed != 2 {
		t.Errorf("--count 2 did %d units, %+v", len(units), sum)
	}
	for _, c := range []struct{ args []string }{
		{[]string{"--port", ports[0]}}, {[]string{"--count", "-1"}}, {[]string{"--units", p.path("none.csv")}},
	} {
		if code, _, errs := p.do(p.batchArgs(ports, c.args...)...); code != exitUsage {
			t.Errorf("%v: exit %d, %s", c.args, code, errs)
		}
	}
	// A scanned serial needs a scanner, or a list.
	p.write("home/products/gw.toml", posixProduct+"serial = \"scan\"\n")
	if code, _, errs := p.do(p.batchArgs(ports)...); code != exitUsage || !strings.Contains(errs, "scanned") {
		t.Errorf("exit %d, %s", code, errs)
	}
	p.write("units.csv", "serial\nSN-1\nSN-2\nSN-3\n")
	p.write("home/profiles/mtls.toml", "base = \"mtls\"\n[subject]\ncommon_name = \"{site}-{serial}\"\n")
	if code, _, errs := p.do(p.batchArgs(ports, "--units", p.path("units.csv"))...); code != exitUsage || !strings.Contains(errs, `units.csv:1: there is no column "site"`) {
		t.Errorf("exit %d, %s", code, errs)
	}
}
