// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/tpm"
)

// TestLockout tries wrong PINs until the TPM takes none: each is refused with
// what is left, then the station says until when to wait; so does doctor. The
// ledger goes on being written.
func TestLockout(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(1)
	p.write("wrong", "111111\n")
	for _, left := range []string{"2 more", "1 more", "0 more"} {
		code, _, errs := p.do("batch", "--json", "--port", ports[0], "--pin-file", p.path("wrong"))
		if code != exitUnfit || !strings.Contains(errs, "not tried again; "+left) {
			t.Errorf("a wrong PIN: exit %d, want %q in %s", code, left, errs)
		}
	}
	code, _, errs := p.do(p.batchArgs(ports)...)
	if code != exitUnfit || !strings.Contains(errs, "locked") || !strings.Contains(errs, "leave the machine on and try again at "+time.Now().Format("2006-")) {
		t.Errorf("the right PIN in lockout: exit %d %s", code, errs)
	}
	code, out, _ := p.do("doctor")
	if code != exitUnfit || !hasStop(out, "TPM") || !strings.Contains(out, "3 of 3: locked") || !strings.Contains(out, "leave the machine on until 20") {
		t.Errorf("doctor: exit %d\n%s", code, out)
	}
	if out := p.must("ledger", "verify", "--root", p.path("root/root.pem")); !strings.HasPrefix(out, "valid, origin proven") {
		t.Errorf("verify: %s", out)
	}
}

// TestSetLockout lets doctor set the limits of a line: with approval and on
// record, and only if the TPM's owner left that to everybody.
func TestSetLockout(t *testing.T) {
	p := newPlant(t, posixProduct)
	if out := p.must("doctor"); !strings.Contains(out, "wrong PINs and unclean stops 0 of 3") || !strings.Contains(out, "station doctor --set-lockout") {
		t.Errorf("doctor: %s", out)
	}
	p.refused("--reason", "doctor", "--set-lockout", "--approver", "qa-1")
	p.refused("--approver", "doctor", "--set-lockout", "--reason", "power cuts")
	if da := p.lockout(); da.Max != 3 {
		t.Errorf("limits were set without approval: %+v", da)
	}
	for range 2 { // the second time there is nothing to do
		out := p.must("doctor", "--set-lockout", "--reason", "power cuts", "--approver", "qa-1")
		if !strings.Contains(out, "0 of 32") || strings.Contains(out, "--set-lockout") {
			t.Errorf("doctor: %s", out)
		}
	}
	da := p.lockout()
	da.Used = 0
	if da != tpm.LineDA() {
		t.Errorf("limits are %+v", da)
	}
	p.sqlite(`select count(*), json_extract(body, '$.old'), json_extract(body, '$.approver') from entry where kind = 'config'`,
		"1|3 tries, one healed every 1000 s, 1000 s after a wrong lockout authorisation|qa-1")
}

// TestUncleanStop kills the station with -9 after the CA key was used: the TPM
// counts that like a wrong PIN. Orderly stops do not count.
func TestUncleanStop(t *testing.T) {
	p := newPlantWith(t, posixProduct, func(p *plant) string { return "swtpm:" + p.path("own") })
	ports := append(p.agents(1), p.path("port2"))
	slow := p.agent(2)
	used := func() int {
		m, err := tpm.Open(t.Context(), tpm.Config{Spec: "swtpm:" + p.path("own")})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		da, err := m.DA(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return da.Used
	}
	if n := used(); n != 0 {
		t.Errorf("orderly stops counted %d times", n)
	}
	// A board that does not answer keeps the batch from its end.
	if err := slow.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c := p.station(p.batchArgs(ports)...)
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	p.until("a certificate was signed", func() bool { return p.count(record.KindIssued) > 0 })
	_ = c.Process.Kill()
	_ = c.Wait()
	if err := slow.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if n := used(); n != 1 {
		t.Errorf("the unclean stop counted %d times", n)
	}
	p.must(p.batchArgs(ports)...)
	p.content()
	if n := used(); n != 1 {
		t.Errorf("after an orderly stop the counter is %d", n)
	}
	if out := p.must("doctor"); !strings.Contains(out, "wrong PINs and unclean stops 1 of 32") {
		t.Errorf("doctor: %s", out)
	}
}
