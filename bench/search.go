// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"provisioning.example/station/bench/lot"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

const searchHow = `Questions that screens and commands ask, one after the other, each %d times with other
values, all drawn at random from the whole ledger: the files are far larger than any
cache of SQLite's, and the operating system's is warm. What is measured is our reader's
answer, decoded; a page has 100 entries. Where others work on the machine, the p99 is
how long an answer waits for a processor; what it costs one is beside it, as a mean.`

// asked is how often each question is asked.
const asked = 1000

// question is one kind of search. ask returns how many entries it found.
type question struct {
	name string
	ask  func(context.Context, searched) (int, error)
}

// searched is a unit in the ledger, at random, and a place before which a page ends.
type searched struct {
	r      *reader.Reader
	unit   record.Body
	cursor reader.Cursor
}

var questions = []question{
	{"unit by serial", func(ctx context.Context, s searched) (int, error) {
		return entriesOf(ctx, s.r, reader.Query{Serial: s.unit.Serial})
	}},
	{"unit by certificate", func(ctx context.Context, s searched) (int, error) {
		return entriesOf(ctx, s.r, reader.Query{Cert: s.unit.Cert})
	}},
	{"unit by key", func(ctx context.Context, s searched) (int, error) {
		return entriesOf(ctx, s.r, reader.Query{SPKI: s.unit.SPKI})
	}},
	{"all about a unit", func(ctx context.Context, s searched) (int, error) {
		e, err := s.r.Timeline(ctx, reader.Query{Serial: s.unit.Serial})
		return len(e), err
	}},
	{"page of all, anywhere", func(ctx context.Context, s searched) (int, error) {
		return pageOfFilter(ctx, s, reader.Filter{})
	}},
	{"page of ends, anywhere", func(ctx context.Context, s searched) (int, error) {
		return pageOfFilter(ctx, s, reader.Filter{Kinds: []string{record.KindEnd}})
	}},
	{"page of failures, anywhere", func(ctx context.Context, s searched) (int, error) {
		return pageOfFilter(ctx, s, reader.Filter{Outcome: record.Failed})
	}},
	{"page of an order", func(ctx context.Context, s searched) (int, error) {
		s.cursor = reader.Cursor{}
		return pageOfFilter(ctx, s, reader.Filter{Order: s.unit.Order})
	}},
	{"page of an operator, anywhere", func(ctx context.Context, s searched) (int, error) {
		return pageOfFilter(ctx, s, reader.Filter{Operator: s.unit.Operator})
	}},
	{"page of serials that begin so", func(ctx context.Context, s searched) (int, error) {
		s.cursor = reader.Cursor{}
		return pageOfFilter(ctx, s, reader.Filter{SerialPrefix: s.unit.Serial[:len(s.unit.Serial)-2]})
	}},
	{"page of an hour", func(ctx context.Context, s searched) (int, error) {
		at, err := record.ParseTime(s.unit.Time)
		if err != nil {
			return 0, err
		}
		s.cursor = reader.Cursor{}
		return pageOfFilter(ctx, s, reader.Filter{From: at.Add(-time.Hour), To: at.Add(time.Microsecond)})
	}},
	{"counters of a shift", func(ctx context.Context, s searched) (int, error) {
		c, err := s.r.Counts(ctx, time.Time{}, s.unit.Order)
		return c.Passed, err
	}},
}

func entriesOf(ctx context.Context, r *reader.Reader, q reader.Query) (int, error) {
	e, err := r.EntriesOf(ctx, q)
	return len(e), err
}

func pageOfFilter(ctx context.Context, s searched, f reader.Filter) (int, error) {
	page, _, _, err := s.r.Page(ctx, f, s.cursor, 100)
	return len(page), err
}

// searchFigures is P8: answers to who searches in a long ledger.
func searchFigures(ctx context.Context, p *plant) (*report, error) {
	r := &report{
		title: "P8, search, milliseconds", how: fmt.Sprintf(searchHow, asked), head: []string{"entries", "question", "median", "p99", "longest", "processor time", "entries found"},
	}
	for _, entries := range p.lots.sizes {
		dir, err := p.lot(ctx, entries)
		if err != nil {
			return nil, err
		}
		if err := r.search(ctx, entries, lot.Path(dir)); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *report) search(ctx context.Context, entries int64, path string) error {
	ledger, err := reader.Open(ctx, path)
	if err != nil {
		return err
	}
	defer ledger.Close()
	units, err := draw(ctx, ledger)
	if err != nil {
		return err
	}
	worst, name := 0.0, ""
	for _, q := range questions {
		var took []float64
		found, busy := 0, processorTime()
		for _, s := range units {
			began := time.Now()
			n, err := q.ask(ctx, s)
			if err != nil {
				return fmt.Errorf("%s: %w", q.name, err)
			}
			took = append(took, time.Since(began).Seconds()*1000)
			found += n
		}
		busy = (processorTime() - busy) / float64(len(units))
		slices.Sort(took)
		p99 := took[len(took)*99/100]
		if p99 > worst {
			worst, name = p99, q.name
		}
		r.rows = append(r.rows, []string{
			million(entries), q.name, fmt.Sprintf("%.2f", medianOf(took)), fmt.Sprintf("%.2f", p99), fmt.Sprintf("%.2f", took[len(took)-1]),
			fmt.Sprintf("%.2f", busy*1000), fmt.Sprintf("%.1f", float64(found)/float64(len(units))),
		})
	}
	r.figures = append(r.figures, figure{
		"P8", fmt.Sprintf("search among %s entries, slowest question's p99", million(entries)), fmt.Sprintf("%.2f ms", worst), name + ", 5 ms", worst / 5, atMost(1),
	})
	return nil
}

// processorTime is what this process has had of the processors, in seconds.
func processorTime() float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0 // it knows no other reason than a wrong argument
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// draw picks units that passed, at random.
func draw(ctx context.Context, r *reader.Reader) ([]searched, error) {
	epoch, last, err := r.Last(ctx)
	if err != nil {
		return nil, err
	}
	var out []searched
	for len(out) < asked {
		at := reader.Cursor{Epoch: epoch, Seq: 100 + rand.Int64N(last-100)}
		page, _, _, err := r.Page(ctx, reader.Filter{Kinds: []string{record.KindEnd}, Outcome: record.Passed}, at, 1)
		if err != nil {
			return nil, err
		}
		if len(page) == 1 {
			out = append(out, searched{r, page[0].Body, at})
		}
	}
	return out, nil
}
