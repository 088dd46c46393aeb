// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// filled is a ledger with so many ends of runs, and one start entry for each.
func filled(t *testing.T, ends int) *reader.Reader {
	t.Helper()
	lc := ledger.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Origin: "plant/station/1", Signer: newKey(t)}
	if err := ledger.Create(t.Context(), lc); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(t.Context(), lc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	var batch ledger.Batch
	for i := range ends {
		stop := record.Example(record.KindStop)
		stop.Station = "" // the ledger's own
		batch.Bodies = append(batch.Bodies, stop, exampleEnd(i))
		if len(batch.Bodies) >= 32 || i == ends-1 {
			if _, err := l.Append(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			batch = ledger.Batch{}
		}
	}
	return l.Reader()
}

// exampleEnd is the end of a run; every seventh failed.
func exampleEnd(i int) record.Body {
	b := record.Example(record.KindEnd)
	b.Station = ""
	b.Run, b.Serial, b.UID = fmt.Sprintf("%032x", i+1), fmt.Sprintf("SN-%06d", i), fmt.Sprintf("%016x", i+1)
	b.SPKI, b.Cert = fmt.Sprintf("%064x", i+1), fmt.Sprintf("%064x", i+1)
	b.CertSerial = fmt.Sprintf("%x", sha256.Sum256([]byte(b.Run)))[:32]

	b.Time = record.Timestamp(time.Date(2026, 11, 22, 6, 0, i, 0, time.UTC))
	if i%7 == 3 {
		b.Outcome, b.Fault, b.FaultStep = record.Failed, "F-PROVE-02", "PROVE"
		b.Receipt, b.ChainReadBack, b.Rehearsal = nil, "", ""
	}
	return b
}

// listing is a ledger screen whose questions are answered at once.
func listing(t *testing.T, p *palette, source ledgerSource) *ledgerScreen {
	t.Helper()
	a := test.NewTempApp(t)
	a.Settings().SetTheme(newTheme(p))
	l := newLedgerScreen(p, source, crossing{func(work func(context.Context) func()) { work(t.Context())() }, func(f func()) { f() }, func() {}})
	w := test.NewTempWindow(t, l.box)
	w.SetPadded(false)
	w.Resize(fyne.NewSize(1196, 800))
	l.search.onKey, l.search.onShortcut = l.typed, func(fyne.Shortcut) {}
	l.start()
	return l
}

func (l *ledgerScreen) serials() (first, last string) {
	return l.entries[0].Body.Serial, l.entries[len(l.entries)-1].Body.Serial
}

func TestLedgerPages(t *testing.T) {
	l := listing(t, darkPalette(), readerSource(filled(t, 450)))
	expect := func(first, last string, page int, older bool) {
		t.Helper()
		f, e := l.serials()
		if f != first || e != last || len(l.starts) != page || l.more != older || l.older.enabled != older {
			t.Errorf("page %d from %s to %s, older %v; want page %d from %s to %s, older %v", len(l.starts), f, e, l.more, page, first, last, older)
		}
	}
	expect("SN-000449", "SN-000250", 1, true)
	l.older.Tapped(nil)
	expect("SN-000249", "SN-000050", 2, true)
	l.search.TypedKey(&fyne.KeyEvent{Name: fyne.KeyPageDown})
	expect("SN-000049", "SN-000000", 3, false)
	l.older.Tapped(nil) // there is none
	expect("SN-000049", "SN-000000", 3, false)
	l.newer.Tapped(nil)
	expect("SN-000249", "SN-000050", 2, true)
	l.search.TypedKey(&fyne.KeyEvent{Name: fyne.KeyHome})
	expect("SN-000449", "SN-000250", 1, true)
}

func TestLedgerSearch(t *testing.T) {
	l := listing(t, darkPalette(), readerSource(filled(t, 120)))
	l.older.Tapped(nil)
	test.Type(l.search, "SN-00001")
	if f, e := l.serials(); len(l.entries) != 10 || f != "SN-000019" || e != "SN-000010" {
		t.Errorf("searching SN-00001 found %d entries, %s to %s", len(l.entries), f, e)
	}
	test.Type(l.search, "-nothing")
	if len(l.entries) != 0 || !strings.HasPrefix(l.status.full, "Nothing found among the results") {
		t.Errorf("a serial that does not exist found %d entries and %q", len(l.entries), l.status.full)
	}
	l.search.TypedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
	if len(l.entries) != 120 {
		t.Errorf("an emptied search finds %d entries, want 120", len(l.entries))
	}
	l.kind.Tapped(nil)
	kinds := map[string]int{}
	for _, e := range l.entries {
		kinds[e.Body.Kind]++
	}
	if kinds[record.KindStop] == 0 || kinds[record.KindEnd] == 0 {
		t.Errorf("every entry shows %v", kinds)
	}
}

// A late answer to an earlier question does not replace the newer one's.
func TestLedgerDropsLateAnswers(t *testing.T) {
	var answers []func()
	test.NewTempApp(t)
	page := func(_ context.Context, f reader.Filter, _ reader.Cursor, _ int) ([]record.Entry, reader.Cursor, bool, error) {
		return []record.Entry{{Seq: int64(len(f.SerialPrefix))}}, reader.Cursor{}, false, nil
	}
	l := newLedgerScreen(darkPalette(), ledgerSource{page: page}, crossing{func(work func(context.Context) func()) {
		answers = append(answers, work(t.Context()))
	}, func(f func()) { f() }, func() {}})
	l.start()
	test.Type(l.search, "ab")
	for _, i := range []int{2, 0, 1} {
		answers[i]()
	}
	if len(l.entries) != 1 || l.entries[0].Seq != 2 {
		t.Errorf("the list shows the answer to another question: %+v", l.entries)
	}
}

func TestLedgerThatCannotBeRead(t *testing.T) {
	broken := errors.New("ledger: disk I/O error")
	l := listing(t, darkPalette(), ledgerSource{page: func(context.Context, reader.Filter, reader.Cursor, int) ([]record.Entry, reader.Cursor, bool, error) {
		return nil, reader.Cursor{}, true, broken
	}})
	if l.status.full != broken.Error() || l.older.enabled || l.list.Length() != 0 {
		t.Errorf("an unreadable ledger shows %q, older %v, %d rows", l.status.full, l.older.enabled, l.list.Length())
	}
}

func TestScreensLedger(t *testing.T) {
	source := readerSource(filled(t, 230))
	for variant, p := range variants() {
		l := listing(t, p, source)
		r := newRail(p, func(int) {})
		r.choose(1)
		r.show(stopped())
		root := newBox(fyne.NewSize(900, 560), func(s fyne.Size) {
			place(r.box, 0, 0, railWidth, s.Height)
			place(l.box, railWidth, 0, s.Width-railWidth, s.Height)
		}, r.box, l.box)
		w := test.NewTempWindow(t, root)
		w.SetPadded(false)
		w.Resize(fyne.NewSize(1280, 800))
		w.Canvas().Focus(l.search)
		l.start()
		img := w.Canvas().Capture()
		if b := img.Bounds(); b.Dx() != 1280 || b.Dy() != 800 {
			t.Errorf("%s: the picture is %v: something grew", variant, b)
		}
		keep(t, "ledger-"+variant, img)
	}
}

func TestRowsSurviveAnything(t *testing.T) {
	test.NewTempApp(t)
	r := newEntryRow(darkPalette())
	r.Resize(fyne.NewSize(1100, rowHeight))
	long := strings.Repeat("x", 5000)
	r.show(record.Entry{Epoch: 3, Seq: 1 << 50, Body: record.Body{Kind: long, Time: long, Serial: long, Fault: long, CertSerial: long, Operator: long}}, true, true)
	if got := r.MinSize(); got.Width > 100 {
		t.Errorf("a row with long texts wants to be %v wide", got.Width)
	}
}
