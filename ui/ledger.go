// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"
	"slices"
	"time"

	"fyne.io/fyne/v2"
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

// ledgerSource answers what the ledger screen asks.
type ledgerSource struct {
	page pager
	last func(context.Context) (epoch int, seq int64, err error)
	unit func(context.Context, record.Place) (*unit, error)
}

func readerSource(r *reader.Reader) ledgerSource {
	return ledgerSource{r.Page, r.Last, func(ctx context.Context, at record.Place) (*unit, error) { return loadUnit(ctx, r, at) }}
}

// crossing is how work gets away from the drawing goroutine and back; see
// threads.
type crossing struct {
	aside   func(func(context.Context) func())
	report  func(func()) // runs a function on the drawing goroutine
	changed func()
}

// ledgerScreen lists the ledger, results or every entry, with a pane beside
// the list for the unit that was chosen.
type ledgerScreen struct {
	box     *fyne.Container
	palette *palette
	source  ledgerSource
	crossing

	search             *field
	chips              *chips
	kind, older, newer *button
	tools              []*button
	toolKeys           []fyne.KeyName // of tools
	status             *line
	head               *entryRow
	list               *widget.List
	body               *fyne.Container
	pane               *pane
	open               bool // the pane shows something that was asked for
	wide               bool // there is room for list and pane side by side

	every   bool            // every entry, not the results only
	starts  []reader.Cursor // of the pages up to this one
	next    reader.Cursor
	more    bool
	entries []record.Entry
	note    string // what was done, until the next answer
	chosen  record.Place
	taken   understood         // what the search was taken for
	asked   int                // number of the newest question, so that a late answer to an older one is dropped
	stop    context.CancelFunc // gives up the newest question
	unit    *unit              // in the pane; nil: something else is
	looked  int                // as asked, for units
	correct func(*unit)        // asks for a correction; nil: who is signed in may only look
	audit   auditing
}

func newLedgerScreen(p *palette, source ledgerSource, cross crossing) *ledgerScreen {
	l := &ledgerScreen{palette: p, source: source, crossing: cross, starts: []reader.Cursor{{}}, stop: func() {}}
	l.search = newField(p, "search")
	l.search.setHint("Serial, device ID, certificate, order, operator, fault or date")
	l.search.onSubmit = func(string) { l.submit() }
	l.search.onChange = func(string) { l.first() }
	l.search.onEscape = l.escape
	l.chips = newChips(p)
	l.kind = newButton("ledger-kind", 14, l.toggle)
	l.older, l.newer = newButton("older", 18, l.goOlder), newButton("newer", 18, l.goNewer)
	l.status = newLine(plain, fyne.TextAlignLeading)
	l.head = newEntryRow(p)
	l.head.title()
	l.list = widget.NewList(
		func() int { return len(l.entries) },
		func() fyne.CanvasObject { return newEntryRow(p) },
		func(i widget.ListItemID, o fyne.CanvasObject) {
			e := l.entries[i]
			o.(*entryRow).show(e, i%2 == 1, e.Place() == l.chosen)
		},
	)
	l.list.HideSeparators = true
	l.list.OnSelected = func(i widget.ListItemID) {
		l.list.UnselectAll()
		l.choose(i)
	}
	l.body = container.NewStack(l.list)
	l.pane = newPane(p, l.shut, l.look)
	l.box = newBox(fyne.NewSize(760, 520), l.arrange, l.search, l.kind, l.chips.box, l.head, l.body, l.pane.box, l.status.Text, l.newer, l.older)
	l.pane.show(helpSheet())
	l.buttons()
	return l
}

// start shows the newest page.
func (l *ledgerScreen) start() { l.first() }

// giveUp ends what goes on for this screen, which another one takes the place
// of.
func (l *ledgerScreen) giveUp() {
	l.stop()
	l.cancelAudit()
}

func (l *ledgerScreen) first() {
	l.starts = []reader.Cursor{{}}
	l.load(false)
}

// submit searches, and opens what is found first: a label that is scanned
// shows its unit. What is typed or scanned next is another search.
func (l *ledgerScreen) submit() {
	l.starts = []reader.Cursor{{}}
	l.search.fresh = l.search.content() != ""
	l.load(true)
}

func (l *ledgerScreen) toggle() {
	l.every = !l.every
	l.first()
}

func (l *ledgerScreen) goOlder() {
	if l.more {
		l.starts = append(l.starts, l.next)
		l.load(false)
	}
}

// goNewer goes one page back; on the newest page it looks for what is new.
func (l *ledgerScreen) goNewer() {
	if n := len(l.starts); n > 1 {
		l.starts = l.starts[:n-1]
	}
	l.load(false)
}

// result is what the ledger says to a search.
type result struct {
	taken   understood
	entries []record.Entry
	next    reader.Cursor
	more    bool
	err     error
}

// load asks for the page that begins at the last of starts. With choose, the
// first entry found is opened.
func (l *ledgerScreen) load(choose bool) {
	l.asked++
	l.stop()
	ask, from, every := l.asked, l.starts[len(l.starts)-1], l.every
	terms := parseSearch(l.search.content(), time.Now())
	l.buttons()
	gone, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	l.aside(func(ctx context.Context) func() {
		ctx, end := context.WithCancel(ctx)
		defer end()
		defer context.AfterFunc(gone, end)()
		a := l.source.ask(ctx, terms, from, every)
		return func() {
			if ask != l.asked {
				return
			}
			if l.show(a); choose && len(l.entries) > 0 {
				l.choose(0)
			}
		}
	})
}

