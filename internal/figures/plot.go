// SPDX-License-Identifier: Apache-2.0

package figures

import (
	"fmt"
	"strconv"
)

// Plot is a drawing in a box of Width by Height, from its upper left corner: what is drawn later covers what was drawn before, in the
// order lines, bars, curve, texts.
type Plot struct {
	Bars  []Bar
	Lines []Line
	Texts []Label
	Curve []Point // of a line through them; none: there is none
}

// Bar is a filled box. Class is an outcome, which stands for a colour; Says is what it shows, for people.
type Bar struct {
	X, Y, W, H float64
	Class      string
	Says       string
}

// Line is thin and straight.
type Line struct{ X1, Y1, X2, Y2 float64 }

// Point is a place in the box.
type Point struct{ X, Y float64 }

// Label is a text of TextSize. Its baseline begins, has its middle or ends at X, Y.
type Label struct {
	X, Y   float64
	Anchor string // start, middle or end
	Text   string
}

// The box of a plot, and the height of its texts.
const (
	Width, Height = 720, 260
	TextSize      = 11
)

// The part of the box that bars fill.
const (
	left, right = 52.0, 708.0
	top, bottom = 12.0, 216.0
)

// scale draws the frame and lines for a value axis from 0 to most, and returns the height of a value.
func (p *Plot) scale(most int64) func(int64) float64 {
	step := int64(1)
	for n := 0; most > 5*step; n++ {
		step = step * []int64{2, 5, 4}[n%3] / []int64{1, 2, 2}[n%3] // 1, 2, 5, 10, 20, 50, ...
	}
	end := max((most+step-1)/step*step, 1)
	height := func(v int64) float64 { return (bottom - top) * float64(v) / float64(end) }
	for v := int64(0); v <= end; v += step {
		y := bottom - height(v)
		p.Lines = append(p.Lines, Line{left, y, right, y})
		p.Texts = append(p.Texts, Label{left - 6, y + 4, "end", strconv.FormatInt(v, 10)})
	}
	return height
}

// maxLabels is how many names fit under an axis.
const maxLabels = 12

// name writes the name of bar i of n under the axis, if there is room.
func (p *Plot) name(i, n int, text string) {
	if every := (n + maxLabels - 1) / maxLabels; i%every == 0 {
		x, w := place(i, n)
		p.Texts = append(p.Texts, Label{x + w/2, bottom + 16, "middle", text})
	}
}

// place is where bar i of n stands. Few bars do not become broader than maxBar.
func place(i, n int) (x, w float64) {
	const maxBar = 90.0
	slot := min((right-left)/float64(n), maxBar)
	return left + slot*(float64(i)+0.1), slot * 0.8
}

// YieldPlot shows how many runs ended in each period, and how.
func (f *Figures) YieldPlot() (p Plot) {
	days := f.Days
	var most int64
	for _, d := range days {
		most = max(most, d.Runs())
	}
	height := p.scale(most)
	for i, d := range days {
		x, w := place(i, len(days))
		y := bottom
		for _, part := range []struct {
			class string
			n     int64
		}{{"passed", d.Passed}, {"failed", d.Failed}, {"error", d.Error}, {"aborted", d.Aborted}} {
			if part.n == 0 {
				continue
			}
			h := height(part.n)
			y -= h
			p.Bars = append(p.Bars, Bar{x, y, w, h, part.class, fmt.Sprintf("%s: %d %s", d.Name, part.n, part.class)})
		}
		p.name(i, len(days), d.Name)
	}
	return p
}

// maxPareto is how many faults the plot shows; the table has them all.
const maxPareto = 10

// ParetoPlot shows the most frequent faults, and the share of all that they and those before them have.
func (f *Figures) ParetoPlot() (p Plot) {
	faults, runs := f.Faults, f.FaultRuns
	shown := faults[:min(len(faults), maxPareto)]
	var most, sum int64
	if len(shown) > 0 {
		most = shown[0].Count
	}
	height := p.scale(most)
	for i, f := range shown {
		x, w := place(i, len(shown))
		h := height(f.Count)
		p.Bars = append(p.Bars, Bar{x, bottom - h, w, h, "failed", fmt.Sprintf("%s: %d, %s", f.Code, f.Count, f.Share)})
		// The curve is the share of this fault and those before it.
		sum += f.Count
		y := bottom - (bottom-top)*float64(sum)/float64(runs)
		p.Curve = append(p.Curve, Point{x + w/2, y})
		p.Texts = append(p.Texts, Label{x + w/2, y - 5, "middle", fmt.Sprintf("%.0f %%", 100*float64(sum)/float64(runs))})
		p.Texts = append(p.Texts, Label{x + w/2, bottom + 16, "middle", f.Code})
	}
	return p
}

// histogram counts durations in fixed memory: steps of cycleStep, the last for all that is longer.
type histogram struct {
	counts [cycleSteps]int64
	n      int64
}

const (
	cycleStep  = 100 // milliseconds
	cycleSteps = 36000
)

func (h *histogram) add(ms int64) {
	h.counts[min(ms/cycleStep, cycleSteps-1)]++
	h.n++
}

// step finds the step below which a share of the durations ends.
func (h *histogram) step(share int64) int {
	var sum int64
	for i, n := range h.counts {
		if sum += n; sum*100 >= share*h.n {
			return i
		}
	}
	return 0
}

// quantile is the duration that a share of the runs did not exceed, for people.
func (h *histogram) quantile(share int64) string {
	if h.n == 0 {
		return "–"
	}
	return seconds(h.step(share) + 1)
}

func seconds(steps int) string { return fmt.Sprintf("%.1f s", float64(steps)*cycleStep/1000) }

// CyclePlot shows how long runs that passed took: what lies up to the 99th percentile in bars of equal breadth, and the rest in a last one.
func (f *Figures) CyclePlot() (p Plot) {
	h := f.cycles
	if h.n == 0 {
		p.scale(0)
		return p
	}
	const bars = 24
	each := max(1, (h.step(99)+bars)/bars)
	var sums [bars + 1]int64
	for i, n := range h.counts {
		sums[min(i/each, bars)] += n
	}
	var most int64
	for _, n := range sums {
		most = max(most, n)
	}
	height := p.scale(most)
	for i, n := range sums {
		x, w := place(i, len(sums))
		from := seconds(i * each)
		says := fmt.Sprintf("%s to %s: %d", from, seconds((i+1)*each), n)
		if i == bars {
			says = fmt.Sprintf("%s and longer: %d", from, n)
		}
		if n > 0 {
			p.Bars = append(p.Bars, Bar{x, bottom - height(n), w, height(n), "passed", says})
		}
		if i == bars {
			from = "longer"
		}
		if i%4 == 0 {
			p.Texts = append(p.Texts, Label{x + w/2, bottom + 16, "middle", from})
		}
	}
	return p
}
