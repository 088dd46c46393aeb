// SPDX-License-Identifier: Apache-2.0

package export

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"provisioning.example/station/internal/figures"
	"provisioning.example/station/internal/record"
)

// report counts how runs ended and writes one HTML page: numbers, and three plots with the numbers they are drawn from. What it keeps
// are days, fault codes and a histogram: memory does not grow with the number of units. Nobody's name or ID is counted.
type report struct {
	out     io.Writer
	o       Options
	entries int64
	runs    figures.Counter
	first   string // time of the first and the last entry
	last    string

	corrected   []record.Entry
	corrections int64
}

func newReport(w io.Writer, o Options) (rowWriter, error) {
	return &report{out: w, o: o}, nil
}

func (r *report) row(e record.Entry) error {
	b := &e.Body
	r.entries++
	if r.first == "" {
		r.first = b.Time
	}
	r.last = b.Time
	if r.o.Corrections != nil {
		for _, c := range r.o.Corrections.Of(e.Place()) {
			if r.corrections++; len(r.corrected) < maxCorrected {
				r.corrected = append(r.corrected, c)
			}
		}
	}
	if err := r.runs.Add(b); err != nil {
		return fmt.Errorf("entry %d of epoch %d: %w", e.Seq, e.Epoch, err)
	}
	return nil
}

// maxCorrected is how many corrections a report lists; the others are counted.
const maxCorrected = 1000

func (r *report) close() {}

//go:embed text/report.html
var reportPage string

// page is what the template shows.
type page struct {
	Head        Head
	Made, Zone  string
	Selection   string
	Entries     int64
	First, Last string
	*figures.Figures
	Corrected            []record.Entry
	Corrections          int64 // the ones listed included
	Yield, Pareto, Cycle figures.Plot
}

func (r *report) flush() error {
	t, err := template.New("report").Funcs(template.FuncMap{"points": points}).Parse(reportPage)
	if err != nil {
		return err
	}
	f := r.runs.Figures()
	p := page{
		Head: r.o.Head, Made: r.o.Head.Created.Local().Format("2006-01-02 15:04 -07:00"), Zone: r.o.Head.Created.Local().Format("-07:00"),
		Entries: r.entries, First: r.first, Last: r.last, Figures: f, Corrected: r.corrected, Corrections: r.corrections,
		Yield: f.YieldPlot(), Pareto: f.ParetoPlot(), Cycle: f.CyclePlot(),
	}
	p.Selection = strings.Join(append(slices.Clone(r.o.Kinds), strings.Fields(r.o.Selection.String())...), ", ")
	return t.Execute(r.out, p)
}

// points are those of an SVG polyline.
func points(curve []figures.Point) string {
	var s strings.Builder
	for _, p := range curve {
		fmt.Fprintf(&s, "%.1f,%.1f ", p.X, p.Y)
	}
	return s.String()
}
