// SPDX-License-Identifier: Apache-2.0

package tpm_test

import (
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/tpm"
)

// TestLockoutAuth has tpm2-tools set the lockout authorisation: from then on the
// limits cannot be set without it, and that is said.
func TestLockoutAuth(t *testing.T) {
	s := newServer(t)
	m := open(t, tpm.Config{Spec: "unix:" + s.socket})
	if set, err := m.LockoutAuth(t.Context()); err != nil || set {
		t.Errorf("a new TPM: %v, %v", set, err)
	}
	if err := m.SetDA(t.Context(), tpm.LineDA()); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	newTools(t, s).run("tpm2_changeauth", "-c", "lockout", "of the CA officer")
	m = open(t, tpm.Config{Spec: "unix:" + s.socket})
	if set, err := m.LockoutAuth(t.Context()); err != nil || !set {
		t.Errorf("after it was set: %v, %v", set, err)
	}
	if err := m.SetDA(t.Context(), tpm.LineDA()); err == nil || !strings.Contains(err.Error(), "lockout authorisation must be empty") {
		t.Errorf("limits set without the authorisation: %v", err)
	}
}

func TestHeals(t *testing.T) {
	s := tpm.DAState{Used: 31, Max: 32, Interval: 10 * time.Minute}
	if s.Heals() != 0 {
		t.Errorf("31 of 32 heals in %s", s.Heals())
	}
	s.Used = 33
	if s.Heals() != 20*time.Minute {
		t.Errorf("33 of 32 heals in %s", s.Heals())
	}
	for heals, want := range map[time.Duration]string{0: "lockout authorisation", time.Hour: "Leave the machine on until ", 48 * time.Hour: "-"} {
		if r := (&tpm.LockoutError{Heals: heals}).Remedy(); !strings.Contains(r, want) {
			t.Errorf("%s: %q, want %q in it", heals, r, want)
		}
	}
}
