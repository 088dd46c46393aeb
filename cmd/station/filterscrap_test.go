// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"
	"testing"

	"provisioning.example/station/internal/filter"
)

// TestFilterScrapped: a board that one station scrapped is not begun anew at
// the next one, although its serial number may be given to another board.
func TestFilterScrapped(t *testing.T) {
	p := newPlant(t, posixProduct)
	_, out, _ := p.do(p.batchArgs(p.agents(1))...)
	units, _ := events(t, out)
	if len(units) != 1 || units[0].Outcome != "passed" {
		t.Fatalf("%s", out)
	}
	unit := units[0]
	p.must("scrap", unit.Serial, "--reason", "keyCompromise", "--approver", "qa-2")
	if out := p.must("ledger", "filter", "export", "--out", p.path("used")); !strings.Contains(out, "1 keys, 0 serials, 1 boards") {
		t.Errorf("after a unit was scrapped %q is exported", out)
	}
	raw, err := os.ReadFile(p.path("used"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := filter.Parse(raw)
	if err != nil || !f.Set.Has(filter.Board, "posix/"+unit.UID) {
		t.Errorf("board posix/%s is not in it: %v", unit.UID, err)
	}
}
