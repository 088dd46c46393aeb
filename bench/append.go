// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"provisioning.example/station/bench/lot"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

const appendHow = `One append is an entry of %d bytes: recorded, committed, covered by a signed checkpoint
that is committed too, then answered. Writers each wait for their answer before the
next. The peer is a row of the same bytes in a table of SQLite's with the same driver on
the same disk, in WAL mode with synchronous=FULL, a commit each, on one connection: more
of them only wait for one another. An empty ledger's checkpoints are signed by a key in
memory; the long ones' by their simulated TPM, whose share is in a column of its own: the
time in which a signature was being made. The figure with one writer is without that
share. Medians of %d turns in turn.`

const (
	appendTurns = 5
	appendTime  = time.Second // of each part of a turn
)

// appendTurn is what was done in a second.
type appendTurn struct {
	ours, raw []float64 // by writers
	tpm       []float64 // share of the time
	points    []float64 // checkpoints
}

var writers = []int{1, 16}

// appendFigures is P5: durable entries under a checkpoint.
func appendFigures(ctx context.Context, p *plant) (*report, error) {
	body := sampleBody("plant/bench")
	raw, err := body.Encode()
	if err != nil {
		return nil, err
	}
	r := &report{
		title: "P5, durable appends in a second", how: fmt.Sprintf(appendHow, len(raw), appendTurns),
		head: []string{"ledger", "writers", "ours", "SQLite", "checkpoints", "share of the TPM"},
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	empty := ledger.Config{Path: p.path("append.db"), Origin: "plant/bench/1", Signer: key}
	if err := ledger.Create(ctx, empty); err != nil {
		return nil, err
	}
	if err := r.appends(ctx, "empty", empty, p.path("raw.db")); err != nil {
		return nil, err
	}
	for _, entries := range p.lots.sizes {
		dir, err := p.lot(ctx, entries)
		if err != nil {
			return nil, err
		}
		if err := r.appendToLot(ctx, dir, million(entries)+" entries"); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// sampleBody is an entry of a usual length that any ledger may have at any time.
func sampleBody(station string) record.Body {
	return record.Body{
		Kind: record.KindSelfcheck, Station: station, Time: record.Timestamp(time.Now()), Operator: "bench", Software: "bench",
		What: "bench", Outcome: record.Passed, Detail: strings.Repeat("as long as entries are ", 40),
	}
}

func (r *report) appendToLot(ctx context.Context, dir, name string) (err error) {
	c, done, err := lot.Open(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	raw := filepath.Join(filepath.Dir(c.Path), "raw.db")
	defer func() { err = errors.Join(err, os.Remove(raw)) }()
	return r.appends(ctx, name, c, raw)
}

func (r *report) appends(ctx context.Context, name string, c ledger.Config, path string) (err error) {
	signer := &timedSigner{Signer: c.Signer}
	c.Signer = signer
	l, err := ledger.Open(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	db, err := openRaw(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	body := sampleBody(l.Origin().Station)
	text, err := body.Encode()
	if err != nil {
		return err
	}
	var turns []appendTurn
	for range appendTurns {
		var t appendTurn
		for _, n := range writers {
			signer.reset()
			ours, err := perSecond(n, func() error { return appendOne(ctx, l, body) })
			if err != nil {
				return err
			}
			share, points := signer.share()
			raw, err := perSecond(n, func() error {
				_, err := db.ExecContext(ctx, `INSERT INTO line (body) VALUES (?)`, string(text))
				return err
			})
			if err != nil {
				return err
			}
			t.ours, t.raw = append(t.ours, ours), append(t.raw, raw)
			t.tpm, t.points = append(t.tpm, share), append(t.points, points)
		}
		turns = append(turns, t)
	}
	r.addAppends(name, turns)
	return nil
}

func appendOne(ctx context.Context, l *ledger.Ledger, b record.Body) error {
	seqs, err := l.Append(ctx, ledger.Batch{Bodies: []record.Body{b}})
	if err != nil {
		return err
	}
	return l.Cover(ctx, seqs[0])
}

// openRaw makes the peer's table.
func openRaw(ctx context.Context, path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite3", reader.DSN(path, "mode=rwc&_journal_mode=WAL&_synchronous=FULL&_txlock=immediate&_busy_timeout=5000&_stmt_cache_size=32"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, `CREATE TABLE line (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT`); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	var synchronous int
	err = db.QueryRowContext(ctx, `PRAGMA synchronous`).Scan(&synchronous)
	if err == nil && synchronous != 2 {
		err = fmt.Errorf("synchronous is %d, not FULL", synchronous)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// perSecond has n writers do f, one time after the other, for a while.
func perSecond(n int, f func() error) (float64, error) {
	var done atomic.Int64
	var g errgroup.Group
	began := time.Now()
	for range n {
		g.Go(func() error {
			for time.Since(began) < appendTime {
				if err := f(); err != nil {
					return err
				}
				done.Add(1)
			}
			return nil
		})
	}
	err := g.Wait()
	return float64(done.Load()) / time.Since(began).Seconds(), err
}

// timedSigner knows how long it signed.
type timedSigner struct {
	crypto.Signer
	began  time.Time
	busy   atomic.Int64 // ns
	signed atomic.Int64
}

func (s *timedSigner) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	began := time.Now()
	defer func() { s.busy.Add(int64(time.Since(began))); s.signed.Add(1) }()
	return s.Signer.Sign(random, digest, o)
}

func (s *timedSigner) reset() {
	s.began = time.Now()
	s.busy.Store(0)
	s.signed.Store(0)
}

// share is the part of the time since reset in which it signed, and how often it did in a second.
func (s *timedSigner) share() (busy, signed float64) {
	all := time.Since(s.began)
	return float64(s.busy.Load()) / float64(all), float64(s.signed.Load()) / all.Seconds()
}

func (r *report) addAppends(name string, turns []appendTurn) {
	for i, n := range writers {
		ours := medianBy(turns, func(t appendTurn) float64 { return t.ours[i] })
		raw := medianBy(turns, func(t appendTurn) float64 { return t.raw[i] })
		share := medianBy(turns, func(t appendTurn) float64 { return t.tpm[i] })
		what, goal := fmt.Sprintf("appends, %s ledger, %d writers", name, n), atLeast(1)
		ratio := medianBy(turns, func(t appendTurn) float64 { return t.ours[i] / t.raw[i] })
		if n == 1 {
			what, goal = fmt.Sprintf("appends, %s ledger, one writer", name), atLeast(0.25)
			ratio = medianBy(turns, func(t appendTurn) float64 { return t.ours[i] / (1 - t.tpm[i]) / t.raw[i] })
		}
		r.figures = append(r.figures, figure{"P5", what, fmt.Sprintf("%.0f/s", ours), fmt.Sprintf("SQLite's commits, %.0f/s", raw), ratio, goal})
		r.rows = append(r.rows, []string{
			name, fmt.Sprint(n), fmt.Sprintf("%.0f", ours), fmt.Sprintf("%.0f", raw),
			fmt.Sprintf("%.0f", medianBy(turns, func(t appendTurn) float64 { return t.points[i] })), fmt.Sprintf("%.0f %%", share*100),
		})
	}
}
