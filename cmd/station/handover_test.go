// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"provisioning.example/station/internal/record"
)

// clearTPM is what a person does with a board that is replaced, or a firmware
// setup that clears it: another TPM answers at the same place.
func (p *plant) clearTPM() {
	p.t.Helper()
	p.stopTPM()
	if err := os.RemoveAll(p.path("tpm")); err != nil {
		p.t.Fatal(err)
	}
	p.manufacture()
	p.startTPM()
}

// newAuthority has the root sign what the station asks for now.
func (p *plant) newAuthority() {
	p.t.Helper()
	p.must("ca", "request", "--pin-file", p.path("pin"))
	if err := os.RemoveAll(p.path("answer.pem")); err != nil {
		p.t.Fatal(err)
	}
	p.must("root", "sign", "--root", p.path("root"), "--passphrase-file", p.path("passphrase"),
		"--in", p.path("home/ca/request.pem"), "--out", p.path("answer.pem"))
	p.must("ca", "install", p.path("answer.pem"))
}

func (p *plant) handoverArgs(more ...string) []string {
	return append([]string{"handover", "--pin-file", p.path("pin")}, more...)
}

func (p *plant) refused(want string, args ...string) {
	p.t.Helper()
	if code, out, errs := p.do(args...); code == exitPassed || !strings.Contains(errs, want) {
		p.t.Errorf("station %s: exit %d, want %q\n%s%s", strings.Join(args, " "), code, want, out, errs)
	}
}

// TestHandover clears the TPM of a station that has provisioned: doctor says
// what to do, and after the handover the line goes on in a new epoch. What the
// old epoch's units hold stays theirs, and they are found.
func TestHandover(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(5)
	p.must(p.batchArgs(ports[:2])...)
	p.refused("nothing to hand over", p.handoverArgs("--reason", "x", "--approver", "qa-1")...)
	p.clearTPM()

	if code, out, _ := p.do("doctor"); code != exitUnfit || !hasStop(out, "keys") || !strings.Contains(out, "station handover --reason") {
		t.Errorf("doctor: exit %d\n%s", code, out)
	}
	p.refused("station handover", p.batchArgs(ports[2:])...)
	p.refused("--approver", p.handoverArgs("--reason", "TPM cleared by mistake")...)
	p.refused("somebody else", p.handoverArgs("--reason", "TPM cleared by mistake", "--operator", "a", "--approver", "a")...)
	p.refused("--reason", p.handoverArgs("--approver", "qa-1")...)
	if exists(p.path("home/handover.toml")) {
		t.Error("a refused handover was begun")
	}
	out := p.must(p.handoverArgs("--reason", "TPM cleared by mistake", "--approver", "qa-1")...)
	if !strings.Contains(out, "plant/line-1/2") || !strings.Contains(out, "next: station ca request") {
		t.Errorf("handover says: %s", out)
	}
	if code, out, _ := p.do("ledger", "verify", "--root", p.path("root/root.pem")); code != exitUnproven || !strings.Contains(out, "origin not proven") {
		t.Errorf("before the root has certified the new key: %s", out)
	}
	p.newAuthority()
	p.must(p.batchArgs(ports[2:4])...)
	p.content()
	p.readBack(ports[2:4])
	p.sqlite(`select count(*), min(kind), json_extract(body, '$.approver') from entry where id >> 40 = 2 and id & 1099511627775 = 1`, "1|handover|qa-1")

	// The unit of the first epoch is found, and its serial stays its own.
	if out := p.must("unit", "00c0ffee0001"); !strings.Contains(out, "passed") {
		t.Errorf("unit of the first epoch: %s", out)
	}
	p.write("units.csv", "serial\n00c0ffee0001\n")
	if code, _, errs := p.do(p.batchArgs(ports[4:], "--units", p.path("units.csv"))...); code != exitUnits {
		t.Errorf("a serial of the first epoch was given away: exit %d %s", code, errs)
	}
	if n := p.count(record.KindIssued); n != 4 {
		t.Errorf("%d certificates, want 4", n)
	}
	first := p.must("ledger", "list", "--all", "--limit", "6", "--before", "1/7")
	if !strings.Contains(first, "start") {
		t.Errorf("entries of the first epoch: %s", first)
	}
}

// TestHandoverInterrupted lets the power fail after each step of a handover:
// until it is finished nothing else writes the ledger, and the same command
// finishes it, with the approval that was given.
func TestHandoverInterrupted(t *testing.T) {
	steps := len((&handing{}).steps())
	for done := 2; done < steps; done++ {
		t.Run(fmt.Sprint("after step ", done), func(t *testing.T) {
			t.Parallel()
			p := newPlant(t, posixProduct)
			ports := p.agents(2)
			p.must(p.batchArgs(ports[:1])...)
			p.clearTPM()
			p.halfAHandover(done)
			interrupted := exists(p.path("home/handover.toml"))
			if interrupted != (done < steps-1) {
				t.Errorf("handover.toml is there: %v", interrupted)
			}
			if interrupted {
				p.refused("finish it with: station handover", "ca", "request", "--pin-file", p.path("pin"))
				if code, out, _ := p.do("doctor"); code != exitUnfit || !strings.Contains(out, "finish it with: station handover") {
					t.Errorf("doctor: exit %d\n%s", code, out)
				}
				p.must(p.handoverArgs()...)
			}
			p.newAuthority()
			p.must(p.batchArgs(ports[1:])...)
			p.content()
			p.sqlite(`select count(*) from entry where kind = 'handover'`, "1")
		})
	}
}

// halfAHandover does the first steps in this process, and then nothing more:
// no stop entry, no cleaning up.
func (p *plant) halfAHandover(done int) {
	p.t.Helper()
	g := &globals{home: p.path("home"), operator: "op-1", approver: "qa-1", logLevel: "error", pin: secretFlags{file: p.path("pin"), fd: -1}}
	x, err := prepareHandover(g, "", "the TPM was replaced", "P-256", secretFlags{fd: -1})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, step := range x.steps()[:done] {
		if err := step(p.t.Context()); err != nil {
			p.t.Fatal(err)
		}
	}
	if x.b.tpm != nil {
		x.b.tpm.Close()
	}
	x.b.home.release()
}
