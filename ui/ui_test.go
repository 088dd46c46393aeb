// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"slices"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/test"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

func scanned(_ *bench, p *provision.ProductConfig) { p.Serial = provision.SerialScan }

// held makes runs wait at their port until the gate is opened.
func held(b *bench, _ *provision.ProductConfig) { b.gate = make(chan struct{}) }

// ends are the recorded ends of runs.
func (b *bench) ends() []record.Entry {
	b.t.Helper()
	f := reader.Filter{Kinds: []string{record.KindEnd}}
	page, _, _, err := b.ledger.Reader().Page(b.t.Context(), f, reader.Cursor{}, 100)
	if err != nil {
		b.t.Fatal(err)
	}
	return page
}

func TestProvisionByClick(t *testing.T) {
	b := newBench(t, 3)
	b.click("provision")
	d := b.until("three boards to pass", func(d description) bool { return len(d.inState("PASS")) == 3 })
	if d.Counters.Passed != 3 || d.Counters.Failed != 0 || d.enabled("provision") {
		t.Errorf("after three boards passed the window says %+v", d)
	}
	for _, s := range d.Slots {
		if s.Serial == "" || s.Entry == 0 || s.Fault != "" {
			t.Errorf("a board that passed is described as %+v", s)
		}
	}
	if n := len(b.ends()); n != 3 {
		t.Errorf("the ledger has %d ends, want 3", n)
	}
}

func TestRetryByClick(t *testing.T) {
	b := newBench(t, 1, func(b *bench, _ *provision.ProductConfig) { b.refuse = 1 })
	b.click("provision")
	d := b.until("the board to fail", func(d description) bool { return len(d.inState("FAIL")) == 1 })
	if !strings.HasPrefix(d.Slots[0].Fault, "F-CONNECT-") || d.Slots[0].Step != "CONNECT" {
		t.Errorf("a port that is gone is shown as %+v", d.Slots[0])
	}
	b.click("retry-1")
	b.until("the board to pass", func(d description) bool { return len(d.inState("PASS")) == 1 })
}

// TestResumeByClick: a stopped line says so, starts nothing, and goes on when a
// person says that it is mended.
func TestResumeByClick(t *testing.T) {
	b := newBench(t, 2, func(b *bench, _ *provision.ProductConfig) { b.full.Store(true) })
	b.click("provision")
	d := b.until("the line to stop", func(d description) bool { return d.Stopped == "F-RECORD-03" })
	if d.enabled("provision") {
		t.Error("PROVISION can be pressed on a stopped line")
	}
	b.full.Store(false)
	b.click("resume")
	b.until("the line to go on", func(d description) bool { return d.Stopped == "" })
	// The line may have stopped while the second board waited for its turn: that
	// one is ready again, and is not tried again but started.
	ready := len(b.settled().inState("READY"))
	b.press(fyne.KeyR, fyne.KeyModifierControl)
	if ready > 0 {
		b.click("provision")
	}
	b.until("the boards to pass", func(d description) bool { return len(d.inState("PASS")) == 2 })
}

func TestRetryByKeyboard(t *testing.T) {
	b := newBench(t, 2, func(b *bench, _ *provision.ProductConfig) { b.refuse = 2 })
	b.press(fyne.KeyReturn, fyne.KeyModifierControl)
	b.until("two boards to fail", func(d description) bool { return len(d.inState("FAIL")) == 2 })
	b.press(fyne.KeyR, fyne.KeyModifierControl)
	b.until("two boards to pass", func(d description) bool { return len(d.inState("PASS")) == 2 })
}

// scanner types a label and its end as a scanner does, into whatever has the
// keyboard.
func (b *bench) scanner(label string, end fyne.KeyName) {
	b.t.Helper()
	c := b.ui.window.Canvas()
	for _, r := range label {
		if f := c.Focused(); f != nil {
			f.TypedRune(r)
		} else {
			c.OnTypedRune()(r)
		}
	}
	c.Focused().TypedKey(&fyne.KeyEvent{Name: end})
}

// press sends a shortcut the way the driver does: to the focused object alone.
func (b *bench) press(key fyne.KeyName, mod fyne.KeyModifier) {
	b.t.Helper()
	f, ok := b.ui.window.Canvas().Focused().(fyne.Shortcutable)
	if !ok {
		b.t.Fatal("nothing that takes shortcuts has the keyboard")
	}
	f.TypedShortcut(&desktop.CustomShortcut{KeyName: key, Modifier: mod})
}

