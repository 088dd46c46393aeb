// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// pageRows is how many entries one page of the ledger holds. Pages are found
// by key, so the millionth costs what the first one does, and no list ever
// knows of a million rows.
const pageRows = 200

// pager reads one page of entries, newest first; *reader.Reader is one.
type pager func(context.Context, reader.Filter, reader.Cursor, int) ([]record.Entry, reader.Cursor, bool, error)

// ledgerScreen lists the ledger: results, or every entry.
type ledgerScreen struct {
	box     *fyne.Container
	palette *palette
	page    pager
	aside   func(func(context.Context) func())
	changed func()

	search             *field
	kind, older, newer *button
	tools              []*button
	toolKeys           []fyne.KeyName // of tools
	status             *line
	head               *entryRow
	list               *widget.List
	body               *fyne.Container
	every              bool            // every entry, not the results only
	starts             []reader.Cursor // of the pages up to this one
	next               reader.Cursor
	more               bool
	entries            []record.Entry
	asked              int // number of the newest question, so that a late answer to an older one is dropped
}

func newLedgerScreen(p *palette, page pager, aside func(func(context.Context) func()), changed func()) *ledgerScreen {
	l := &ledgerScreen{palette: p, page: page, aside: aside, changed: changed, starts: []reader.Cursor{{}}}
	l.search = newField(p, "search")
	l.search.setHint("Search a serial number from its beginning")
	l.search.onSubmit = func(string) { l.first() }
	l.search.onChange = func(string) { l.first() }
	l.kind = newButton("ledger-kind", 16, l.toggle)
	l.older, l.newer = newButton("older", 18, l.goOlder), newButton("newer", 18, l.goNewer)
	l.status = newLine(plain, fyne.TextAlignLeading)
	l.head = newEntryRow(p)
	l.head.title()
	l.list = widget.NewList(
		func() int { return len(l.entries) },
		func() fyne.CanvasObject { return newEntryRow(p) },
		func(i widget.ListItemID, o fyne.CanvasObject) { o.(*entryRow).show(l.entries[i], i%2 == 1) },
	)
	l.list.HideSeparators = true
	l.list.OnSelected = func(widget.ListItemID) { l.list.UnselectAll() }
	l.body = container.NewStack(l.list)
	l.box = newBox(fyne.NewSize(760, 520), l.arrange, l.search, l.kind, l.head, l.body, l.status.Text, l.newer, l.older)
	l.buttons()
	return l
}

func (l *ledgerScreen) arrange(s fyne.Size) {
	inner := s.Width - 2*rim
	x := s.Width - rim
	for i := len(l.tools) - 1; i >= 0; i-- {
		x -= toolWidth
		place(l.tools[i], x, 14, toolWidth, 52)
		x -= 12
	}
	place(l.kind, x-190, 14, 190, 52)
	place(l.search, rim, 14, x-190-12-rim, 52)
	place(l.head, rim, 80, inner, rowHeight)
	foot := s.Height - 52 - gap
	place(l.body, rim, 80+rowHeight, inner, foot-gap-80-rowHeight)
	l.status.place(rim, foot, inner-340, 52, 16)
	place(l.older, s.Width-rim-160, foot, 160, 52)
	place(l.newer, s.Width-rim-160-gap-160, foot, 160, 52)
}

// open shows the newest page.
func (l *ledgerScreen) open() { l.first() }

func (l *ledgerScreen) first() {
	l.starts = []reader.Cursor{{}}
	l.load()
}

func (l *ledgerScreen) toggle() {
	l.every = !l.every
	l.first()
}

func (l *ledgerScreen) goOlder() {
	if l.more {
		l.starts = append(l.starts, l.next)
		l.load()
	}
}

// goNewer goes one page back; on the newest page it looks for what is new.
func (l *ledgerScreen) goNewer() {
	if n := len(l.starts); n > 1 {
		l.starts = l.starts[:n-1]
	}
	l.load()
}

// typed turns pages by keyboard.
func (l *ledgerScreen) typed(key *fyne.KeyEvent) {
	switch key.Name {
	case fyne.KeyPageDown:
		l.goOlder()
	case fyne.KeyPageUp, fyne.KeyF5:
		l.goNewer()
	case fyne.KeyHome:
		l.first()
	default:
		l.pressTool(key.Name)
	}
}

// load asks for the page that begins at the last of starts.
func (l *ledgerScreen) load() {
	l.asked++
	ask, from := l.asked, l.starts[len(l.starts)-1]
	filter := reader.Filter{SerialPrefix: l.search.content()}
	if !l.every {
		filter.Kinds = []string{record.KindEnd}
	}
	l.buttons()
	l.aside(func(ctx context.Context) func() {
		entries, next, more, err := l.page(ctx, filter, from, pageRows)
		return func() {
			if ask == l.asked {
				l.show(entries, next, more, err)
			}
		}
	})
}

