// SPDX-License-Identifier: Apache-2.0

package export

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"provisioning.example/station/internal/record"
)

// report counts how runs ended and writes one HTML page: numbers, and three plots with the numbers they are drawn from. What it keeps
// are days, fault codes and a histogram: memory does not grow with the number of units. Nobody's name or ID is counted.
type report struct {
	out     io.Writer
	o       Options
	entries int64
	total   tally
	days    map[time.Time]*tally
	faults  map[string]int64
	cycles  histogram
	first   string // time of the first and the last entry
	last    string
}

// tally is how runs ended.
type tally struct {
	Passed, Failed, Error, Aborted int64

	// First attempts on a board that passed or failed, and those of them that passed: what the bench spoiled or a person stopped
	// does not count against the units.
	FirstTried, FirstPassed int64
}

func (t *tally) add(b *record.Body) {
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

func (t *tally) join(o *tally) {
	t.Passed += o.Passed
	t.Failed += o.Failed
	t.Error += o.Error
	t.Aborted += o.Aborted
	t.FirstTried += o.FirstTried
	t.FirstPassed += o.FirstPassed
}

// Runs is how many ended.
func (t *tally) Runs() int64 { return t.Passed + t.Failed + t.Error + t.Aborted }

// Yield is the share of first attempts that passed, for people.
func (t *tally) Yield() string {
	if t.FirstTried == 0 {
		return "–"
	}
	return percent(t.FirstPassed, t.FirstTried)
}

func percent(part, whole int64) string {
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

func newReport(w io.Writer, o Options) (rowWriter, error) {
	return &report{out: w, o: o, days: map[time.Time]*tally{}, faults: map[string]int64{}}, nil
}

// maxFaults bounds the codes that are told apart; the station has fewer.
const maxFaults = 1000

func (r *report) row(e record.Entry) error {
	b := &e.Body
	r.entries++
	if r.first == "" {
		r.first = b.Time
	}
	r.last = b.Time
	if b.Kind != record.KindEnd {
		return nil
	}
	at, err := record.ParseTime(b.Time)
	if err != nil {
		return fmt.Errorf("entry %d of epoch %d: %w", e.Seq, e.Epoch, err)
	}
	y, m, d := at.Local().Date()
	day := time.Date(y, m, d, 0, 0, 0, 0, time.UTC) // a date, whatever the clock did at midnight
	if r.days[day] == nil {
		r.days[day] = &tally{}
	}
	r.days[day].add(b)
	r.total.add(b)
	if b.Fault != "" && (r.faults[b.Fault] > 0 || len(r.faults) < maxFaults) {
		r.faults[b.Fault]++
	}
	if b.Outcome == record.Passed && b.Duration > 0 {
		r.cycles.add(b.Duration)
	}
	return nil
}

func (r *report) close() {}

//go:embed text/report.html
var reportPage string

// page is what the template shows.
type page struct {
	Head                 Head
	Made, Zone           string
	Selection            string
	Entries              int64
	First, Last          string
	Total                *tally
	Period               string // day, week or month
	Days                 []period
	Faults               []fault
	FaultRuns            int64
	Median, Most         string // cycle times that half and 95 % of the runs did not exceed
	Yield, Pareto, Cycle plot
}

// period is a day, or more of them where there are many.
type period struct {
	Name string
	tally
}

type fault struct {
	Code  string
	Count int64
	Share string
}

func (r *report) flush() error {
	t, err := template.New("report").Parse(reportPage)
	if err != nil {
		return err
	}
	p := page{
		Head: r.o.Head, Made: r.o.Head.Created.Local().Format("2006-01-02 15:04 -07:00"), Zone: r.o.Head.Created.Local().Format("-07:00"),
		Entries: r.entries, First: r.first, Last: r.last, Total: &r.total,
	}
	p.Selection = strings.Join(append(slices.Clone(r.o.Kinds), strings.Fields(r.o.Selection.String())...), ", ")
	p.Period, p.Days = periods(r.days)
	p.Faults, p.FaultRuns = ranked(r.faults)
	p.Median, p.Most = r.cycles.quantile(50), r.cycles.quantile(95)
	p.Yield, p.Pareto, p.Cycle = yieldPlot(p.Days), paretoPlot(p.Faults, p.FaultRuns), r.cycles.plot()
	return t.Execute(r.out, p)
}

// maxBars is how many bars a plot has room for.
const maxBars = 62

// periods joins days to weeks, and weeks to months or years, until they fit a plot.
func periods(days map[time.Time]*tally) (unit string, out []period) {
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
				out = append(out, period{Name: name})
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
func ranked(faults map[string]int64) (out []fault, runs int64) {
	for code, n := range faults {
		out = append(out, fault{Code: code, Count: n})
		runs += n
	}
	slices.SortFunc(out, func(a, b fault) int {
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
