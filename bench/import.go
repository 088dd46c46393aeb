// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"provisioning.example/station/bench/lot"
	"provisioning.example/station/internal/ledger/reader"
	plantdb "provisioning.example/station/internal/plant"
	"provisioning.example/station/internal/plant/postgres"
	"provisioning.example/station/internal/record"
)

// importLongest is the longest ledger that is imported: databases of a longer one do not fit beside it.
const importLongest = 2_000_000

const importHow = `A bundle of a long ledger, with all its certificates, requests and checkpoints, into an
empty database of a PostgreSQL on a Unix socket of the same machine, with the settings it
comes with. The peer is pgx CopyFrom of the same rows - entries, blobs, checkpoints - out
of the ledger's file straight into the same tables, with their generated columns, checks
and indexes, in one transaction. An import judges the bundle, which is all that
ledger-verify does, and copies it into staging tables meanwhile; with a good verdict it
inserts from there. Ledgers of more than %s entries are not imported.`

// importRow is what one turn took, in seconds.
type importRow struct{ judge, merge, copied float64 }

// importFigures is P13: a bundle's way into the plant's database.
func importFigures(ctx context.Context, p *plant) (*report, error) {
	r := &report{
		title: "P13, a bundle into PostgreSQL", how: fmt.Sprintf(importHow, million(importLongest)),
		head: []string{"entries", "turn", "judged and staged", "merged", "all", "pgx CopyFrom"},
	}
	server, err := postgres.Start(ctx)
	if err != nil {
		return nil, err
	}
	defer server.Close()
	for _, entries := range p.lots.sizes {
		if entries > importLongest {
			continue
		}
		m, err := p.newMerger(ctx, server, entries)
		if err != nil {
			return nil, err
		}
		var turns []importRow
		for n := range p.lots.turnsFor(entries) {
			t, err := m.turn(ctx, n)
			if err != nil {
				return nil, err
			}
			turns = append(turns, t)
		}
		r.addImport(entries, turns)
		if err := os.Remove(m.path); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// merger has a ledger, twice: as a bundle and as a file.
type merger struct {
	server *postgres.Server
	root   *x509.Certificate
	path   string // of the bundle
	ledger string
}

func (p *plant) newMerger(ctx context.Context, server *postgres.Server, entries int64) (*merger, error) {
	dir, err := p.lot(ctx, entries)
	if err != nil {
		return nil, err
	}
	m := &merger{server: server, path: p.path("ledger.bundle"), ledger: lot.Path(dir)}
	text, err := os.ReadFile(lot.Root(dir))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is no PEM", lot.Root(dir))
	}
	if m.root, err = x509.ParseCertificate(block.Bytes); err != nil {
		return nil, err
	}
	return m, p.run(ctx, "ledger", "export", "--home", home(dir), "--format", "bundle", "--out", m.path)
}

// turn imports the bundle into one empty database and copies the rows into another.
func (m *merger) turn(ctx context.Context, n int) (t importRow, err error) {
	ours, theirs := fmt.Sprintf("ours%d", n), fmt.Sprintf("theirs%d", n)
	var r plantdb.Result
	err = m.within(ctx, ours, func(p *plantdb.Plant) error {
		r, err = p.Import(ctx, m.path, plantdb.Anchors{Root: m.root})
		if err == nil && (r.Quarantine != "" || r.Added != r.Entries) {
			err = fmt.Errorf("imported was something else: %+v", r)
		}
		return err
	})
	if err != nil {
		return t, err
	}
	t.judge, t.merge = r.Judging.Seconds(), r.Merging.Seconds()
	err = m.within(ctx, theirs, func(*plantdb.Plant) error {
		t.copied, err = m.copy(ctx, theirs, r.Added)
		return err
	})
	return t, err
}

// within does something with an empty plant, whose database is gone afterwards.
func (m *merger) within(ctx context.Context, name string, do func(*plantdb.Plant) error) error {
	if err := m.exec(ctx, "CREATE DATABASE "+name); err != nil {
		return err
	}
	p, err := plantdb.Open(ctx, m.server.URL(name)) // makes the tables
	if err == nil {
		err = errors.Join(do(p), p.Close())
	}
	return errors.Join(err, m.exec(context.WithoutCancel(ctx), "DROP DATABASE "+name))
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
func (m *merger) copy(ctx context.Context, database string, entries int64) (float64, error) {
	l, err := reader.Open(ctx, m.ledger)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	c, err := pgx.Connect(ctx, m.server.URL(database))
	if err != nil {
		return 0, err
	}
	defer c.Close(ctx)
	origin := ""
	began := time.Now()
	err = pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if err := copyTable(ctx, tx, "checkpoint", []string{"origin", "size", "note"}, l.Checkpoints(ctx), func(c record.StoredCheckpoint) []any {
			if origin == "" {
				origin, _, _ = strings.Cut(string(c.Note), "\n")
			}
			return []any{origin, c.Size, string(c.Note)}
		}); err != nil {
			return err
		}
		if err := copyTable(ctx, tx, "entry", []string{"origin", "seq", "body", "leaf"}, l.Raw(ctx, 0, 0), func(e record.Entry) []any {
			if e.Seq > entries {
				return nil // what the export recorded of itself
			}
			return []any{origin, e.Seq, string(e.Raw), e.Leaf[:]}
		}); err != nil {
			return err
		}
		return copyTable(ctx, tx, "blob", []string{"sha256", "bytes"}, l.Blobs(ctx), func(b record.StoredBlob) []any {
			return []any{b.Digest[:], b.Bytes}
		})
	})
	return time.Since(began).Seconds(), err
}

// copyTable copies rows until there are no more, or row gives none.
func copyTable[T any](ctx context.Context, tx pgx.Tx, table string, columns []string, source iter.Seq2[T, error], row func(T) []any) error {
	type read struct {
		row []any
		err error
	}
	rows, done := make(chan read, 1000), make(chan struct{})
	go func() { // the ledger is read while the server works
		defer close(rows)
		for v, err := range source {
			r := read{err: err}
			if err == nil {
				if r.row = row(v); r.row == nil {
					return
				}
			}
			select {
			case rows <- r:
			case <-done:
				return
			}
		}
	}()
	defer close(done)
	_, err := tx.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		r := <-rows
		return r.row, r.err
	}))
	return err
}

func (r *report) addImport(entries int64, turns []importRow) {
	n := float64(entries)
	rate := func(of func(importRow) float64) string { return fmt.Sprintf("%.0f/s", n/medianBy(turns, of)) }
	seconds := func(x float64) string { return fmt.Sprintf("%.2f s", x) }
	for i, t := range turns {
		r.rows = append(r.rows, []string{
			million(entries), fmt.Sprint(i + 1), seconds(t.judge), seconds(t.merge), seconds(t.judge + t.merge), seconds(t.copied),
		})
	}
	r.figures = append(r.figures, figure{
		"P13", fmt.Sprintf("import of %s entries into PostgreSQL", million(entries)), rate(func(t importRow) float64 { return t.judge + t.merge }),
		"pgx CopyFrom, " + rate(func(t importRow) float64 { return t.copied }),
		medianBy(turns, func(t importRow) float64 { return (t.judge + t.merge) / t.copied }), atMost(2),
	})
}
