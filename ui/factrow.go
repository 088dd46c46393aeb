// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/widget"
)

const factHeight = 21 // the list puts 4 between

// factLine draws one row of the side pane.
type factLine struct {
	widget.BaseWidget
	palette     *palette
	rule        *canvas.Rectangle // under a heading
	icon        *icon
	label, text *line
	row         factRow
}

func newFactLine(p *palette) *factLine {
	l := &factLine{
		palette: p, rule: canvas.NewRectangle(p.edge), icon: newIcon(),
		label: newLine(plain, fyne.TextAlignLeading), text: newLine(plain, fyne.TextAlignLeading),
	}
	l.rule.Hide()
	l.icon.Hide()
	l.ExtendBaseWidget(l)
	return l
}

// CreateRenderer implements fyne.Widget.
func (l *factLine) CreateRenderer() fyne.WidgetRenderer {
	return widget.NewSimpleRenderer(newBox(fyne.NewSize(100, factHeight), l.arrange, l.rule, l.icon.Image, l.label.Text, l.text.Text))
}

// show shows a row.
func (l *factLine) show(r factRow) {
	p := l.palette
	l.row = r
	show(l.rule, r.heading != "")
	show(l.icon.Image, r.first && r.icon != "")
	ink := r.tone.ink(p)
	if l.icon.Visible() {
		l.icon.set(r.icon, ink)
	}
	label, text, style := "", r.text, r.style
	if r.first {
		label = r.label
	}
	if r.heading != "" {
		text, style = r.heading, bold
	}
	if l.text.TextStyle != style {
		l.text.TextStyle = style
		l.text.full = "" // fitted anew
	}
	l.label.set(label, p.soft)
	l.text.set(text, ink)
	l.arrange(l.Size())
}

func (l *factLine) arrange(s fyne.Size) {
	place(l.rule, 0, s.Height-1, s.Width, 1)
	l.icon.place(0, (s.Height-14)/2, 14)
	indent := l.row.indent()
	l.label.place(0, 0, factLabel-8, s.Height, factSize)
	size := float32(factSize)
	if l.text.TextStyle.Monospace {
		size--
	}
	l.text.place(indent, 0, s.Width-indent, s.Height, size)
}
