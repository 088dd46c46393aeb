// SPDX-License-Identifier: Apache-2.0

package reader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"provisioning.example/station/internal/record"
)

// Query selects entries by exact values; empty fields do not count. At least one field must be set.
type Query struct {
	Run        string
	Serial     string
	Model, UID string
	SPKI       string // SHA-256 in hex, as all digests here
	Cert       string
	CertSerial string
	CN         string // common name in a certificate
	CSRR       string // r of a request's ECDSA signature
	Order      string
	Kinds      []string // any of these
}

var errEmptyQuery = errors.New("ledger: a query needs at least one value to look for")

func (q Query) where() (string, []any, error) {
	var w conditions
	w.equal("run", q.Run)
	w.equal("serial", q.Serial)
	w.equal("uid", q.UID)
	w.equal("model", q.Model)
	w.equal("spki_sha256", q.SPKI)
	w.equal("cert_sha256", q.Cert)
	w.equal("cert_serial", q.CertSerial)
	w.equal("csr_r", q.CSRR)
	w.equal("cn", q.CN)
	w.equal("work_order", q.Order)
	if len(w.terms) == 0 && len(q.Kinds) == 0 {
		return "", nil, errEmptyQuery
	}
	w.kinds("kind", q.Kinds)
	text, args := w.text()
	return text, args, nil
}

// EntriesOf returns all entries that match, oldest first, over all epochs.
func (r *Reader) EntriesOf(ctx context.Context, q Query) ([]record.Entry, error) {
	where, args, err := q.where()
	if err != nil {
		return nil, err
	}
	return collect(r.entries(ctx, `SELECT `+entryColumns+` FROM entry WHERE `+where+` ORDER BY id`, args...))
}

// Count returns how many entries match.
func (r *Reader) Count(ctx context.Context, q Query) (int, error) {
	where, args, err := q.where()
	if err != nil {
		return 0, err
	}
	var n int
	if err := r.db.QueryRowContext(ctx, `SELECT count(*) FROM entry WHERE `+where, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("ledger: %w", err)
	}
	return n, nil
}

// Attempts returns how often a board was begun so far.
func (r *Reader) Attempts(ctx context.Context, model, uid string) (int, error) {
	return r.Count(ctx, Query{Model: model, UID: uid, Kinds: []string{record.KindBegun}})
}

// Timeline returns everything known about the units that q finds, oldest first:
// the entries that match, and all others of the same boards, serials and certificates.
func (r *Reader) Timeline(ctx context.Context, q Query) ([]record.Entry, error) {
	found, err := r.EntriesOf(ctx, q)
	if err != nil {
		return nil, err
	}
	byPlace := map[int64]record.Entry{}
	asked := map[string]bool{}
	for len(found) > 0 {
		var next []Query
		for _, e := range found {
			byPlace[ID(e.Epoch, e.Seq)] = e
			for _, q := range related(e.Body) {
				if key := fmt.Sprint(q); !asked[key] {
					asked[key] = true
					next = append(next, q)
				}
			}
		}
		found = nil
		for _, q := range next {
			more, err := r.EntriesOf(ctx, q)
			if err != nil {
				return nil, err
			}
			found = append(found, more...)
		}
	}
	timeline := make([]record.Entry, 0, len(byPlace))
	for _, e := range byPlace {
		timeline = append(timeline, e)
	}
	slices.SortFunc(timeline, func(a, b record.Entry) int {
		return int(min(max(ID(a.Epoch, a.Seq)-ID(b.Epoch, b.Seq), -1), 1))
	})
	return timeline, nil
}

// related are the questions that lead from one entry to the others of its unit.
func related(b record.Body) []Query {
	var qs []Query
	if b.Unit() != "" {
		qs = append(qs, Query{Model: b.Model, UID: b.UID})
	}
	if b.Serial != "" {
		qs = append(qs, Query{Serial: b.Serial})
	}
	if b.Cert != "" && b.Kind != record.KindCA {
		qs = append(qs, Query{Cert: b.Cert})
	}
	if b.Run != "" {
		qs = append(qs, Query{Run: b.Run})
	}
	return qs
}

// OpenRun is a run without an end: the program died in it, or the board went away after its certificate was issued.
type OpenRun struct {
	Run     string
	Entries []record.Entry // oldest first
}

// OpenRuns returns the runs that have not ended, oldest first.
func (r *Reader) OpenRuns(ctx context.Context) ([]OpenRun, error) {
	var runs []string
	var failed error
	r.each(ctx, func(scan func(...any) error) bool {
		var run string
		failed = scan(&run)
		runs = append(runs, run)
		return failed != nil
	}, func(err error) { failed = err }, `SELECT value FROM claim WHERE kind = 'run' ORDER BY epoch, seq`)
	if failed != nil {
		return nil, failed
	}
	open := make([]OpenRun, len(runs))
	for i, run := range runs {
		entries, err := r.EntriesOf(ctx, Query{Run: run})
		if err != nil {
			return nil, err
		}
		open[i] = OpenRun{run, entries}
	}
	return open, nil
}

// Held returns who holds a claim: the entry that took it. The error wraps sql.ErrNoRows if nobody does.
func (r *Reader) Held(ctx context.Context, c record.Claim) (record.Entry, error) {
	e, err := scanRaw(r.db.QueryRowContext(ctx,
		`SELECT `+entryColumns+` FROM entry WHERE id = (SELECT (epoch << 40) | seq FROM claim WHERE kind = ? AND value = ?)`, c.Kind, c.Value))
	if err != nil {
		return e, fmt.Errorf("ledger: claim %s %s: %w", c.Kind, c.Value, err)
	}
	return decode(e)
}

// conditions gathers the terms of a WHERE clause.
type conditions struct {
	terms []string
	args  []any
}

func (w *conditions) add(term string, args ...any) {
	w.terms = append(w.terms, term)
	w.args = append(w.args, args...)
}

func (w *conditions) equal(column, value string) {
	if value != "" {
		w.add(column+" = ?", value)
	}
}

func (w *conditions) prefix(column, prefix string) {
	if prefix == "" {
		return
	}
	w.add(column+" >= ?", prefix)
	if end := prefixEnd(prefix); end != "" {
		w.add(column+" < ?", end)
	}
}

func (w *conditions) kinds(column string, kinds []string) {
	if len(kinds) == 0 {
		return
	}
	args := make([]any, len(kinds))
	for i, k := range kinds {
		args[i] = k
	}
	w.add(column+" IN (?"+strings.Repeat(", ?", len(kinds)-1)+")", args...)
}

func (w *conditions) text() (string, []any) {
	if len(w.terms) == 0 {
		return "true", nil
	}
	return strings.Join(w.terms, " AND "), w.args
}
