// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"testing"

	"fyne.io/fyne/v2"

	"provisioning.example/station/internal/provision"
)

// picture keeps the window as it is now, at a size, and complains if it grew.
func (b *bench) picture(name string, size fyne.Size) {
	b.t.Helper()
	w := b.ui.window
	w.Resize(size)
	img := w.Canvas().Capture()
	if got := img.Bounds(); got.Dx() != int(size.Width) || got.Dy() != int(size.Height) {
		b.t.Errorf("%s: the picture is %v, want %v: something grew", name, got, size)
	}
	keep(b.t, name, img)
}

// The sizes of the pictures: what a bench has, and the least the window can be.
var pictureSizes = map[string]fyne.Size{"": {Width: 1280, Height: 800}, "-least": {Width: 880, Height: 540}}

// TestScreensQA draws what qa sees of real units, forms and verdicts.
func TestScreensQA(t *testing.T) {
	b := newBench(t, 3, func(b *bench, _ *provision.ProductConfig) { b.refuse = 1 })
	b.click("provision")
	b.until("the boards to be done", func(d description) bool { return len(d.inState("PASS")) == 2 && len(d.inState("FAIL")) == 1 })
	b.desk(staff(t))
	for variant := range variants() {
		b.ui.cfg.Theme = variant
		b.ui.build()
		b.until("the list", func(description) bool { return len(b.ui.ledger.entries) > 0 })
		for suffix, size := range pictureSizes {
			b.qaPictures(variant+suffix, size)
		}
	}
}

func (b *bench) qaPictures(variant string, size fyne.Size) {
	l := b.ui.ledger
	b.ui.window.Resize(size)
	b.picture("qa-help-"+variant, size)
	b.scanner(b.passed(), fyne.KeyReturn)
	b.until("the unit", func(description) bool { return l.unit != nil })
	for _, page := range l.pane.sheet.pages {
		b.picture("qa-"+page.name+"-"+variant, size)
		b.key(fyne.KeyRight)
	}
	b.key(fyne.KeyF2)
	b.until("the form", func(description) bool { return b.ui.prompt != nil })
	b.ui.prompt.(*form).refuse("anna: wrong PIN, 4 tries left", "form-pin")
	b.types("123456")
	b.picture("qa-correct-"+variant, size)
	b.key(fyne.KeyEscape)
	b.key(fyne.KeyF4)
	b.until("the form", func(description) bool { return b.ui.prompt != nil })
	b.picture("qa-signoff-"+variant, size)
	b.key(fyne.KeyEscape, fyne.KeyEscape, fyne.KeyEscape)
	b.types("error")
	b.until("the failure", func(description) bool { return len(l.entries) == 1 && l.entries[0].Body.Fault != "" })
	b.key(fyne.KeyReturn)
	b.until("the failure's unit", func(description) bool { return l.unit != nil })
	b.picture("qa-fault-"+variant, size)
	stop := make(chan struct{})
	l.audit = auditing{button: l.audit.button, run: func(ctx context.Context, tell func(Progress)) (Verdict, error) {
		tell(Progress{"Judging every entry", 412_000, 1_000_000})
		<-stop
		return b.verify(ctx, func(Progress) {})
	}}
	b.key(fyne.KeyF6)
	b.until("the progress", func(description) bool { return l.audit.at.All > 0 })
	b.picture("qa-verifying-"+variant, size)
	close(stop)
	b.until("the verdict", func(description) bool { return l.audit.verdict != nil })
	b.picture("qa-verdict-"+variant, size)
	b.key(fyne.KeyEscape, fyne.KeyEscape)
}

// passed is the serial of a unit that passed.
func (b *bench) passed() string {
	for _, e := range b.ends() {
		if e.Body.Serial != "" {
			return e.Body.Serial
		}
	}
	b.t.Fatal("no unit passed")
	return ""
}
