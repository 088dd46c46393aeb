// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

func TestFit(t *testing.T) {
	test.NewTempApp(t)
	for _, c := range []struct {
		text    string
		width   float32
		keepEnd bool
		want    func(string) bool
	}{
		{"PASS", 200, false, func(s string) bool { return s == "PASS" }},
		{"SN-0123456789-0123456789", 120, true, func(s string) bool { return strings.HasPrefix(s, "…") && strings.HasSuffix(s, "789") }},
		{"SN-0123456789-0123456789", 120, false, func(s string) bool { return strings.HasPrefix(s, "SN-0") && strings.HasSuffix(s, "…") }},
		{"anything", 0, false, func(s string) bool { return s == "" }},
		{"two\nlines\x00\x1b", 400, false, func(s string) bool { return s == "two lines  " }},
		{"", 10, true, func(s string) bool { return s == "" }},
		{strings.Repeat("x", 100_000), 300, false, func(s string) bool { return strings.HasSuffix(s, "x…") }},
		{"\xff\xfe broken", 400, false, func(s string) bool { return strings.Contains(s, "broken") }},
	} {
		got := fit(c.text, c.width, 16, plain, c.keepEnd)
		if !c.want(got) {
			t.Errorf("fit(%.30q, %v, keepEnd %v) = %q", c.text, c.width, c.keepEnd, got)
		}
		if w := measure(got, 16, plain); w > c.width && got != "" {
			t.Errorf("fit(%.30q, %v) is %v wide", c.text, c.width, w)
		}
	}
}

// The sentence gives way before the remedy: what to do is never lost.
func TestWrapKeepsTheRemedy(t *testing.T) {
	test.NewTempApp(t)
	long := strings.Repeat("The board kept another chain. ", 9)
	for room := 2; room <= 6; room++ {
		rows, whole := wrap([]string{long, "Reseat the board."}, 250, 90, 17, room)
		if len(rows) != room || whole {
			t.Errorf("room %d: %d rows, whole %v", room, len(rows), whole)
		}
		if rows[len(rows)-1] != "Reseat the board." {
			t.Errorf("room %d: the last row is %q", room, rows[len(rows)-1])
		}
		if !strings.HasSuffix(rows[len(rows)-2], ellipsis) {
			t.Errorf("room %d: the cut sentence ends in %q", room, rows[len(rows)-2])
		}
	}
	rows, whole := wrap([]string{"The board kept another chain.", "Reseat the board, then retry."}, 250, 105, 17, 4)
	if !whole || len(rows) != 3 {
		t.Errorf("a fault that fits becomes %q, whole %v", rows, whole)
	}
}

func TestWrapStaysInItsBox(t *testing.T) {
	test.NewTempApp(t)
	word := strings.Repeat("w", 300)
	for _, parts := range [][]string{nil, {""}, {word}, {word, word}, {"a " + word, "b"}, {word + " " + word + " " + word}} {
		for room := range 5 {
			rows, _ := wrap(parts, 200, 60, 17, room)
			if len(rows) > room {
				t.Errorf("%.20q in %d rows gives %d", parts, room, len(rows))
			}
		}
	}
}

func FuzzFit(f *testing.F) {
	f.Add("SN-0000A101", float32(80), true)
	f.Add("日本語\x00\u202e", float32(10), false)
	f.Fuzz(func(t *testing.T, text string, width float32, keepEnd bool) {
		if width < 0 || width > 4000 || width != width {
			return
		}
		if got := fit(text, width, 16, plain, keepEnd); got != "" && measure(got, 16, plain) > width {
			t.Errorf("fit(%q, %v) = %q, which is wider", text, width, got)
		}
	})
}

