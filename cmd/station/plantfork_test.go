// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/pem"
	"os"
	"strings"
	"testing"

	"provisioning.example/station/internal/plant/postgres"
	ledgers "provisioning.example/station/internal/plant/specimen"
)

// TestPlantTellsForksAndDuplicates: what a person sees when a station was
// copied, and when two stations made the same unit.
func TestPlantTellsForksAndDuplicates(t *testing.T) {
	server, err := postgres.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	// The database is named by the environment, as for psql.
	t.Setenv("PGHOST", server.Dir())
	t.Setenv("PGUSER", "plant")
	t.Setenv("PGDATABASE", "postgres")
	p := &plant{t: t, dir: t.TempDir()}
	root, err := ledgers.NewRoot()
	if err != nil {
		t.Fatal(err)
	}
	p.write("root.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate.Raw})))
	ledger := func(name string) *ledgers.Ledger {
		l, err := root.Ledger(name)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	bundle := func(l *ledgers.Ledger, name, serial, uid string) {
		t.Helper()
		if err := l.Provision(ledgers.Unit{Serial: serial, UID: uid}); err != nil {
			t.Fatal(err)
		}
		if err := l.Bundle(t.Context(), p.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	a, b := ledger("ulm/st-01"), ledger("ulm/st-02")
	copied := a.Copy()
	bundle(a, "a", "SN-1", "0a0b0c01")
	bundle(b, "b", "SN-1", "0a0b0c02")
	bundle(copied, "copied", "SN-2", "0a0b0c03")
	code, out, errs := p.do("plant", "import", "--root", p.path("root.pem"), p.path("a"), p.path("copied"), p.path("b"))
	if code != exitUnits || !strings.Contains(errs, "1 of 3 bundles are in quarantine") || strings.Count(out, "FORK, in quarantine: ulm/st-01/1: entry 2 ") != 1 {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if strings.Count(out, "ulm/st-01/1\n6\n") != 2 || strings.Count(out, "\u2014 ulm/st-01/1 ") != 2 { // both checkpoints
		t.Errorf("the evidence is not shown:\n%s", out)
	}
	code, out, errs = p.do("plant", "duplicates")
	if code != exitUnits || strings.Count(out, "serial  SN-1   ulm/st-0") != 2 || strings.Contains(out, "SN-2") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if text, err := os.ReadFile(p.path("copied")); err != nil || len(text) == 0 {
		t.Errorf("the quarantined bundle is gone: %v", err)
	}
}
