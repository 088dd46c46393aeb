// SPDX-License-Identifier: Apache-2.0

package plant_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"provisioning.example/station/internal/plant"
	"provisioning.example/station/internal/plant/postgres"
	"provisioning.example/station/internal/plant/specimen"
	"provisioning.example/station/internal/record"
)

// server is one PostgreSQL for all tests; each test has a database of its own.
var server *postgres.Server

func TestMain(m *testing.M) {
	runtime.LockOSThread() // the server ends with this thread
	var err error
	if server, err = postgres.Start(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := server.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// database makes an empty database for the time of the test and returns its
// connection string.
func database(t *testing.T) string {
	t.Helper()
	name := strings.ToLower(t.Name())
	quoted := pgx.Identifier{name}.Sanitize()
	c := connect(t, server.URL("postgres"))
	if _, err := c.Exec(t.Context(), "CREATE DATABASE "+quoted); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := c.Exec(context.Background(), "DROP DATABASE "+quoted+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return server.URL(name)
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) }) //nolint:errcheck // test
	return c
}

// world is a plant with a root.
type world struct {
	t    *testing.T
	url  string
	root *specimen.Root
	*plant.Plant
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, url: database(t)}
	var err error
	if w.root, err = specimen.NewRoot(); err != nil {
		t.Fatal(err)
	}
	if w.Plant, err = plant.Open(t.Context(), w.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() }) //nolint:errcheck // test
	return w
}

func (w *world) station(name string, units int) *specimen.Ledger {
	w.t.Helper()
	l, err := w.root.Ledger(name)
	if err != nil {
		w.t.Fatal(err)
	}
	for n := range units {
		w.provision(l, specimen.Unit{Serial: fmt.Sprintf("%s-%04d", filepath.Base(name), n), UID: uid(name, n)})
	}
	return l
}

func uid(name string, n int) string {
	sum := record.Leaf(fmt.Append(nil, name, n))
	return fmt.Sprintf("%x", sum[:12])
}

func (w *world) provision(l *specimen.Ledger, u specimen.Unit) {
	w.t.Helper()
	if err := l.Provision(u); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) bundle(l *specimen.Ledger) string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "bundle.zip")
	if err := l.Bundle(w.t.Context(), path); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func (w *world) take(path string) plant.Result {
	w.t.Helper()
	r, err := w.Import(w.t.Context(), path, plant.Anchors{Root: w.root.Certificate})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// taken wants the bundle imported, with so many new entries.
func (w *world) taken(path string, added int64) plant.Result {
	w.t.Helper()
	r := w.take(path)
	if r.Quarantine != "" || r.Added != added {
		w.t.Fatalf("%d new entries, want %d: %+v", r.Added, added, r)
	}
	return r
}

// contents is a digest of every row of a table.
func (w *world) contents() string {
	w.t.Helper()
	c := connect(w.t, w.url)
	var all string
	for _, table := range []string{"log", "entry", "blob", "checkpoint", "bundle", "cosignature"} {
		var sum string
		if err := c.QueryRow(w.t.Context(), `SELECT count(*) || ' ' || md5(coalesce(string_agg(x::text, '|' ORDER BY x::text), '')) FROM `+table+` x`).Scan(&sum); err != nil {
			w.t.Fatal(err)
		}
		all += table + " " + sum + "\n"
	}
	return all
}
