// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"provisioning.example/station/internal/record"
)

// sheet is what the side pane shows: a head, pages of facts, buttons below.
type sheet struct {
	icon        string
	title, note string
	tone        tone
	mono        bool     // the title is a number to be compared letter by letter
	share       float32  // done of what is going on, 0 to 1; negative: nothing is
	pages       []page   // one at least
	acts        []action // two at most
}

// page is a part of a sheet.
type page struct {
	name, word string
	facts      []fact
}

// action is a button under a sheet.
type action struct {
	name, word, icon string
	strong           bool
	key              fyne.KeyName // presses it
	do               func()
}

const (
	maxPages = 5
	maxActs  = 2
)

// pane is the part of the ledger screen at the right.
type pane struct {
	box         *fyne.Container
	palette     *palette
	plate       *canvas.Rectangle
	edge        *canvas.Rectangle
	icon        *icon
	title, note *line
	track, done *canvas.Rectangle
	tabs        []*button
	shut        *button
	acts        []*button
	list        *widget.List
	body        *fyne.Container

	sheet sheet
	shown int // page
	rows  []factRow
	width float32 // that rows were made for
}

// newPane makes an empty pane. shut is called when a person closes it, goTo
// when one presses a fact that names an entry.
func newPane(p *palette, shut func(), goTo func(record.Place)) *pane {
	q := &pane{
		palette: p, plate: &canvas.Rectangle{FillColor: p.rail, CornerRadius: 10}, edge: canvas.NewRectangle(p.edge), icon: newIcon(),
		title: newLine(bold, fyne.TextAlignLeading), note: newLine(plain, fyne.TextAlignLeading),
		track: &canvas.Rectangle{FillColor: p.barNone, CornerRadius: 3}, done: &canvas.Rectangle{FillColor: p.bar, CornerRadius: 3},
	}
	objs := []fyne.CanvasObject{q.plate, q.edge, q.icon.Image, q.title.Text, q.note.Text, q.track, q.done}
	for i := range maxPages {
		b := newButton("", 14, func() { q.turn(i) })
		q.tabs = append(q.tabs, b)
		objs = append(objs, b)
	}
	for i := range maxActs {
		b := newButton("", 16, func() { q.sheet.acts[i].do() })
		q.acts = append(q.acts, b)
		objs = append(objs, b)
	}
	q.shut = newButton("pane-close", 16, shut)
	q.shut.set("", "clear", buttonLook{p.rail, p.idle, p.soft}, true)
	q.list = widget.NewList(func() int { return len(q.rows) },
		func() fyne.CanvasObject { return newFactLine(p) },
		func(i widget.ListItemID, o fyne.CanvasObject) { o.(*factLine).show(q.rows[i]) })
	q.list.HideSeparators = true
	q.list.OnSelected = func(i widget.ListItemID) {
		q.list.UnselectAll()
		if i < len(q.rows) && q.rows[i].entry != (record.Place{}) {
			goTo(q.rows[i].entry)
		}
	}
	q.body = container.NewStack(q.list)
	q.box = newBox(fyne.NewSize(300, 300), q.arrange, append(objs, q.shut, q.body)...)
	return q
}

// show shows a sheet. Of the same kind as the one before, it opens at the same
// page.
func (q *pane) show(s sheet) {
	keep := len(s.pages) == len(q.sheet.pages) && s.pages[0].name == q.sheet.pages[0].name
	q.sheet = s
	if !keep {
		q.shown = 0
	}
	p := q.palette
	ink := s.tone.ink(p)
	show(q.icon.Image, s.icon != "")
	if s.icon != "" {
		q.icon.set(s.icon, ink)
	}
	q.title.TextStyle = bold
	if s.mono {
		q.title.TextStyle = fyne.TextStyle{Monospace: true, Bold: true}
	}
	q.title.full = "" // the style may be another
	q.title.set(s.title, p.text)
	q.note.set(s.note, ink)
	show(q.track, s.share >= 0)
	show(q.done, s.share > 0)
	for i, b := range q.acts {
		if show(b, i < len(s.acts)); b.Visible() {
			look := buttonLook{p.idle, p.edge, p.text}
			if s.acts[i].strong {
				look = buttonLook{p.accent, p.accentHover, p.onAccent}
			}
			b.name = s.acts[i].name
			b.set(s.acts[i].word, s.acts[i].icon, look, true)
		}
	}
	q.turn(q.shown)
}