// ask finds out what is meant, and reads a page of it. It may take a while.
func (s ledgerSource) ask(ctx context.Context, terms []term, from reader.Cursor, every bool) (a result) {
	if a.taken, a.err = resolve(ctx, s.page, terms); a.err != nil || a.taken.bad() != "" {
		return a
	}
	w := a.taken.wish
	if at := w.entry; at != (record.Place{}) {
		if at.Epoch == 0 {
			if at.Epoch, _, a.err = s.last(ctx); a.err != nil {
				return a
			}
		}
		if from == (reader.Cursor{}) {
			from = reader.Cursor{Epoch: at.Epoch, Seq: at.Seq + 1}
		}
		every = true
	}
	if !every && len(w.Kinds) == 0 {
		w.Kinds = []string{record.KindEnd}
	}
	a.entries, a.next, a.more, a.err = s.page(ctx, w.Filter, from, pageRows)
	return a
}

func (l *ledgerScreen) show(a result) {
	l.entries, l.next, l.more, l.taken = a.entries, a.next, a.more, a.taken
	l.chips.show(a.taken, l.edit)
	p := l.palette
	bad := a.taken.bad()
	switch n := len(a.entries); {
	case a.err != nil:
		l.entries, l.more = nil, false
		l.status.set(a.err.Error(), p.bad)
	case bad != "":
		l.status.set(bad, p.bad)
	case n == 0 && len(a.taken.parts) == 0:
		l.status.set("Nothing is recorded yet", p.soft)
	case n == 0 && !l.every:
		l.status.set("Nothing found among the results; F9 looks at every entry", p.soft)
	case n == 0:
		l.status.set("Nothing found", p.soft)
	case n == 1:
		l.status.set(fmt.Sprintf("Page %d, entry %s", len(l.starts), grouped(a.entries[0].Seq)), p.soft)
	default:
		l.status.set(fmt.Sprintf("Page %d, entries %s to %s", len(l.starts), grouped(a.entries[0].Seq), grouped(a.entries[n-1].Seq)), p.soft)
	}
	if l.note != "" {
		l.status.set(l.note, p.good)
		l.note = ""
	}
	l.buttons()
	if l.body.Size().Height > 0 { // a list that was never laid out cannot scroll
		l.list.ScrollToTop()
	}
	l.list.Refresh()
	l.changed()
}

// complain tells in the place of the page's number why something was not done.
func (l *ledgerScreen) complain(problem string) {
	l.status.set(problem, l.palette.bad)
	l.changed()
}

// done tells in that place, after the next answer, too, what was done.
func (l *ledgerScreen) done(text string) {
	l.note = text
	l.status.set(text, l.palette.good)
	l.changed()
}

// edit gives the search another text in place of one of its terms.
func (l *ledgerScreen) edit(old term, text string) {
	words := splitWords(l.search.content())
	if len(words) > 0 && old.typed == l.search.content() {
		words = []string{old.typed}
	}
	if i := slices.Index(words, old.typed); i >= 0 {
		words[i] = text
	}
	l.search.setText(joinWords(words))
}

// choose opens the unit of an entry in the list.
func (l *ledgerScreen) choose(i int) {
	if i < 0 || i >= len(l.entries) {
		return
	}
	l.chosen = l.entries[i].Place()
	l.list.Refresh()
	if l.body.Size().Height > 0 {
		l.list.ScrollTo(i)
	}
	l.look(l.chosen)
}

// move chooses the entry so many rows below the chosen one.
func (l *ledgerScreen) move(rows int) {
	at := slices.IndexFunc(l.entries, func(e record.Entry) bool { return e.Place() == l.chosen })
	if at < 0 && rows < 0 {
		return
	}
	l.choose(min(at+rows, len(l.entries)-1))
}

// look shows an entry and its unit in the pane.
func (l *ledgerScreen) look(at record.Place) {
	l.looked++
	ask := l.looked
	l.aside(func(ctx context.Context) func() {
		u, err := l.source.unit(ctx, at)
		return func() {
			switch {
			case ask != l.looked:
				return
			case err != nil:
				l.complain(err.Error())
			default:
				l.showUnit(u)
			}
			l.changed()
		}
	})
}

func (l *ledgerScreen) showUnit(u *unit) {
	l.unit, l.audit.shown = u, false
	s := unitSheet(u, time.Now())
	if l.correct != nil && correctable(u.entry) {
		s.acts = []action{{name: "correct", word: "Correct", icon: "sign", key: fyne.KeyF2, do: func() { l.correct(u) }}}
	}
	l.openPane(s)
}

// openPane shows a sheet that was asked for.
func (l *ledgerScreen) openPane(s sheet) {
	l.open = true
	l.pane.show(s)
	l.arrange(l.box.Size())
	l.changed()
}

// shut closes the pane: the help is what is left of it.
func (l *ledgerScreen) shut() {
	l.looked++ // an answer on the way is not wanted any more
	l.open, l.unit, l.chosen, l.audit.shown = false, nil, record.Place{}, false
	l.pane.show(helpSheet())
	l.arrange(l.box.Size())
	l.list.Refresh()
	l.changed()
}

// escape closes the pane; it tells whether there was one.
func (l *ledgerScreen) escape() bool {
	was := l.open
	if was {
		l.shut()
	}
	return was
}
