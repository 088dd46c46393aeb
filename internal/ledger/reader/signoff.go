// SPDX-License-Identifier: Apache-2.0

package reader

import (
	"context"
	"fmt"
	"time"

	"provisioning.example/station/internal/record"
)

// Stretch is a part of one epoch: from the first to the last entry of something.
type Stretch struct {
	Epoch    int
	From, To int64
}

// Stretches finds where an order's entries stand, or those of a time (half-open, by the entries' own time), or both: a stretch for each
// epoch that has any. Empty values do not count, but one must be given.
func (r *Reader) Stretches(ctx context.Context, order string, since, until time.Time) ([]Stretch, error) {
	var w conditions
	w.equal("work_order", order)
	at := "time" // with an order, its index finds less
	if order != "" {
		at = "+time"
	}
	if !since.IsZero() {
		w.add(at+" >= ?", record.Timestamp(since))
	}
	if !until.IsZero() {
		w.add(at+" < ?", record.Timestamp(until))
	}
	if len(w.terms) == 0 {
		return nil, errEmptyQuery
	}
	where, args := w.text()
	var found []Stretch
	var failed error
	r.each(ctx, func(scan func(...any) error) bool {
		var first, last int64
		failed = scan(&first, &last)
		var s Stretch
		s.Epoch, s.From = Place(first)
		_, s.To = Place(last)
		found = append(found, s)
		return failed != nil
	}, func(err error) { failed = err }, `SELECT min(id), max(id) FROM entry WHERE `+where+` GROUP BY id >> 40 ORDER BY 1`, args...)
	if failed != nil {
		return nil, fmt.Errorf("ledger: %w", failed)
	}
	return found, nil
}

// fewEntries is how long a stretch may be to be counted entry by entry; beyond it, the index of all runs that ended is read.
const fewEntries = 50_000

// CountsOf counts the runs that ended in a stretch, all of them or those of one order.
func (r *Reader) CountsOf(ctx context.Context, s Stretch, order string) (Counts, error) {
	var w conditions
	w.add("kind = 'end'")
	from := "NOT INDEXED"
	id := "id"
	switch {
	case order != "":
		w.add("work_order = ?", order)
		from, id = "INDEXED BY end_order", "+id"
	case s.To-s.From > fewEntries:
		from, id = "INDEXED BY end_time", "+id"
	}
	w.add(id+" BETWEEN ? AND ?", ID(s.Epoch, s.From), ID(s.Epoch, s.To))
	where, args := w.text()
	var c Counts
	var failed error
	r.each(ctx, func(scan func(...any) error) bool {
		var outcome string
		var first bool
		var n int
		if failed = scan(&outcome, &first, &n); failed != nil {
			return true
		}
		c.add(outcome, first, n)
		return false
	}, func(err error) { failed = err },
		`SELECT outcome, coalesce(attempt, 0) = 1, count(*) FROM entry `+from+` WHERE `+where+` GROUP BY 1, 2`, args...)
	if failed != nil {
		return Counts{}, fmt.Errorf("ledger: counters: %w", failed)
	}
	return c, nil
}