// A scan gives a board its serial and starts nothing, whether the scanner ends
// with Enter or with Tab.
func TestScanGivesSerialAndStartsNothing(t *testing.T) {
	b := newBench(t, 3, scanned)
	d := b.seen.last(t)
	if got := d.inState("SCAN"); len(got) != 3 || d.enabled("provision") {
		t.Fatalf("before the first scan the window says %+v", d)
	}
	b.scanner("SN-1", fyne.KeyReturn)
	b.until("slot 1 to be ready", func(d description) bool { return slices.Equal(d.inState("READY"), []int{1}) })
	b.scanner("SN-2", fyne.KeyTab)
	d = b.until("slot 2 to be ready", func(d description) bool { return slices.Equal(d.inState("READY"), []int{1, 2}) })
	if d.Slots[0].Serial != "SN-1" || d.Slots[1].Serial != "SN-2" {
		t.Errorf("the serials are %+v", d.Slots)
	}
	if b.station.Busy() != 0 || len(b.ends()) != 0 {
		t.Error("a scan started a run")
	}
	if b.ui.line.scan.content() != "" {
		t.Errorf("the scan field still holds %q", b.ui.line.scan.content())
	}
	b.click("provision")
	b.until("two boards to pass", func(d description) bool { return slices.Equal(d.inState("PASS"), []int{1, 2}) })
}

// What cannot be used as a label is said in the scan field, and the next key
// takes the sentence away.
func TestScanComplains(t *testing.T) {
	b := newBench(t, 2, scanned)
	b.scanner("SN-1", fyne.KeyReturn)
	b.until("slot 1 to be ready", func(d description) bool { return len(d.inState("READY")) == 1 })
	b.scanner("SN-1", fyne.KeyReturn)
	d := b.until("a complaint", func(d description) bool { return d.Message != "" })
	if !strings.Contains(d.Message, "SN-1") || len(d.inState("READY")) != 1 {
		t.Errorf("scanning a label twice says %q and %+v", d.Message, d.Slots)
	}
	b.ui.line.scan.TypedRune('S')
	if b.ui.line.scan.problem != "" {
		t.Error("the complaint stays after a key")
	}
}

// An empty scan is nobody's label.
func TestEmptyScanIsIgnored(t *testing.T) {
	b := newBench(t, 1, scanned)
	b.scanner("", fyne.KeyReturn)
	b.scanner("   ", fyne.KeyTab)
	b.scanner("SN-7", fyne.KeyReturn)
	d := b.until("slot 1 to be ready", func(d description) bool { return len(d.inState("READY")) == 1 })
	if d.Slots[0].Serial != "SN-7" || d.Message != "" {
		t.Errorf("after empty scans the window says %+v", d)
	}
}

func TestKeyboardReachesEverything(t *testing.T) {
	b := newBench(t, 2)
	b.press(fyne.Key2, fyne.KeyModifierAlt)
	b.until("the ledger", func(d description) bool { return d.Screen == "ledger" })
	b.press(fyne.KeyReturn, fyne.KeyModifierControl) // the button is not on this screen
	b.press(fyne.Key1, fyne.KeyModifierAlt)
	b.until("the line", func(d description) bool { return d.Screen == "line" })
	if b.station.Busy() != 0 || len(b.ends()) != 0 {
		t.Fatal("Ctrl+Enter started boards from the ledger screen")
	}
	b.press(fyne.KeyEnter, fyne.KeyModifierControl)
	b.until("two boards to pass", func(d description) bool { return len(d.inState("PASS")) == 2 })
	b.ui.line.scan.TypedKey(&fyne.KeyEvent{Name: fyne.KeyF11})
	if !b.ui.window.FullScreen() {
		t.Error("F11 with the scan field focused does not fill the screen")
	}
	b.ui.line.scan.TypedKey(&fyne.KeyEvent{Name: fyne.KeyF11})
	if b.ui.window.FullScreen() {
		t.Error("F11 does not leave the full screen")
	}
}

// The keyboard comes back to the field after every click, wherever it went.
func TestScanFieldKeepsTheKeyboard(t *testing.T) {
	b := newBench(t, 2)
	c := b.ui.window.Canvas()
	for _, at := range []fyne.Position{{X: 600, Y: 730}, {X: 20, Y: 400}, {X: 200, Y: 730}, {X: 300, Y: 20}} {
		test.TapCanvas(c, at)
		b.until("the scan field to have the keyboard", func(description) bool { return c.Focused() == b.ui.line.scan })
	}
	b.settled()
	c.Unfocus()
	b.scanner("SN-99", fyne.KeyReturn) // even the first key is not lost
	b.until("an answer to the scan", func(d description) bool { return d.Message != "" })
}

