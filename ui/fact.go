// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"image/color"
	"strings"

	"fyne.io/fyne/v2"

	"provisioning.example/station/internal/record"
)

// tone is how a fact is meant.
type tone int

const (
	normal tone = iota
	soft
	good
	bad
	doubtful
)

func (t tone) ink(p *palette) color.NRGBA {
	return [...]color.NRGBA{p.text, p.soft, p.good, p.bad, p.caution()}[t]
}

// caution is for words of doubt: the colour of doubt, as dark as words must be.
func (p *palette) caution() color.NRGBA {
	if p.dark {
		return p.doubtful
	}
	return mix(p.doubtful, p.text, 0.6)
}

// fact is something the side pane tells: a heading, a label with its value, or
// with neither label nor heading a paragraph.
type fact struct {
	heading string
	label   string
	text    string
	style   fyne.TextStyle
	tone    tone
	icon    string
	entry   record.Place // pressing the fact goes to this entry; zero: nowhere
}

// factRow is one row of the pane: a fact, or a part of one that is too long
// for a row.
type factRow struct {
	fact
	first bool // of its fact
}

const (
	factLabel = 132 // width of the labels
	factSize  = 15
	factRows  = 40 // of one fact at most
)

// layFacts breaks facts into rows of a width.
func layFacts(facts []fact, width float32) (rows []factRow) {
	for i, f := range facts {
		if f.heading != "" {
			if i > 0 {
				rows = append(rows, factRow{})
			}
			rows = append(rows, factRow{f, true})
			continue
		}
		for n, text := range breakText(f, width-f.indent()) {
			r := factRow{f, n == 0}
			r.text = text
			rows = append(rows, r)
		}
	}
	return rows
}

// indent is where the text of a fact begins.
func (f fact) indent() float32 {
	switch {
	case f.label != "":
		return factLabel
	case f.icon != "":
		return 24
	}
	return 0
}

func breakText(f fact, width float32) []string {
	if f.style.Monospace {
		return chop(f.text, max(int(width/measure("0", factSize-1, mono)), 8))
	}
	rows, _ := wrap([]string{f.text}, width, 0, factSize, factRows)
	if len(rows) == 0 {
		return []string{""}
	}
	return rows
}

// chop cuts text of equal letters into rows of at most n, at a colon or space
// where there is one.
func chop(text string, n int) (rows []string) {
	runes := []rune(strings.Map(printable, text))
	for len(runes) > n && len(rows) < factRows-1 {
		at := n
		for i := n; i > n/2; i-- {
			if runes[i-1] == ':' || runes[i-1] == ' ' {
				at = i
				break
			}
		}
		rows, runes = append(rows, string(runes[:at])), runes[at:]
	}
	return append(rows, string(runes))
}
