// SPDX-License-Identifier: Apache-2.0

// Package figures counts how runs ended: yield by day, faults by their frequency, cycle times. It counts entry by entry and keeps days, fault
// codes and a histogram, so that its memory does not grow with the number of units. Nobody's name or id is counted.
//
// A [Plot] says where each bar and text of a drawing stands; whoever draws it (a page as SVG, a window on its canvas) adds colours alone, so
// that all of them show the same.
package figures

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"provisioning.example/station/internal/record"
)

// Counter counts entries. The zero value has counted none.
type Counter struct {
	total  Tally
	days   map[time.Time]*Tally
	faults map[string]int64
	cycles histogram
}

// Tally is how runs ended.
type Tally struct {
	Passed, Failed, Error, Aborted int64

	// First attempts on a board that passed or failed, and those of them that passed: what the bench spoiled or a person stopped
	// does not count against the units.
	FirstTried, FirstPassed int64
}

func (t *Tally) add(b *record.Body) {
	switch b.Outcome {
	case record.Passed:
		t.Passed++
	case record.Failed:
		t.Failed++
	case record.Error:
		t.Error++
	case record.Aborted:
		t.Aborted++
	}
	if b.Attempt == 1 && (b.Outcome == record.Passed || b.Outcome == record.Failed) {
		t.FirstTried++
		if b.Outcome == record.Passed {
			t.FirstPassed++
		}
	}
}

func (t *Tally) join(o *Tally) {
	t.Passed += o.Passed
	t.Failed += o.Failed
	t.Error += o.Error
	t.Aborted += o.Aborted
	t.FirstTried += o.FirstTried
	t.FirstPassed += o.FirstPassed
}

// Runs is how many ended.
func (t *Tally) Runs() int64 { return t.Passed + t.Failed + t.Error + t.Aborted }

// Yield is the share of first attempts that passed, for people.
func (t *Tally) Yield() string {
	if t.FirstTried == 0 {
		return "–"
	}
	return percent(t.FirstPassed, t.FirstTried)
}

func percent(part, whole int64) string {
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

// maxFaults bounds the codes that are told apart; the station has fewer.
const maxFaults = 1000

// Add counts an entry; only ends of runs count.
func (c *Counter) Add(b *record.Body) error {
	if b.Kind != record.KindEnd {
		return nil
	}
	at, err := record.ParseTime(b.Time)
	if err != nil {
		return err
	}
	if c.days == nil {
		c.days, c.faults = map[time.Time]*Tally{}, map[string]int64{}
	}
	y, m, d := at.Local().Date()
	day := time.Date(y, m, d, 0, 0, 0, 0, time.UTC) // a date, whatever the clock did at midnight
	if c.days[day] == nil {
		c.days[day] = &Tally{}
	}
	c.days[day].add(b)
	c.total.add(b)
	if b.Fault != "" && (c.faults[b.Fault] > 0 || len(c.faults) < maxFaults) {
		c.faults[b.Fault]++
	}
	if b.Outcome == record.Passed && b.Duration > 0 {
		c.cycles.add(b.Duration)
	}
	return nil
}

// Figures are the numbers that plots and tables are made from.
type Figures struct {
	Total     Tally
	Unit      string   // of Days: day, week, month or year, so that a plot has room for all
	Days      []Period // in order
	Faults    []Fault  // the most frequent first
	FaultRuns int64    // runs that ended with a fault
	Median    string   // the cycle time that half of the runs that passed did not exceed, for people
	Most      string   // that 95 % did not
	cycles    *histogram
}

// Period is a day, or more of them where there are many.
type Period struct {
	Name string
	Tally
}

// Fault is how often a code was the reason.
type Fault struct {
	Code  string
	Count int64
	Share string // of all, for people
}

// Figures are those of what was counted so far.
func (c *Counter) Figures() *Figures {
	cycles := c.cycles
	f := &Figures{Total: c.total, Median: cycles.quantile(50), Most: cycles.quantile(95), cycles: &cycles}
	f.Unit, f.Days = periods(c.days)
	f.Faults, f.FaultRuns = ranked(c.faults)
	return f
}

// maxBars is how many bars a plot has room for.
const maxBars = 62

// periods joins days to weeks, and weeks to months or years, until they fit a plot.
func periods(days map[time.Time]*Tally) (unit string, out []Period) {
	sorted := slices.SortedFunc(maps.Keys(days), time.Time.Compare)
	for _, by := range []struct {
		unit string
		name func(time.Time) string
	}{
		{"day", func(t time.Time) string { return t.Format(time.DateOnly) }},
		{"week", func(t time.Time) string { y, w := t.ISOWeek(); return fmt.Sprintf("%d-W%02d", y, w) }},
		{"month", func(t time.Time) string { return t.Format("2006-01") }},
		{"year", func(t time.Time) string { return t.Format("2006") }},
	} {
		unit, out = by.unit, nil
		for _, day := range sorted {
			name := by.name(day)
			if len(out) == 0 || out[len(out)-1].Name != name {
				out = append(out, Period{Name: name})
			}
			out[len(out)-1].join(days[day])
		}
		if len(out) <= maxBars {
			break
		}
	}
	return unit, out
}

// ranked is the faults, the most frequent first.
func ranked(faults map[string]int64) (out []Fault, runs int64) {
	for code, n := range faults {
		out = append(out, Fault{Code: code, Count: n})
		runs += n
	}
	slices.SortFunc(out, func(a, b Fault) int {
		if a.Count != b.Count {
			return int(min(max(b.Count-a.Count, -1), 1))
		}
		return strings.Compare(a.Code, b.Code)
	})
	for i := range out {
		out[i].Share = percent(out[i].Count, runs)
	}
	return out, runs
}
