// SPDX-License-Identifier: Apache-2.0

package reader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"provisioning.example/station/internal/record"
)

// Counts are the attempts that ended in a span of time, or for an order.
type Counts struct {
	Passed, Failed, Error, Aborted int

	FirstTried  int // first attempts on a board that passed or failed; a board that never said who it is has none
	FirstPassed int // of these, those that passed
}

// FirstPassYield is the share of units that passed on their first attempt, or false if none was tried.
// Attempts that the bench spoiled or a person stopped do not count against the units.
func (c Counts) FirstPassYield() (float64, bool) {
	if c.FirstTried == 0 {
		return 0, false
	}
	return float64(c.FirstPassed) / float64(c.FirstTried), true
}

var errCounts = errors.New("ledger: counters need an order or a start time")

// Counts counts the attempts that ended since a time (zero: ever), for an order (empty: all). One of the two must be given.
func (r *Reader) Counts(ctx context.Context, since time.Time, order string) (Counts, error) {
	if order == "" && since.IsZero() {
		return Counts{}, errCounts
	}
	var w conditions
	w.add("kind = 'end'")
	w.equal("work_order", order)
	if !since.IsZero() {
		w.add("time >= ?", record.Timestamp(since))
	}
	where, args := w.text()
	index := "end_time"
	if order != "" {
		index = "end_order"
	}
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
		`SELECT outcome, coalesce(attempt, 0) = 1, count(*) FROM entry INDEXED BY `+index+` WHERE `+where+` GROUP BY 1, 2`, args...)
	if failed != nil {
		return Counts{}, fmt.Errorf("ledger: counters: %w", failed)
	}
	return c, nil
}

func (c *Counts) add(outcome string, first bool, n int) {
	switch outcome {
	case record.Passed:
		c.Passed += n
		if first {
			c.FirstTried += n
			c.FirstPassed += n
		}
	case record.Failed:
		c.Failed += n
		if first {
			c.FirstTried += n
		}
	case record.Error:
		c.Error += n
	case record.Aborted:
		c.Aborted += n
	}
}

// Bucket counts the attempts that ended in a short span of time.
type Bucket struct {
	Start          time.Time
	Passed, Failed int // Failed counts failed and error
}

// Rhythm cuts the time from start to start + n*width into n buckets and counts the attempts that ended in each.
func (r *Reader) Rhythm(ctx context.Context, start time.Time, width time.Duration, n int) ([]Bucket, error) {
	if n < 1 || n > MaxPage || width < time.Second || width%time.Second != 0 {
		return nil, fmt.Errorf("ledger: rhythm of %d buckets of %v, allowed are 1 to %d of whole seconds", n, width, MaxPage)
	}
	start = start.UTC().Truncate(time.Second)
	buckets := make([]Bucket, n)
	for i := range buckets {
		buckets[i].Start = start.Add(time.Duration(i) * width)
	}
	end := start.Add(time.Duration(n) * width)
	var failed error
	r.each(ctx, func(scan func(...any) error) bool {
		var at, passed, bad int
		if failed = scan(&at, &passed, &bad); failed != nil {
			return true
		}
		if at >= 0 && at < n {
			buckets[at].Passed, buckets[at].Failed = passed, bad
		}
		return false
	}, func(err error) { failed = err },
		`SELECT CAST((unixepoch(time) - ?) / ? AS INTEGER), sum(outcome = 'passed'), sum(outcome IN ('failed', 'error'))
		 FROM entry INDEXED BY end_time WHERE kind = 'end' AND time >= ? AND time < ? GROUP BY 1`,
		start.Unix(), int64(width/time.Second), record.Timestamp(start), record.Timestamp(end))
	if failed != nil {
		return nil, fmt.Errorf("ledger: rhythm: %w", failed)
	}
	return buckets, nil
}
