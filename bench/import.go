// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	plantdb "provisioning.example/station/internal/plant"
	"provisioning.example/station/internal/plant/postgres"
	"provisioning.example/station/internal/plant/specimen"
)

const (
	// importUnits is how many units the imported ledger has, of five entries and three blobs each.
	importUnits = 4000
	importTurns = 3
	// importVariable holds another number of units: 200000 make the million entries.
	importVariable = "BENCH_IMPORT_UNITS"
)

const importHow = `A generated ledger with real certificates, requests, receipts and a signed checkpoint
for each unit, as one bundle, into an empty database of a PostgreSQL on a Unix
socket of the same machine, with the settings it comes with. The peer is pgx CopyFrom
of the same rows - entries, blobs, checkpoints - from memory straight into the same
tables, with their generated columns, checks and indexes, in one transaction. To merge
is to read the bundle, hash its tree, copy into staging tables and insert from
there. To judge comes before: all that ledger-verify does, on all processors.
Medians of %d turns in turn; %d entries. %s=200000 makes it a million.`

// importRow is what one turn took, in seconds.
type importRow struct{ judge, merge, copied float64 }

// importFigures is P13: a bundle's way into the plant's database.
func importFigures(ctx context.Context, p *plant) (*report, error) {
	units := importUnits
	if text := os.Getenv(importVariable); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%s=%q is no number of units", importVariable, text)
		}
		units = n
	}
	m, err := newMerger(ctx, p.path("ledger.bundle"), units)
	if err != nil {
		return nil, err
	}
	defer m.server.Close()
	var turns []importRow
	for n := range importTurns {
		t, err := m.turn(ctx, n)
		if err != nil {
			return nil, err
		}
		turns = append(turns, t)
	}
	return m.report(turns), nil
}

// merger holds a ledger, twice: as a bundle and as rows.
type merger struct {
	server *postgres.Server
	root   *specimen.Root
	path   string

	entries, blobs, checkpoints [][]any
}

func newMerger(ctx context.Context, path string, units int) (_ *merger, err error) {
	m := &merger{path: path}
	if m.root, err = specimen.NewRoot(); err != nil {
		return nil, err
	}
	l, err := m.root.Ledger("plant/bench")
	if err != nil {
		return nil, err
	}
	for n := range units {
		if err := l.Provision(specimen.Unit{Serial: fmt.Sprintf("SN-%08d", n), UID: fmt.Sprintf("%024x", n)}); err != nil {
			return nil, err
		}
	}
	for e := range l.Raw(ctx, 0, 0) {
		m.entries = append(m.entries, []any{l.Origin.String(), e.Seq, string(e.Raw), e.Leaf[:]})
	}
	for c := range l.Checkpoints(ctx) {
		m.checkpoints = append(m.checkpoints, []any{l.Origin.String(), c.Size, string(c.Note)})
	}
	for b := range l.Blobs(ctx) {
		m.blobs = append(m.blobs, []any{b.Digest[:], b.Bytes})
	}
	if err := l.Bundle(ctx, path); err != nil {
		return nil, err
	}
	m.server, err = postgres.Start(ctx)
	return m, err
}

// turn imports the bundle into one empty database and copies the rows into another.
func (m *merger) turn(ctx context.Context, n int) (t importRow, err error) {
	ours, theirs := fmt.Sprintf("ours%d", n), fmt.Sprintf("theirs%d", n)
	for _, name := range []string{ours, theirs} {
		if err := m.exec(ctx, "CREATE DATABASE "+name); err != nil {
			return t, err
		}
		defer m.exec(context.WithoutCancel(ctx), "DROP DATABASE "+name) //nolint:errcheck // the server ends anyway
	}
	p, err := plantdb.Open(ctx, m.server.URL(ours))
	if err != nil {
		return t, err
	}
	defer p.Close()
	r, err := p.Import(ctx, m.path, plantdb.Anchors{Root: m.root.Certificate})
	if err != nil {
		return t, err
	}
	if r.Added != int64(len(m.entries)) || r.Blobs != int64(len(m.blobs)) || r.Points != int64(len(m.checkpoints))+1 {
		return t, fmt.Errorf("imported was something else: %+v", r)
	}
	t.judge, t.merge = r.Judging.Seconds(), r.Merging.Seconds()
	t.copied, err = m.copy(ctx, theirs)
	return t, err
}

func (m *merger) exec(ctx context.Context, sql string) error {
	c, err := pgx.Connect(ctx, m.server.URL("postgres"))
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, sql)
	return err
}

// copy is the peer: the same rows into the same tables.
func (m *merger) copy(ctx context.Context, database string) (float64, error) {
	p, err := plantdb.Open(ctx, m.server.URL(database)) // makes the tables
	if err != nil {
		return 0, err
	}
	if err := p.Close(); err != nil {
		return 0, err
	}
	c, err := pgx.Connect(ctx, m.server.URL(database))
	if err != nil {
		return 0, err
	}
	defer c.Close(ctx)
	began := time.Now()
	err = pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		for _, t := range []struct {
			name    string
			columns []string
			rows    [][]any
		}{
			{"entry", []string{"origin", "seq", "body", "leaf"}, m.entries},
			{"checkpoint", []string{"origin", "size", "note"}, m.checkpoints},
			{"blob", []string{"sha256", "bytes"}, m.blobs},
		} {
			if _, err := tx.CopyFrom(ctx, pgx.Identifier{t.name}, t.columns, pgx.CopyFromRows(t.rows)); err != nil {
				return err
			}
		}
		return nil
	})
	return time.Since(began).Seconds(), err
}

func (m *merger) report(turns []importRow) *report {
	n := float64(len(m.entries))
	rate := func(seconds float64) string { return fmt.Sprintf("%.0f/s", n/seconds) }
	judge := medianBy(turns, func(t importRow) float64 { return t.judge })
	merge := medianBy(turns, func(t importRow) float64 { return t.merge })
	copied := medianBy(turns, func(t importRow) float64 { return t.copied })
	r := &report{
		title: "P13, a bundle into PostgreSQL", how: fmt.Sprintf(importHow, len(turns), len(m.entries), importVariable),
		head: []string{"turn", "judge", "merge", "pgx CopyFrom"},
	}
	for i, t := range turns {
		r.rows = append(r.rows, []string{fmt.Sprint(i + 1), fmt.Sprintf("%.2f s", t.judge), fmt.Sprintf("%.2f s", t.merge), fmt.Sprintf("%.2f s", t.copied)})
	}
	r.figures = []figure{
		{
			"P13", "entries merged into PostgreSQL", rate(merge), "pgx CopyFrom, " + rate(copied),
			medianBy(turns, func(t importRow) float64 { return t.merge / t.copied }), atMost(2),
		},
		{
			"P13", "entries judged and merged", rate(judge + merge), "pgx CopyFrom, " + rate(copied),
			medianBy(turns, func(t importRow) float64 { return (t.judge + t.merge) / t.copied }), atMost(2),
		},
	}
	return r
}
