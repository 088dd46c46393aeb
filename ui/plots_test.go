// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fyne.io/fyne/v2"

	"provisioning.example/station/internal/provision"
)

// plots opens the plots and waits until all is counted.
func (b *bench) plots() *plotsPanel {
	b.t.Helper()
	b.key(fyne.KeyF7)
	var q *plotsPanel
	b.until("the figures", func(description) bool {
		q, _ = b.ui.prompt.(*plotsPanel)
		return q != nil && q.figures != nil
	})
	return q
}

// TestPlots: what is drawn is what the ledger holds, and is saved as a picture, once.
func TestPlots(t *testing.T) {
	b := newBench(t, 3, func(b *bench, _ *provision.ProductConfig) { b.refuse = 1 })
	b.click("provision")
	b.until("the boards to be done", func(d description) bool { return len(d.inState("PASS")) == 2 && len(d.inState("FAIL")) == 1 })
	b.ui.cfg.Folder = t.TempDir()
	b.desk(staff(t))
	q := b.plots()
	if f := q.figures; f.Total.Passed != 2 || f.Total.Runs() != 3 || len(f.Days) != 1 || len(f.Faults) != 1 {
		t.Fatalf("%+v", f)
	}
	if !strings.HasPrefix(q.numbers.full, "The whole ledger: 3 runs ended, 2 passed") {
		t.Errorf("%q", q.numbers.full)
	}
	saved := map[string]bool{}
	for range plotKinds {
		path := q.file.content()
		saved[path] = true
		b.key(fyne.KeyReturn, fyne.KeyReturn)
		if !strings.HasPrefix(q.numbers.full, "Saving") {
			t.Errorf("the window waits for the disk: %q", q.numbers.full)
		}
		b.until("the picture", func(description) bool { return strings.HasPrefix(q.numbers.full, "Saved: "+path) })
		b.key(fyne.KeyReturn)
		b.until("a second time, the refusal", func(description) bool { return strings.Contains(q.numbers.full, "is there already") })
		wantDrawing(t, path)
		b.key(fyne.KeyPageDown)
	}
	if left, err := filepath.Glob(filepath.Join(b.ui.cfg.Folder, "*")); err != nil || len(left) != 3 || len(saved) != 3 {
		t.Errorf("%v, %v, saved as %v", left, err, saved)
	}
	q.file.setText(filepath.Join(b.ui.cfg.Folder, "nowhere", "x.png"))
	b.key(fyne.KeyReturn)
	b.until("the refusal", func(description) bool { return strings.HasPrefix(q.numbers.full, "Not saved: ") })
	b.key(fyne.KeyEscape)
	if b.ui.prompt != nil {
		t.Error("Escape does not leave the plots")
	}
}

// wantDrawing reads a saved picture: it is large, mostly white, and something stands on it.
func wantDrawing(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // test
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if s := img.Bounds().Size(); s.X != 1440 || s.Y != 660 {
		t.Errorf("%s: %v", path, s)
	}
	light, all := 0, 0
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			r, g, b, _ := img.At(x, y).RGBA()
			all++
			if r+g+b == 3*0xffff {
				light++
			}
		}
	}
	if share := float64(light) / float64(all); share < 0.5 || share > 0.995 {
		t.Errorf("%s: %.3f of it is white", path, share)
	}
}

// TestPlotsOfNothing and a count that is given up.
func TestPlotsOfNothing(t *testing.T) {
	b := newBench(t, 1)
	b.ui.choose(1)
	q := b.plots()
	if q.figures.Total.Runs() != 0 || !strings.Contains(q.numbers.full, "0 runs ended") {
		t.Errorf("%q", q.numbers.full)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if f, err := countRuns(ctx, b.ledger.Reader(), provision.Scope{}, func(Progress) {}); err == nil {
		t.Errorf("given up, and counted %+v", f)
	}
}

// TestScreensPlots draws the plots of real runs.
func TestScreensPlots(t *testing.T) {
	b := newBench(t, 6, func(b *bench, _ *provision.ProductConfig) { b.refuse = 2 })
	b.click("provision")
	b.until("the boards to be done", func(d description) bool { return len(d.inState("PASS"))+len(d.inState("FAIL")) == 6 })
	b.desk(staff(t))
	for variant := range variants() {
		b.ui.cfg.Theme = variant
		b.ui.build()
		b.until("the list", func(description) bool { return len(b.ui.ledger.entries) > 0 })
		for suffix, size := range pictureSizes {
			b.ui.window.Resize(size)
			q := b.plots()
			for _, k := range plotKinds {
				b.picture(k.name+"-"+variant+suffix, size)
				b.key(fyne.KeyPageDown)
			}
			keep(b.t, "plot-saved", q.picture())
			b.key(fyne.KeyEscape)
		}
	}
}
