// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/record"
)

// reworkPlant is a plant whose TPM has a rework key.
func reworkPlant(t *testing.T) *plant {
	t.Helper()
	pin := filepath.Join(t.TempDir(), "rework-pin")
	if err := os.WriteFile(pin, []byte("771034\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPlant(t, posixProduct, "--rework-pin-file", pin)
	p.write("rework-pin", "771034\n")
	return p
}

func (p *plant) rework(port, serial string, more ...string) []string {
	return append([]string{
		"rework", serial, "--port", port, "--reason", "superseded", "--note", "wrong image",
		"--approver", "qa-2", "--rework-pin-file", p.path("rework-pin"),
	}, more...)
}

// TestRework: a posix board is locked for two keys, unlocked by the TPM's, then
// by the bench's; each time it gets another certificate under its old serial.
func TestRework(t *testing.T) {
	p := reworkPlant(t)
	for _, args := range [][]string{
		{"ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "bench.key"},
		{"ec", "-in", "bench.key", "-pubout", "-out", "home/rework-bench.pem"},
		{"ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "stranger.key"},
	} {
		if out, err := p.ssl(args...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	p.config("[keys]", "rework_bench = 'rework-bench.pem'\n[keys]")
	ports := p.agents(2)
	unit, other := "00c0ffee0001", "00c0ffee0002"
	p.must(p.batchArgs(ports)...)
	p.write("wrong-pin", "000000\n")
	for _, try := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"rework", unit, "--reason", "superseded"}, exitUsage, "approval"},
		{[]string{"rework", unit, "--approver", "qa-2"}, exitUsage, "is not a reason to revoke"},
		{[]string{"rework", "--reason", "superseded", "--approver", "qa-2"}, exitUsage, "no unit is named"},
		{p.rework(p.path("no-port"), unit), exitUsage, "there is no port"},
		{p.rework(ports[1], unit), exitUsage, "connect the unit's own board"},
		{p.rework(ports[0], unit, "--key", p.path("stranger.key")), exitUsage, "another rework key"},
		{p.rework(ports[0], unit, "--rework-pin-file", p.path("wrong-pin")), exitUnfit, "PIN is wrong"},
	} {
		if code, out, errs := p.do(try.args...); code != try.code || !strings.Contains(errs, try.want) {
			t.Errorf("%v: exit %d, want %d %q\n%s%s", try.args, code, try.code, try.want, out, errs)
		}
	}
	if n := p.count(record.KindRework) + p.count(record.KindRevoked); n > 0 {
		t.Fatalf("%d entries of reworks that were refused", n)
	}
	p.chains(unit)
	for i, more := range [][]string{nil, {"--key", p.path("bench.key"), "--json"}} {
		out := p.must(p.rework(ports[0], unit, more...)...)
		if i == 0 && (!strings.Contains(out, "its board is unlocked and blank") || !strings.Contains(out, "revoked certificate ")) {
			t.Error(out)
		}
		var told struct {
			Event, Was string
			Key        int
		}
		if i == 1 && (json.Unmarshal([]byte(out), &told) != nil || told.Event != "reworked" || told.Was != "locked" || told.Key != 1) {
			t.Errorf("%+v in %s", told, out)
		}
		if out := p.must(p.rework(ports[0], unit)...); !strings.Contains(out, "reworked already") {
			t.Errorf("a second time: %s", out)
		}
		units, _ := events(t, p.must(p.batchArgs(ports[:1])...))
		if len(units) != 1 || units[0].Serial != unit || units[0].Attempt != i+2 {
			t.Errorf("the next run: %+v", units)
		}
	}
	p.must("ca", "crl", "--pin-file", p.path("pin"))
	p.wantVerdict(unit, "home/ca/crl.pem", true) // the certificate before the first rework
	p.chains(unit, other)
	p.wantVerdict(unit, "home/ca/crl.pem", false)
	p.wantVerdict(other, "home/ca/crl.pem", false)
	story := p.must("unit", unit)
	for _, want := range []string{"rework", "revoked", "superseded", "wrong image", "qa-2"} {
		if !strings.Contains(story, want) {
			t.Errorf("the unit's story lacks %q:\n%s", want, story)
		}
	}
	p.content()
	if n, m := p.count(record.KindRework), p.count(record.KindRevoked); n != 2 || m != 2 {
		t.Errorf("%d rework, %d revoked entries", n, m)
	}
}
