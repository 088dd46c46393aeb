// SPDX-License-Identifier: Apache-2.0

package figures

import (
	"fmt"
	"testing"
	"time"

	"provisioning.example/station/internal/record"
)

func TestScales(t *testing.T) {
	for _, most := range []int64{0, 1, 4, 5, 6, 9, 10, 11, 99, 1000, 12345, 10_000_000, 1 << 50} {
		var p Plot
		height := p.scale(most)
		if h := height(most); h < 0 || h > bottom-top+0.001 || most > 0 && h < (bottom-top)/2 {
			t.Errorf("%d is drawn %f high", most, h)
		}
		if n := len(p.Lines); n < 2 || n > 6 {
			t.Errorf("%d: %d lines", most, n)
		}
	}
}

// TestCounter: what is counted, and that the drawings show exactly that.
func TestCounter(t *testing.T) {
	var c Counter
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local)
	add := func(day, attempt int, outcome, fault string, ms int64) {
		t.Helper()
		b := record.Body{
			Kind: record.KindEnd, Time: record.Timestamp(at.AddDate(0, 0, day)), Outcome: outcome, Fault: fault, Attempt: attempt, Duration: ms,
		}
		if err := c.Add(&b); err != nil {
			t.Fatal(err)
		}
	}
	if f := c.Figures(); f.Total.Runs() != 0 || len(f.YieldPlot().Bars)+len(f.ParetoPlot().Bars)+len(f.CyclePlot().Bars) != 0 {
		t.Errorf("nothing counted: %+v", f)
	}
	add(0, 1, record.Passed, "", 4000)
	add(0, 1, record.Failed, "F-PROVE-02", 900)
	add(0, 2, record.Passed, "", 4100)
	add(1, 1, record.Error, "F-OPEN-01", 100)
	add(1, 1, record.Failed, "F-PROVE-02", 800)
	if err := c.Add(&record.Body{Kind: record.KindBegun, Time: "then"}); err != nil {
		t.Error(err)
	}
	if err := c.Add(&record.Body{Kind: record.KindEnd, Time: "then"}); err == nil {
		t.Error("an entry without a time was counted")
	}
	f := c.Figures()
	if f.Total.Runs() != 5 || f.Total.Passed != 2 || f.Total.Yield() != "33.3 %" || f.Unit != "day" || len(f.Days) != 2 {
		t.Errorf("%+v", f)
	}
	if fmt.Sprint(f.Faults) != "[{F-PROVE-02 2 66.7 %} {F-OPEN-01 1 33.3 %}]" || f.FaultRuns != 3 || f.Median != "4.1 s" {
		t.Errorf("%+v", f)
	}
	y := f.YieldPlot()
	if len(y.Bars) != 4 || y.Bars[0].Says != "2026-11-22: 2 passed" || y.Bars[0].H != 2*y.Bars[1].H || y.Bars[1].Y+y.Bars[1].H != y.Bars[0].Y {
		t.Errorf("%+v", y.Bars)
	}
	p := f.ParetoPlot()
	if len(p.Bars) != 2 || len(p.Curve) != 2 || p.Curve[1].Y != top {
		t.Errorf("%+v", p)
	}
	for _, plot := range []Plot{y, p, f.CyclePlot()} {
		for _, b := range plot.Bars {
			if b.X < left || b.X+b.W > right || b.Y < top-0.001 || b.Y+b.H > bottom+0.001 {
				t.Errorf("%+v stands out of the axes", b)
			}
		}
	}
	before := fmt.Sprint(f)
	add(2, 1, record.Passed, "", 1)
	if fmt.Sprint(f) != before {
		t.Error("figures changed while more was counted")
	}
}
