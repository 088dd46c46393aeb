// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fyne.io/fyne/v2"

	"provisioning.example/station/internal/export"
	"provisioning.example/station/internal/provision"
)

// exports lets the ledger screen export; record runs when the file is whole and has no name yet.
func (b *bench) exports(folder string, record func(context.Context) error) {
	b.t.Helper()
	b.ui.cfg.Folder = folder
	b.ui.cfg.Export = func(ctx context.Context, w ExportWish, tell func(int64)) (Exported, error) {
		moment, err := b.ledger.Reader().Snapshot(ctx)
		if err != nil {
			return Exported{}, err
		}
		defer moment.Close() //nolint:errcheck // read only
		tell(1)
		res, err := export.File(ctx, w.File, w.Format, moment, export.Options{
			Selection: export.Selection{Order: w.Order, Product: w.Product, Serial: w.Serial, Outcome: w.Result, Person: w.Operator},
			Record:    func(export.Result) (*export.Proof, error) { return nil, record(ctx) },
		})
		return Exported{Rows: res.Rows, Bytes: res.Bytes, SHA256: res.SHA256}, err
	}
	b.desk(staff(b.t))
}

// exported waits until an export is over.
func (b *bench) exported() *exportPanel {
	b.t.Helper()
	var q *exportPanel
	b.until("the end of the export", func(description) bool {
		q, _ = b.ui.prompt.(*exportPanel)
		return q != nil && q.over
	})
	return q
}

// TestExport: what is asked for is written, where it lies and its digest are told; nothing is overwritten.
func TestExport(t *testing.T) {
	b := newBench(t, 3, func(b *bench, _ *provision.ProductConfig) { b.refuse = 1 })
	b.click("provision")
	b.until("the boards to be done", func(d description) bool { return len(d.inState("PASS")) == 2 && len(d.inState("FAIL")) == 1 })
	folder := t.TempDir()
	b.exports(folder, func(context.Context) error { return nil })
	b.key(fyne.KeyF8)
	f := b.ui.prompt.(*form)
	b.key(fyne.KeyRight) // csv
	if got := f.values(); got["export-format"] != "csv" || filepath.Ext(got["export-file"]) != ".csv" {
		t.Fatalf("%v", got)
	}
	b.key(fyne.KeyReturn, fyne.KeyRight, fyne.KeyReturn) // passed
	path := f.values()["export-file"]
	f.confirm()
	q := b.exported()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(raw)
	if q.digest.full != hex.EncodeToString(sum[:]) || !strings.HasPrefix(q.status.full, "2 entries") || q.file.text[0] != path {
		t.Errorf("%q, %q, %q", q.status.full, q.digest.full, q.file.text)
	}
	b.click("export-close")
	b.key(fyne.KeyF8)
	f = b.ui.prompt.(*form)
	for _, wrong := range []struct{ format, file, want string }{
		{"csv", path, "There is such a file already"},
		{"csv", "", "Name the file"},
		{"audit", filepath.Join(folder, "new.zip"), "Name the unit"},
	} {
		for f.values()["export-format"] != wrong.format {
			f.pick(f.rows[0], 1)
		}
		f.rows[len(f.rows)-1].field.setText(wrong.file)
		f.confirm()
		if got := strings.Join(f.problem.text, " "); !strings.HasPrefix(got, wrong.want) || b.ui.prompt != f {
			t.Errorf("%+v: %q", wrong, got)
		}
	}
	b.key(fyne.KeyEscape)
	if files, err := os.ReadDir(folder); err != nil || len(files) != 1 || b.ui.prompt != nil {
		t.Errorf("%v, %v", files, err)
	}
}

// TestExportCancelled leaves no file, not even a half one.
func TestExportCancelled(t *testing.T) {
	b := newBench(t, 1)
	b.made(1)
	folder, whole := t.TempDir(), make(chan struct{})
	b.exports(folder, func(ctx context.Context) error {
		close(whole)
		<-ctx.Done()
		return ctx.Err()
	})
	b.key(fyne.KeyF8)
	b.ui.prompt.(*form).confirm()
	<-whole
	b.ui.prompt.typed(&fyne.KeyEvent{Name: fyne.KeyEscape})
	if q := b.exported(); q.title.full != "Cancelled" {
		t.Errorf("%q: %q", q.title.full, q.status.full)
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// TestCloseWhileExporting: the window is not gone before an export that it cuts
// off has taken its half file away.
func TestCloseWhileExporting(t *testing.T) {
	b := newBench(t, 1)
	b.made(1)
	folder, whole := t.TempDir(), make(chan struct{})
	b.exports(folder, func(ctx context.Context) error {
		close(whole)
		<-ctx.Done()
		return ctx.Err()
	})
	b.key(fyne.KeyF8)
	b.ui.prompt.(*form).confirm()
	<-whole
	if files, err := os.ReadDir(folder); err != nil || len(files) != 1 {
		t.Fatalf("before: %v, %v", files, err)
	}
	b.ui.end()
	if files, err := os.ReadDir(folder); err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// TestScreensExport draws the form and what came of it.
func TestScreensExport(t *testing.T) {
	b := newBench(t, 2)
	b.made(2)
	b.exports(t.TempDir(), func(context.Context) error { return nil })
	for variant := range variants() {
		b.ui.cfg.Theme, b.ui.cfg.Folder = variant, t.TempDir()
		b.ui.build()
		b.until("the list", func(description) bool { return len(b.ui.ledger.entries) > 0 })
		for suffix, size := range pictureSizes {
			b.ui.window.Resize(size)
			b.key(fyne.KeyF8)
			f := b.ui.prompt.(*form)
			f.rows[len(f.rows)-1].field.setText(filepath.Join(b.ui.cfg.Folder, "report"+suffix+".xlsx"))
			b.picture("export-"+variant+suffix, size)
			f.confirm()
			b.exported()
			b.picture("export-done-"+variant+suffix, size)
			b.click("export-close")
		}
	}
}