func TestWords(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1 000", 48211: "48 211", 1234567: "1 234 567", -1234: "-1 234"} {
		if got := strings.ReplaceAll(grouped(n), nbsp, " "); got != want {
			t.Errorf("grouped(%d) = %q, want %q", n, got, want)
		}
	}
	for _, c := range []struct {
		ready, busy int
		want        string
	}{
		{0, 0, "NO BOARD READY"}, {1, 0, "PROVISION 1 BOARD"}, {8, 3, "PROVISION 8 BOARDS"}, {0, 1, "1 BOARD RUNNING"}, {0, 5, "5 BOARDS RUNNING"},
	} {
		if got := startWord(c.ready, c.busy); got != c.want {
			t.Errorf("startWord(%d, %d) = %q, want %q", c.ready, c.busy, got, c.want)
		}
	}
	if got := localTime("yesterday"); got != "yesterday" {
		t.Errorf("a time that is none is shown as %q", got)
	}
	if got := entryNumber(record.Entry{Epoch: 2, Seq: 7}); got != "2/7" {
		t.Errorf("entry 7 of epoch 2 is shown as %q", got)
	}
	if got := yieldWord(provision.Counters{}); got != "–" {
		t.Errorf("the yield of nothing is shown as %q", got)
	}
}

// Nothing that is shown may change the least size of anything, or a text from
// outside could push the window off the screen.
func TestNothingGrows(t *testing.T) {
	test.NewTempApp(t)
	p := darkPalette()
	l := newLineScreen(p, testSteps, actions{})
	w := test.NewTempWindow(t, l.box)
	w.SetPadded(false)
	w.Resize(fyne.NewSize(1196, 800))
	l.show(mixed())
	least := l.box.MinSize()
	place, size := l.grid.cards[1].Position(), l.grid.cards[1].Size()
	for name, snap := range pictures() {
		l.show(snap)
		if got := l.box.MinSize(); got != least {
			t.Errorf("%s: the least size is %v, before it was %v", name, got, least)
		}
		if got := l.box.Size(); got != fyne.NewSize(1196, 800) {
			t.Errorf("%s: the screen is now %v", name, got)
		}
		if len(snap.Slots) == 8 && (l.grid.cards[1].Position() != place || l.grid.cards[1].Size() != size) {
			t.Errorf("%s: card 2 moved to %v, %v", name, l.grid.cards[1].Position(), l.grid.cards[1].Size())
		}
	}
}

// Every text of a card lies within the card, for every number of slots and
// for windows from small to large.
func TestCardsHoldTheirTexts(t *testing.T) {
	test.NewTempApp(t)
	l := newLineScreen(lightPalette(), testSteps, actions{})
	w := test.NewTempWindow(t, l.box)
	w.SetPadded(false)
	for _, size := range []fyne.Size{{Width: 940, Height: 660}, {Width: 1196, Height: 800}, {Width: 1836, Height: 1080}, {Width: 3756, Height: 2160}} {
		w.Resize(size)
		for slots := 1; slots <= 32; slots++ {
			l.show(many(slots))
			for _, c := range l.grid.cards {
				checkCard(t, c, slots, size)
			}
		}
	}
}

func checkCard(t *testing.T, c *card, slots int, window fyne.Size) {
	t.Helper()
	lines := append([]*line{c.number, c.elapsed, c.word, c.serial, c.foot, c.body.head}, c.body.lines...)
	for _, l := range lines {
		if l.Text.Text == "" {
			continue
		}
		right, bottom := l.Position().X+measure(l.Text.Text, l.TextSize, l.TextStyle), l.Position().Y+l.Size().Height
		if l.Alignment == fyne.TextAlignTrailing {
			right = l.Position().X + l.Size().Width
		}
		if right > c.Size().Width+1 || bottom > c.Size().Height+1 {
			t.Errorf("%d slots in %v: %q ends at %.0f,%.0f of %v", slots, window, l.Text.Text, right, bottom, c.Size())
		}
	}
	if c.word.Text.Text != c.view.State.String() {
		t.Errorf("%d slots in %v: the state is cut short to %q", slots, window, c.word.Text.Text)
	}
	if slots <= 8 && window.Width >= 1196 && c.word.TextSize < 52 {
		t.Errorf("%d slots in %v: the state is only %.0f pixels", slots, window, c.word.TextSize)
	}
	if c.retryable() && (c.retry.Size().Height < 18 || c.retry.Position().Y+c.retry.Size().Height > c.Size().Height) {
		t.Errorf("%d slots in %v: RETRY lies at %v, %v of %v", slots, window, c.retry.Position(), c.retry.Size(), c.Size())
	}
}
