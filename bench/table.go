// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// figure is one line of the table.
type figure struct {
	id, what   string
	ours, peer string
	ratio      float64
	goal       goal
}

// goal is a bound on a ratio.
type goal struct {
	text string
	met  func(ratio float64) bool
}

func atMost(x float64) goal {
	return goal{fmt.Sprintf("at most %.2f", x), func(r float64) bool { return r <= x }}
}

func atLeast(x float64) goal {
	return goal{fmt.Sprintf("at least %.2f", x), func(r float64) bool { return r >= x }}
}

// report is what one measurement has to say: lines of the table, and the
// numbers behind them.
type report struct {
	figures []figure
	title   string
	how     string // it was measured
	head    []string
	rows    [][]string
	note    string // what the numbers say, "" when they speak for themselves
	load    string // average before it
}

// tableOf writes the one table.
func tableOf(reports []*report) string {
	rows := [][]string{}
	for _, r := range reports {
		for _, f := range r.figures {
			met := "yes"
			if !f.goal.met(f.ratio) {
				met = "**no**"
			}
			rows = append(rows, []string{f.id, f.what, f.ours, f.peer, fmt.Sprintf("%.2f", f.ratio), f.goal.text, met})
		}
	}
	return markdown([]string{"", "figure", "ours", "limit or peer, same run", "ratio", "goal", "met"}, rows)
}

// markdown aligns a table, so that it reads the same on a terminal.
func markdown(head []string, rows [][]string) string {
	width := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			width[i] = max(width[i], len(cell))
		}
	}
	var b strings.Builder
	line := func(cells []string) {
		for i, cell := range cells {
			fmt.Fprintf(&b, "| %-*s ", width[i], cell)
		}
		b.WriteString("|\n")
	}
	line(head)
	rule := make([]string, len(head))
	for i := range rule {
		rule[i] = strings.Repeat("-", width[i])
	}
	line(rule)
	for _, row := range rows {
		line(row)
	}
	return b.String()
}
