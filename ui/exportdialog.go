// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/widget"

	"provisioning.example/station/internal/record"
)

// ExportWish is what somebody wants written, and where.
type ExportWish struct {
	Format                 string // csv, xlsx, jsonl, html, bundle or audit
	File                   string // an absolute path
	Order, Product, Serial string // empty ones do not count
	Operator, Result       string
	Since, Until           time.Time
}

// Exported is what was written.
type Exported struct {
	Rows, Bytes int64
	SHA256      string // of the file, in hex
}

// exportFormats are what can be asked for here.
var exportFormats = []option{
	{"xlsx", "xlsx: for Excel"},
	{"csv", "csv: for other programs"},
	{"html", "html: a report with plots, to print"},
	{"jsonl", "jsonl: the entries as stored"},
	{"audit", "audit: one unit, for its customer"},
	{"bundle", "bundle: the whole ledger, to verify"},
}

// exportEnding is the ending of a file's name.
var exportEnding = map[string]string{"xlsx": ".xlsx", "csv": ".csv", "html": ".html", "jsonl": ".jsonl", "audit": ".zip", "bundle": ".bundle"}

var exportResults = []option{
	{"", "however they ended"},
	{record.Passed, record.Passed},
	{record.Failed, record.Failed},
	{record.Error, record.Error},
	{record.Aborted, record.Aborted},
}

// exportTool is the button that writes the ledger for others.
func (u *UI) exportTool() tool {
	t := tool{name: "export", word: "Export", key: fyne.KeyF8}
	if u.cfg.Export != nil {
		t.do = u.openExport
	}
	return t
}

// openExport asks what is to be written. Order, operator and days are those of the search.
func (u *UI) openExport() {
	if u.prompt != nil {
		return
	}
	w := u.ledger.taken.wish
	serial := ""
	if u.ledger.unit != nil {
		serial = u.ledger.unit.entry.Body.Serial
	}
	text := "Of what the search names: order, operator and days. Everything, where it names none."
	var f *form
	named := func(format string) string {
		return filepath.Join(u.cfg.Folder, "ledger-"+time.Now().Format(time.DateOnly)+exportEnding[format])
	}
	asks := []ask{
		{name: "export-format", label: "Format", options: exportFormats, changed: func(i int) {
			if f != nil {
				f.rows[len(f.rows)-1].field.setText(named(exportFormats[i].value))
			}
		}},
		{name: "export-result", label: "Runs that ended", options: exportResults},
		{name: "export-product", label: "Product", hint: "empty: any"},
		{name: "export-unit", label: "Unit", hint: "empty: all; an audit is about one", value: serial},
		{name: "export-file", label: "File", value: named(exportFormats[0].value)},
	}
	send := func(f *form) {
		v := f.values()
		wish := ExportWish{
			Format: v["export-format"], Order: w.Order, Product: v["export-product"], Serial: v["export-unit"],
			Operator: w.Operator, Result: v["export-result"], Since: w.From, Until: w.To,
		}
		if problem, row := wish.to(v["export-file"]); problem != "" {
			f.refuse(problem, row)
			u.threads.changed()
			return
		}
		f.close()
		u.export(wish)
	}
	f = newForm(u.palette, u.window.Canvas(), "Export", text, "Export", asks, send, func() {
		u.prompt = nil
		u.refocus()
		u.threads.changed()
	})
	u.prompt = f
	f.focus(0)
	u.threads.changed()
}

// to takes the file, and says what is wrong with the wish, in which row. A bundle and an audit are whole: nothing narrows them.
func (w *ExportWish) to(file string) (problem, row string) {
	var err error
	if w.File, err = filepath.Abs(file); err != nil || file == "" {
		return "Name the file to write.", "export-file"
	}
	if _, err := os.Lstat(w.File); err == nil {
		return "There is such a file already: name another one.", "export-file"
	}
	unit := w.Serial
	switch w.Format {
	case "audit":
		if unit == "" {
			return "Name the unit: its serial number.", "export-unit"
		}
		*w = ExportWish{Format: w.Format, File: w.File, Serial: unit}
	case "bundle":
		*w = ExportWish{Format: w.Format, File: w.File}
	}
	return "", ""
}

