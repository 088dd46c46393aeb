// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/widget"

	"provisioning.example/station/internal/record"
)

// rowHeight is the height of one entry in the list.
const rowHeight = 40

// roomy is the width of a row from which on it shows all columns.
const roomy = 900

// The columns of the list.
const (
	colTime = iota
	colSerial
	colOutcome
	colFault
	colCert
	colOperator
	colEntry
	entryCols
)

// entryColumns are the columns' names, least widths and shares of what is left.
var entryColumns = [entryCols]struct {
	name         string
	least, share float32
	roomy        bool // only where there is room
}{
	colTime:     {"Time", 174, 0, false},
	colSerial:   {"Serial", 120, 1, false},
	colOutcome:  {"Outcome", 100, 0, false},
	colFault:    {"Fault", 140, 0, false},
	colCert:     {"Certificate", 250, 0.6, true},
	colOperator: {"Operator", 100, 0.2, true},
	colEntry:    {"Entry", 80, 0, false},
}

// entryRow is one entry in the list, or the names of its columns.
type entryRow struct {
	widget.BaseWidget
	palette *palette
	back    *canvas.Rectangle
	mark    *canvas.Rectangle // at the left of the chosen entry
	icon    *icon
	cells   [entryCols]*line
}

func newEntryRow(p *palette) *entryRow {
	r := &entryRow{palette: p, back: canvas.NewRectangle(p.back), mark: canvas.NewRectangle(p.fieldEdge), icon: newIcon()}
	for i := range r.cells {
		style, align := plain, fyne.TextAlignLeading
		switch i {
		case colSerial, colCert:
			style = mono
		case colEntry:
			align = fyne.TextAlignTrailing
		}
		r.cells[i] = newLine(style, align)
	}
	r.cells[colSerial].keepEnd = true
	r.mark.Hide()
	r.ExtendBaseWidget(r)
	return r
}

// CreateRenderer implements fyne.Widget.
func (r *entryRow) CreateRenderer() fyne.WidgetRenderer {
	objs := []fyne.CanvasObject{r.back, r.mark, r.icon.Image}
	for _, c := range r.cells {
		objs = append(objs, c.Text)
	}
	return widget.NewSimpleRenderer(newBox(fyne.NewSize(100, rowHeight), r.arrange, objs...))
}

func (r *entryRow) arrange(s fyne.Size) {
	place(r.back, 0, 0, s.Width, s.Height)
	place(r.mark, 0, 0, 4, s.Height)
	x, rest, shares := float32(12), s.Width-24, float32(0)
	for _, c := range entryColumns {
		if !c.roomy || s.Width >= roomy {
			rest, shares = rest-c.least, shares+c.share
		}
	}
	rest = max(rest, 0)
	for i, c := range r.cells {
		col := entryColumns[i]
		show(c.Text, !col.roomy || s.Width >= roomy)
		if !c.Visible() {
			continue
		}
		w := col.least + rest*col.share/shares
		left := x
		if i == colOutcome {
			r.icon.place(x, (s.Height-15)/2, 15)
			if r.icon.Visible() {
				left += 22
			}
		}
		size := float32(15.5)
		if c.TextStyle.Monospace {
			size = 14
		}
		c.place(left, 0, x+w-left-10, s.Height, size)
		x += w
	}
}

// title shows the columns' names.
func (r *entryRow) title() {
	r.icon.Hide()
	recolor(r.back, r.palette.idle)
	for i, c := range r.cells {
		c.TextStyle = bold
		c.set(entryColumns[i].name, r.palette.onIdle)
	}
}

// show shows an entry.
func (r *entryRow) show(e record.Entry, odd, chosen bool) {
	p, b := r.palette, e.Body
	back := p.back
	switch {
	case chosen:
		back = mix(p.accent, p.back, 0.07)
	case odd:
		back = p.stripe
	}
	recolor(r.back, back)
	show(r.mark, chosen)
	word, drawing, ink := outcomeLook(p, b)
	if drawing != "" {
		r.icon.set(drawing, ink)
	}
	if r.icon.Visible() != (drawing != "") {
		show(r.icon.Image, drawing != "")
		r.arrange(r.Size())
	}
	texts := [entryCols]string{localTime(b.Time), b.Serial, word, b.Fault, b.CertSerial, b.Operator, entryNumber(e)}
	for i, c := range r.cells {
		tint := p.text
		switch i {
		case colOutcome:
			tint = ink
		case colTime, colOperator:
			if !chosen {
				tint = p.soft
			}
		}
		c.set(texts[i], tint)
	}
}
