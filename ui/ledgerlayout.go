// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fyne.io/fyne/v2"

	"provisioning.example/station/internal/record"
)

// sideBySide is the width from which on list and pane have room for both.
const sideBySide = 1000

func (l *ledgerScreen) arrange(s fyne.Size) {
	l.wide = s.Width >= sideBySide
	inner := s.Width - 2*rim
	tool := float32(104)
	if !l.wide {
		tool = 92
	}
	x := s.Width - rim
	for i := len(l.tools) - 1; i >= 0; i-- {
		x -= tool
		place(l.tools[i], x, 14, tool, 52)
		x -= 10
	}
	place(l.search, rim, 14, x-rim, 52)
	place(l.kind, rim, 76, 130, chipHeight)
	place(l.chips.box, rim+140, 76, inner-140, chipHeight)
	top, foot := float32(76+chipHeight+gap), s.Height-52-gap
	side := float32(0)
	if l.wide {
		side = max(440, min(inner*0.41, 620))
	}
	width := inner - side
	if l.wide {
		width -= gap
		place(l.pane.box, s.Width-rim-side, top, side, s.Height-top-gap)
	} else {
		place(l.pane.box, rim, top, inner, s.Height-top-gap)
	}
	place(l.head, rim, top, width, rowHeight)
	place(l.body, rim, top+rowHeight, width, foot-gap-top-rowHeight)
	const w = 140
	l.status.place(rim, foot, width-2*w-2*gap, 52, 16)
	place(l.older, rim+width-w, foot, w, 52)
	place(l.newer, rim+width-w-gap-w, foot, w, 52)
	covered := !l.wide && l.open
	show(l.pane.box, l.wide || l.open)
	for _, o := range []fyne.CanvasObject{l.head, l.body, l.status.Text, l.older, l.newer} {
		show(o, !covered)
	}
	show(l.pane.shut, l.open)
}

// typed is the keyboard of the screen, but for what edits the search.
//
//	Up, Down      choose an entry; Enter the first one
//	Left, Right   pages of the pane
//	PgUp, PgDn    newer and older entries; Home the newest, F5 what is new
//	F1            what the search understands
//	F9            results or every entry
//	F2 to F8      the buttons of the head and the pane
func (l *ledgerScreen) typed(key *fyne.KeyEvent) {
	switch key.Name {
	case fyne.KeyUp:
		l.move(-1)
	case fyne.KeyDown:
		l.move(1)
	case fyne.KeyLeft:
		l.turn(-1)
	case fyne.KeyRight:
		l.turn(1)
	case fyne.KeyPageDown:
		l.goOlder()
	case fyne.KeyPageUp, fyne.KeyF5:
		l.goNewer()
	case fyne.KeyHome:
		l.first()
	case fyne.KeyF1:
		l.help()
	case fyne.KeyF9:
		l.toggle()
	default:
		l.pressTool(key.Name)
	}
}

func (l *ledgerScreen) turn(by int) {
	l.pane.turn(l.pane.shown + by)
	l.changed()
}

// help shows what the search understands, and the keys.
func (l *ledgerScreen) help() {
	l.looked++
	l.unit, l.chosen, l.audit.shown = nil, record.Place{}, false
	l.openPane(helpSheet())
	l.list.Refresh()
}

// buttons brings the buttons' words and colours up to date.
func (l *ledgerScreen) buttons() {
	p := l.palette
	on := buttonLook{p.accent, p.accentHover, p.onAccent}
	off := buttonLook{p.idle, p.idle, p.onIdle}
	quiet := buttonLook{p.idle, p.edge, p.text}
	kind := "Results only"
	if l.every {
		kind = "Every entry"
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
	out := append([]*button{l.kind}, l.tools...)
	out = append(out, l.chips.pressable()...)
	if l.older.Visible() {
		out = append(out, l.newer, l.older)
	}
	if l.pane.box.Visible() {
		for _, b := range l.pane.pressable() {
			if b != l.pane.shut || l.open {
				out = append(out, b)
			}
		}
	}
	return out
}

// helpSheet is what the pane shows while nothing is chosen.
func helpSheet() sheet {
	example := func(typed, means string) fact { return fact{label: typed, text: means} }
	return sheet{
		title: "Search", note: "Choose an entry to see all of its unit", tone: soft, share: -1,
		pages: []page{{"help", "Help", []fact{
			example("SN-0001", "serials that begin so; a scan opens its unit"),
			example("4711", "an order, operator, device ID, certificate or run, if the ledger has one"),
			example("AA:BB:CC", "fingerprint or serial number of a certificate"),
			example("F-PROVE-02", "a fault"),
			example("failed", "a result: passed, failed, error, aborted"),
			example("2026-11-22", "a day; also 22.11.2026, 2026-11, today, yesterday"),
			example("from:2026-11", "also to:, and 2026-11-01..2026-11-22"),
			example("#48211", "the entry with this number, and those before it"),
			example("order:4711", "no guessing; also serial: id: cert: key: operator: fault: result: kind: run: entry:"),
			{heading: "Keys"},
			example("Up, Down", "choose an entry"),
			example("Left, Right", "turn the pages here; Ctrl+Up and Ctrl+Down scroll"),
			example("PgUp, PgDn", "newer and older entries; Home the newest"),
			example("F9", "results only, or every entry"),
			example("F2  F4  F6", "correct, sign off, verify"),
			example("F7  F8", "plots, export"),
			example("Esc", "back; then empty the search"),
		}}},
	}
}
