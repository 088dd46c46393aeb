// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/operator"
)

// registered is a home with an admin and a qa, who has a badge.
func registered(t *testing.T) (*home, *globals) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("station.toml", "name = 'plant/line-1'\ntpm = 'sim'\n")
	h, err := openHome(dir)
	if err != nil {
		t.Fatal(err)
	}
	r, err := h.operators()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []operator.Person{{ID: "otto", Role: operator.Admin}, {ID: "anna", Role: operator.QA, Badge: "B-9"}} {
		if err := r.Add(p, []byte("770215")); err != nil {
			t.Fatal(err)
		}
	}
	return h, &globals{home: dir, approver: "anna", approverPIN: secretFlags{file: write("pin", "770215"), fd: -1}}
}

// TestApprovalOfOneself: a badge and an id are one person.
func TestApprovalOfOneself(t *testing.T) {
	_, g := registered(t)
	for _, who := range []string{"anna", "B-9"} {
		g.operator = who
		if _, err := g.approval(); err == nil || !strings.Contains(err.Error(), "somebody else") {
			t.Errorf("anna approves what %s does: %v", who, err)
		}
	}
	g.operator = "otto"
	if id, err := g.approval(); err != nil || id != "anna" {
		t.Errorf("%q, %v", id, err)
	}
}

// TestApprovalAlone: while another process has the home, no PIN is tried: each
// of many at once would have the tries of all.
func TestApprovalAlone(t *testing.T) {
	h, g := registered(t)
	g.operator = "otto"
	if err := h.acquire(); err != nil {
		t.Fatal(err)
	}
	defer h.release()
	before, err := os.ReadFile(h.path("operators.toml"))
	if err != nil {
		t.Fatal(err)
	}
	g.approverPIN.file = filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(g.approverPIN.file, []byte("482913"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := g.approval(); err == nil || !strings.Contains(err.Error(), "another station works in") {
		t.Errorf("beside another process: %v", err)
	}
	if after, err := os.ReadFile(h.path("operators.toml")); err != nil || string(after) != string(before) {
		t.Errorf("the register was changed: %v\n%s", err, after)
	}
	if _, err := g.approvalIn(h); err == nil || !strings.Contains(err.Error(), "wrong PIN, 4 tries left") {
		t.Errorf("by who has the home: %v", err)
	}
}