// turn shows a page.
func (q *pane) turn(n int) {
	q.shown = max(0, min(n, len(q.sheet.pages)-1))
	p := q.palette
	for i, b := range q.tabs {
		if show(b, i < len(q.sheet.pages) && len(q.sheet.pages) > 1); !b.Visible() {
			continue
		}
		look := buttonLook{p.rail, p.idle, p.soft}
		if i == q.shown {
			look = buttonLook{mix(p.accent, p.rail, 0.3), mix(p.accent, p.rail, 0.3), p.text}
		}
		b.name = q.sheet.pages[i].name
		b.set(q.sheet.pages[i].word, "", look, true)
	}
	q.width = 0
	q.arrange(q.box.Size())
	if q.body.Size().Height > 0 { // a list that was never laid out cannot scroll
		q.list.ScrollToTop()
	}
}

// scroll moves the page by rows.
func (q *pane) scroll(rows float32) {
	if q.body.Size().Height > 0 {
		q.list.ScrollToOffset(max(q.list.GetScrollOffset()+rows*(factHeight+4), 0))
	}
}

func (q *pane) arrange(s fyne.Size) {
	const side = 18
	place(q.plate, 0, 0, s.Width, s.Height)
	x, inner := float32(side), s.Width-2*side
	place(q.shut, s.Width-side-30, 12, 34, 34)
	left := x
	if q.icon.Visible() {
		q.icon.place(x, 18, 24)
		left += 34
	}
	q.title.place(left, 12, s.Width-side-40-left, 34, 20)
	q.note.place(x, 46, inner, 24, 15)
	y := float32(78)
	if q.track.Visible() {
		place(q.track, x, y, inner, 6)
		place(q.done, x, y, inner*min(max(q.sheet.share, 0), 1), 6)
		y += 20
	}
	if q.tabs[0].Visible() {
		q.arrangeTabs(x, y, inner)
		y += 42
	}
	place(q.edge, x, y, inner, 1)
	y += 8
	foot := s.Height - side + 6
	if len(q.sheet.acts) > 0 {
		foot -= 48
		w := (inner - gap) / maxActs
		for i, b := range q.acts {
			place(b, x+float32(i)*(w+gap), foot, w, 44)
		}
		foot -= gap
	}
	place(q.body, x, y, inner, foot-y)
	if q.width != inner && len(q.sheet.pages) > 0 {
		q.width = inner
		q.rows = layFacts(q.sheet.pages[q.shown].facts, inner-4)
		q.list.Refresh()
	}
}

// arrangeTabs gives each tab the room its word needs, and its part of the rest.
func (q *pane) arrangeTabs(x, y, inner float32) {
	n, need := float32(0), float32(0)
	for _, b := range q.tabs {
		if b.Visible() {
			n, need = n+1, need+measure(b.label.full, 14, bold)+4
		}
	}
	spare := (inner - need - 4*(n-1)) / n
	for _, b := range q.tabs {
		if b.Visible() {
			w := measure(b.label.full, 14, bold) + 4 + spare
			place(b, x, y, w, 34)
			x += w + 4
		}
	}
}

// pressable are the buttons that can be seen.
func (q *pane) pressable() []*button {
	out := []*button{q.shut}
	for _, b := range append(append([]*button{}, q.tabs...), q.acts...) {
		if b.Visible() {
			out = append(out, b)
		}
	}
	return out
}