func (l *ledgerScreen) show(entries []record.Entry, next reader.Cursor, more bool, err error) {
	l.entries, l.next, l.more = entries, next, more
	page := len(l.starts)
	switch {
	case err != nil:
		l.entries, l.more = nil, false
		l.status.set(err.Error(), l.palette.bad)
	case len(entries) == 0 && l.search.content() == "":
		l.status.set("Nothing is recorded yet", l.palette.soft)
	case len(entries) == 0:
		l.status.set("Nothing found", l.palette.soft)
	case len(entries) == 1:
		l.status.set(fmt.Sprintf("Page %d, entry %s", page, grouped(entries[0].Seq)), l.palette.soft)
	default:
		l.status.set(fmt.Sprintf("Page %d, entries %s to %s", page, grouped(entries[0].Seq), grouped(entries[len(entries)-1].Seq)), l.palette.soft)
	}
	l.buttons()
	if l.list.Size().Height > 0 { // a list that was never laid out cannot scroll
		l.list.ScrollToTop()
	}
	l.list.Refresh()
	l.changed()
}

// buttons brings the buttons' words and colours up to date.
func (l *ledgerScreen) buttons() {
	p := l.palette
	on := buttonLook{p.accent, p.accentHover, p.onAccent}
	off := buttonLook{p.idle, p.idle, p.onIdle}
	quiet := buttonLook{p.idle, p.edge, p.text}
	kind := "Show every entry"
	if l.every {
		kind = "Show results only"
	}
	l.kind.set(kind, "", quiet, true)
	if len(l.starts) > 1 {
		l.newer.set("Newer", "older", on, true)
	} else {
		l.newer.set("Refresh", "retry", quiet, true)
	}
	look := off
	if l.more {
		look = on
	}
	l.older.set("Older", "newer", look, l.more)
}

// pressable are the buttons of this screen.
func (l *ledgerScreen) pressable() []*button {
	return append([]*button{l.kind, l.newer, l.older}, l.tools...)
}

// toolWidth is the width of a tool's button.
const toolWidth = 104

// rowHeight is the height of one entry in the list.
const rowHeight = 40

// entryColumns are the columns' names and their shares of the width.
var entryColumns = [...]struct {
	name  string
	share float32
}{
	{"Time", 0.145},
	{"Serial", 0.155},
	{"Outcome", 0.095},
	{"Fault", 0.11},
	{"Certificate", 0.3},
	{"Operator", 0.115},
	{"Entry", 0.08},
}

// entryRow is one entry in the list, or the names of its columns.
type entryRow struct {
	widget.BaseWidget
	palette *palette
	back    *canvas.Rectangle
	icon    *icon
	cells   []*line
}

func newEntryRow(p *palette) *entryRow {
	r := &entryRow{palette: p, back: canvas.NewRectangle(p.back), icon: newIcon()}
	for i := range entryColumns {
		style, align := plain, fyne.TextAlignLeading
		switch i {
		case 1, 4:
			style = mono
		case 6:
			align = fyne.TextAlignTrailing
		}
		r.cells = append(r.cells, newLine(style, align))
	}
	r.cells[1].keepEnd = true
	r.ExtendBaseWidget(r)
	return r
}

// CreateRenderer implements fyne.Widget.
func (r *entryRow) CreateRenderer() fyne.WidgetRenderer {
	objs := []fyne.CanvasObject{r.back, r.icon.Image}
	for _, c := range r.cells {
		objs = append(objs, c.Text)
	}
	return widget.NewSimpleRenderer(newBox(fyne.NewSize(100, rowHeight), r.arrange, objs...))
}

func (r *entryRow) arrange(s fyne.Size) {
	place(r.back, 0, 0, s.Width, s.Height)
	x, room := float32(12), s.Width-24
	for i, c := range r.cells {
		w := room * entryColumns[i].share
		left := x
		if i == 2 {
			r.icon.place(x, (s.Height-15)/2, 15)
			left += 22
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
func (r *entryRow) show(e record.Entry, odd bool) {
	p, b := r.palette, e.Body
	back := p.back
	if odd {
		back = p.stripe
	}
	recolor(r.back, back)
	word, drawing, ink := outcomeLook(p, b)
	show(r.icon.Image, drawing != "")
	if drawing != "" {
		r.icon.set(drawing, ink)
	}
	texts := [...]string{localTime(b.Time), b.Serial, word, b.Fault, b.CertSerial, b.Operator, entryNumber(e)}
	for i, c := range r.cells {
		tint := p.text
		switch i {
		case 2:
			tint = ink
		case 0, 5:
			tint = p.soft
		}
		c.set(texts[i], tint)
	}
}