// More about a slot than its card has room for, and no shortcut behind the
// panel.
func TestDetailPanel(t *testing.T) {
	b := newBench(t, 1, func(b *bench, _ *provision.ProductConfig) { b.refuse = 1 })
	b.click("provision")
	b.until("the board to fail", func(d description) bool { return len(d.inState("FAIL")) == 1 })
	test.TapCanvas(b.ui.window.Canvas(), fyne.NewPos(200, 110))
	d := b.until("the panel", func(d description) bool { return d.enabled("detail-close") })
	if d.enabled("provision") || d.enabled("retry-1") || d.enabled("ledger") {
		t.Errorf("buttons behind the panel are enabled: %+v", d.Buttons)
	}
	b.ui.shortcut(&desktop.CustomShortcut{KeyName: fyne.Key2, Modifier: fyne.KeyModifierAlt})
	if b.ui.screen != 0 {
		t.Error("a shortcut works behind the panel")
	}
	c := b.ui.window.Canvas()
	for _, r := range "SN-8" { // a label scanned without looking starts nothing
		c.OnTypedRune()(r)
	}
	c.OnTypedKey()(&fyne.KeyEvent{Name: fyne.KeyReturn})
	if b.ui.prompt == nil || b.station.Busy() != 0 {
		t.Fatal("a scan pressed a button of the panel")
	}
	b.ui.key(&fyne.KeyEvent{Name: fyne.KeyEscape})
	b.until("the panel to go", func(d description) bool { return !d.enabled("detail-close") })
	if b.ui.window.Canvas().Focused() != b.ui.line.scan {
		t.Error("the keyboard did not come back from the panel")
	}
	test.TapCanvas(b.ui.window.Canvas(), fyne.NewPos(200, 110))
	b.until("the panel", func(d description) bool { return d.enabled("detail-retry") })
	b.ui.shortcut(&desktop.CustomShortcut{KeyName: fyne.KeyReturn, Modifier: fyne.KeyModifierControl})
	b.until("the board to pass", func(d description) bool { return len(d.inState("PASS")) == 1 })
}

// Closing while boards run asks first; no means no.
func TestCloseAsksWhileBoardsRun(t *testing.T) {
	b := newBench(t, 1, held)
	closed := false
	b.ui.window.SetOnClosed(func() { closed = true; b.ui.cancel() })
	b.click("provision")
	b.until("the board to run", func(d description) bool { return len(d.inState("BUSY")) == 1 })
	b.ui.close()
	b.click("close-no")
	if closed || b.station.Busy() != 1 {
		t.Fatal("the answer no ended the run or the window")
	}
	b.ui.close()
	b.click("close-yes")
	b.until("the window to close", func(description) bool { return closed })
	if b.station.Busy() != 0 {
		t.Error("the window closed before the run had ended")
	}
}

func TestCloseWithoutRunsAsksNothing(t *testing.T) {
	b := newBench(t, 1)
	closed := false
	b.ui.window.SetOnClosed(func() { closed = true; b.ui.cancel() })
	b.ui.close()
	b.until("the window to close", func(description) bool { return closed })
	if n := b.station.Provision(); n != 0 {
		t.Errorf("%d runs started after the window closed", n)
	}
}

// A signal closes the window from another goroutine.
func TestCloseFromAnotherGoroutine(t *testing.T) {
	b := newBench(t, 1)
	closed := false
	b.ui.window.SetOnClosed(func() { closed = true; b.ui.cancel() })
	go b.ui.Close()
	b.until("the window to close", func(description) bool { return closed })
}

// The desktop turning dark turns the window dark only where no theme was asked
// for by name.
func TestThemeByName(t *testing.T) {
	b := newBench(t, 1)
	for name, dark := range map[string]bool{"light": false, "dark": true} {
		b.ui.cfg.Theme = name
		b.ui.followVariant()
		if b.ui.palette.dark != dark {
			t.Errorf("theme %q gives dark = %v", name, b.ui.palette.dark)
		}
		if got := b.ui.app.Settings().Theme().Color("background", 0); got != b.ui.palette.back {
			t.Errorf("theme %q: the background is %v", name, got)
		}
	}
	b.click("provision") // the rebuilt window still works
	b.until("the board to pass", func(d description) bool { return len(d.inState("PASS")) == 1 })
}
