// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"provisioning.example/station/internal/plant/postgres"
)

// database makes an empty one.
func database(t *testing.T, s *postgres.Server, name string) string {
	t.Helper()
	c, err := pgx.Connect(t.Context(), s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context()) //nolint:errcheck // test
	if _, err := c.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return s.URL(name)
}

// TestPlantOfEpochs imports ledgers of more than one epoch: that of a station whose TPM was replaced and whose ledger was restored,
// at once and one bundle after the other. Entries that the plant had and the restore lost stay in the plant.
func TestPlantOfEpochs(t *testing.T) {
	server, err := postgres.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	p := newPlant(t, posixProduct)
	into := func(db, root string, files ...string) string {
		t.Helper()
		return p.must(append([]string{"plant", "import", "--db", db, "--root", root}, files...)...)
	}
	status := func(db string, want ...string) {
		t.Helper()
		out := p.must("plant", "status", "--db", db)
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("status lacks %q:\n%s", w, out)
			}
		}
	}

	const old = "testdata/ledgers/1/"
	db := database(t, server, "fixture")
	if out := into(db, old+"root.pem", old+"ledger.bundle"); !strings.Contains(out, "200 of 200 entries") {
		t.Errorf("three epochs at once: %s", out)
	}
	if out := into(db, old+"root.pem", old+"ledger.bundle"); !strings.Contains(out, "nothing new in 200 entries") {
		t.Errorf("again: %s", out)
	}
	status(db, "plant/line-1/1  ", "plant/line-1/2  ", "plant/line-1/3  ")

	bundle := func(name string) string {
		p.must("ledger", "export", "--format", "bundle", "--out", p.path(name))
		return p.path(name)
	}
	root := p.path("root/root.pem")
	ports := p.agents(3)
	p.must(p.batchArgs(ports[:1])...)
	before := bundle("before")
	p.keepLedger("older.db")
	p.must(p.batchArgs(ports[1:2])...)
	lost := bundle("lost")
	p.putLedger("older.db")
	p.must(p.restoreArgs("--accept-loss", "--known", lost)...)
	p.certifyAgain()
	p.must(p.batchArgs(ports[2:])...)
	restored := bundle("restored")

	db = database(t, server, "kept")
	into(db, root, before)
	if out := into(db, root, restored); !strings.Contains(out, " are new") {
		t.Errorf("a restored ledger after one of before: %s", out)
	}
	status(db, "plant/line-1/1  ", "plant/line-1/2  ")

	db = database(t, server, "lost")
	into(db, root, before, lost)
	if out := into(db, root, restored); !strings.Contains(out, " are new") || strings.Contains(out, "quarantine") {
		t.Errorf("a restored ledger after what it lost: %s", out)
	}
	if out := into(db, root, before, lost, restored); strings.Count(out, "nothing new in ") != 3 {
		t.Errorf("all of them again: %s", out)
	}
	// The lost unit is in both, by its own entries and by the one that keeps its serial taken: it is one unit.
	if out := p.must("plant", "duplicates", "--db", db); strings.Contains(out, "line-1") {
		t.Errorf("duplicates: %s", out)
	}
}
