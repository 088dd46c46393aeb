// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"image/color"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
)

const ellipsis = "…"

// Styles of text.
var (
	plain = fyne.TextStyle{}
	bold  = fyne.TextStyle{Bold: true}
	mono  = fyne.TextStyle{Monospace: true}
)

// line is one line of text in a box it never outgrows: what does not fit is
// replaced by an ellipsis. A canvas.Text alone would push its window wider.
type line struct {
	*canvas.Text
	full    string
	keepEnd bool // the end tells more than the beginning, as in serial numbers
}

func newLine(style fyne.TextStyle, align fyne.TextAlign) *line {
	return &line{Text: &canvas.Text{TextStyle: style, Alignment: align, TextSize: 16, Color: color.Transparent}}
}

// set gives the line new text and colour; it is fitted at the next place.
func (l *line) set(text string, c color.Color) {
	if l.full == text && l.Color == c {
		return
	}
	l.full, l.Color = text, c
	l.fit(l.Size().Width)
	l.Refresh()
}

// place puts the line into its box, centred upright, at a size in pixels.
func (l *line) place(x, y, w, h, size float32) {
	if l.TextSize != size || l.Size() != fyne.NewSize(w, h) {
		l.TextSize = size
		l.fit(w)
		l.Resize(fyne.NewSize(w, h))
		l.Refresh()
	}
	l.Move(fyne.NewPos(x, y))
}

// placeWhole is place for words and figures that must never be cut short: they
// are written smaller instead.
func (l *line) placeWhole(x, y, w, h, size float32) {
	const least = 6
	for full := measure(l.full, size, l.TextStyle); full > w && size > least; full = measure(l.full, size, l.TextStyle) {
		size *= min(w/full, 0.98)
	}
	l.place(x, y, w, h, size)
}

func (l *line) fit(width float32) {
	l.Text.Text = fit(l.full, width, l.TextSize, l.TextStyle, l.keepEnd)
}

func measure(text string, size float32, style fyne.TextStyle) float32 {
	return fyne.MeasureText(text, size, style).Width
}

// maxRunes bounds what is ever measured or drawn on one line: more does not
// fit on any screen, and outside text may be of any length.
const maxRunes = 512

// fit shortens text until it is no wider than width.
func fit(text string, width, size float32, style fyne.TextStyle, keepEnd bool) string {
	runes := []rune(strings.Map(printable, text))
	if len(runes) <= maxRunes && measure(string(runes), size, style) <= width {
		return string(runes)
	}
	lo, hi := 0, min(len(runes), maxRunes) // lo runes fit, hi do not
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		if measure(shorten(runes, mid, keepEnd), size, style) <= width {
			lo = mid
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return ""
	}
	return shorten(runes, lo, keepEnd)
}

func shorten(runes []rune, n int, keepEnd bool) string {
	if keepEnd {
		return ellipsis + string(runes[len(runes)-n:])
	}
	return strings.TrimRight(string(runes[:n]), " ") + ellipsis
}

// printable keeps control characters of outside text off the screen.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

// paragraph is up to a given number of lines, wrapped at words, with an
// optional bold head. What does not fit ends in an ellipsis.
type paragraph struct {
	head  *line
	lines []*line
	text  []string // its paragraphs, each begins a new line
	color color.Color
}

// newParagraph makes room for at most n lines.
func newParagraph(n int) *paragraph {
	p := &paragraph{head: newLine(bold, fyne.TextAlignLeading)}
	for range n {
		p.lines = append(p.lines, newLine(plain, fyne.TextAlignLeading))
	}
	return p
}

// objects are what is drawn.
func (p *paragraph) objects() []fyne.CanvasObject {
	objs := []fyne.CanvasObject{p.head.Text}
	for _, l := range p.lines {
		objs = append(objs, l.Text)
	}
	return objs
}

// set gives new text; it is wrapped at the next place.
func (p *paragraph) set(head string, c color.Color, text []string) {
	p.head.set(head, c)
	p.text, p.color = text, c
}

// place wraps the text into a box of room lines of the given height. It
// reports whether everything fitted.
func (p *paragraph) place(x, y, w float32, room int, height, size float32) bool {
	room = min(room, len(p.lines))
	indent := float32(0)
	if p.head.full != "" {
		indent = min(measure(p.head.full, size, bold)+measure(" ", size, bold), w)
	}
	p.head.place(x, y, w, height, size)
	rows, whole := wrap(p.text, w, indent, size, room)

	for i, l := range p.lines {
		row := ""
		if i < len(rows) {
			row = rows[i]
		}
		l.set(row, p.color)
		shift := float32(0)
		if i == 0 {
			shift = indent
		}
		l.place(x+shift, y+float32(i)*height, w-shift, height, size)
	}
	return whole
}

// wrap breaks the parts at spaces into at most room rows, each part on a row of
// its own; the first row is shorter by indent. Where the room is short the
// last part, which says what to do, keeps one row. whole is false where
// something had to be left out.
func wrap(parts []string, w, indent, size float32, room int) (rows []string, whole bool) {
	whole = true
	for i, part := range parts {
		left := room - len(rows)
		if i < len(parts)-1 && left > 1 && parts[len(parts)-1] != "" {
			left--
		}
		if len(rows) > 0 {
			indent = 0
		}
		more, all := wrapPart(part, w, indent, size, left)
		rows, whole = append(rows, more...), whole && all
	}
	return rows, whole
}

// wrapPart breaks one part into at most room rows, the last cut short where
// the room does not do.
func wrapPart(part string, w, indent, size float32, room int) (rows []string, whole bool) {
	words := strings.Fields(part)
	for len(words) > 0 {
		if len(rows) == room {
			return rows, false
		}
		limit := w
		if len(rows) == 0 {
			limit -= indent
		}
		if len(rows) == room-1 { // the last row takes what is left
			rest := strings.Join(words[:min(len(words), maxRunes)], " ")
			row := fit(rest, limit, size, plain, false)
			return append(rows, row), row == rest
		}
		n := take(words, limit, size)
		if n == 0 && (indent == 0 || len(rows) > 0) {
			n = 1 // a word longer than a row is cut by the row itself
		}
		rows, words = append(rows, strings.Join(words[:n], " ")), words[n:]
	}
	return rows, true
}

// take tells how many words fit side by side.
func take(words []string, limit, size float32) int {
	row := ""
	for n, word := range words {
		if row = strings.TrimSpace(row + " " + word); measure(row, size, plain) > limit {
			return n
		}
	}
	return len(words)
}
