// SPDX-License-Identifier: Apache-2.0

//go:build !nogui

package main

import (
	"os"
	"testing"
)

// TestDeskWithoutItsRegister: who signed in as a technician gets no desk by
// taking the register away before the window is there.
func TestDeskWithoutItsRegister(t *testing.T) {
	t.Parallel()
	p := newPlant(t, posixProduct)
	p.write("operator.pin", "482913\n")
	p.must("operator", "add", "otto", "--role", "admin", "--new-pin-file", p.path("operator.pin"))
	p.must("--operator", "otto", "--operator-pin-file", p.path("operator.pin"), "operator", "add", "tim", "--role", "technician")
	b, err := openLedger(t.Context(), &globals{home: p.path("home"), operator: "tim", logLevel: "error"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if d, err := b.windowDesk(); err != nil || d.QA != nil || d.Verify == nil {
		t.Errorf("a technician: %+v, %v", d, err)
	}
	if err := os.Rename(p.path("home/operators.toml"), p.path("operators.toml")); err != nil {
		t.Fatal(err)
	}
	if d, err := b.windowDesk(); err == nil || d.QA != nil {
		t.Errorf("without the register: QA %v, %v", d.QA, err)
	}
}