// export writes what was asked for, with a panel that shows how far it is.
func (u *UI) export(w ExportWish) {
	ctx, stop := context.WithCancel(u.threads.ctx)
	q := newExportPanel(u.palette, u.window.Canvas(), w.File, stop, func() {
		u.prompt = nil
		u.refocus()
		u.threads.changed()
	})
	u.prompt = q
	u.threads.changed()
	tell := latest(u.threads.report, func(done int64) {
		q.status.set(grouped(done)+" entries so far", u.palette.soft)
		u.threads.changed()
	})
	u.threads.aside(func(context.Context) func() {
		done, err := u.cfg.Export(ctx, w, tell)
		return func() {
			q.ended(done, err)
			u.threads.changed()
			u.refocus()
		}
	})
}

// exportPanel shows an export that goes on, and then what came of it.
type exportPanel struct {
	popup   *widget.PopUp
	palette *palette
	title   *line
	file    *paragraph
	status  *line
	digest  *line
	button  *button // cancels, then closes
	stop    context.CancelFunc
	over    bool
	gone    func()
}

func newExportPanel(p *palette, c fyne.Canvas, file string, stop context.CancelFunc, gone func()) *exportPanel {
	q := &exportPanel{
		palette: p, title: newLine(bold, fyne.TextAlignLeading), file: newParagraph(2), status: newLine(plain, fyne.TextAlignLeading),
		digest: newLine(mono, fyne.TextAlignLeading), stop: stop, gone: gone,
	}
	q.title.set("Exporting", p.text)
	q.file.set("", p.text, []string{file})
	q.status.set("It has its name when it is whole", p.soft)
	q.button = newButton("export-close", 18, q.press)
	q.button.set("Cancel", "", buttonLook{p.idle, p.edge, p.text}, true)
	objs := append([]fyne.CanvasObject{canvas.NewRectangle(p.back), q.title.Text, q.status.Text, q.digest.Text, q.button}, q.file.objects()...)
	q.popup = widget.NewModalPopUp(newBox(fyne.NewSize(780, 280), q.arrange, objs...), c)
	q.popup.Show()
	return q
}

func (q *exportPanel) arrange(s fyne.Size) {
	q.title.place(24, 14, s.Width-48, 44, 24)
	q.file.place(24, 66, s.Width-48, 2, 24, 17)
	q.status.placeWhole(24, 124, s.Width-48, 30, 16)
	q.digest.placeWhole(24, 158, s.Width-48, 30, 16)
	place(q.button, s.Width-24-200, s.Height-72, 200, 52)
}

// ended tells what came of it.
func (q *exportPanel) ended(done Exported, err error) {
	p := q.palette
	q.stop()
	q.over = true
	switch {
	case errors.Is(err, context.Canceled):
		q.title.set("Cancelled", p.text)
		q.status.set("Nothing was written under this name.", p.soft)
	case err != nil:
		q.title.set("Not exported", p.bad)
		q.status.set(err.Error(), p.bad)
	default:
		q.title.set("Exported", p.good)
		q.status.set(grouped(done.Rows)+" entries, "+grouped(done.Bytes)+" bytes, on record. SHA-256:", p.text)
		q.digest.set(done.SHA256, p.text)
	}
	q.button.set("Close", "", buttonLook{p.accent, p.accentHover, p.onAccent}, true)
	q.arrange(q.popup.Content.Size())
}

// press cancels what goes on; afterwards it closes the panel.
func (q *exportPanel) press() {
	if !q.over {
		q.stop()
		q.status.set("Cancelling", q.palette.soft)
		return
	}
	q.popup.Hide()
	q.gone()
}

// typed implements panel.
func (q *exportPanel) typed(key *fyne.KeyEvent) {
	if key.Name == fyne.KeyEscape {
		q.press()
	}
}

// confirm implements panel: it closes what is over, and cancels nothing.
func (q *exportPanel) confirm() {
	if q.over {
		q.press()
	}
}

// pressable implements panel.
func (q *exportPanel) pressable() []*button { return []*button{q.button} }

// field implements panel: there is nothing to type.
func (q *exportPanel) field() *field { return nil }
