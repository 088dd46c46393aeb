// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"path/filepath"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/widget"

	"provisioning.example/station/internal/figures"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

// plotKinds are the plots there are.
var plotKinds = [...]struct {
	name, word, file string
	title            func(*figures.Figures) string
	plot             func(*figures.Figures) figures.Plot
	legend           bool // bars have the colours of outcomes
}{
	{"plot-yield", "Yield", "yield", func(f *figures.Figures) string { return "Yield by " + f.Unit }, (*figures.Figures).YieldPlot, true},
	{"plot-faults", "Faults", "faults", func(*figures.Figures) string { return "Faults, the most frequent first" }, (*figures.Figures).ParetoPlot, false},
	{"plot-cycle", "Cycle time", "cycle-time", func(*figures.Figures) string { return "Cycle time of runs that passed" }, (*figures.Figures).CyclePlot, false},
}

// plotsPanel shows how runs ended, as plots over the ledger screen. Left and Right go from one to the next; Enter saves the one that is shown.
type plotsPanel struct {
	popup   *widget.PopUp
	palette *palette
	title   *line
	kinds   [len(plotKinds)]*button
	drawing *plot
	key     [4]*line // legend
	dots    [4]*canvas.Rectangle
	numbers *line
	file    *field
	save    *button
	leave   *button

	of      string // what was counted, for people
	at      int    // of plotKinds
	figures *figures.Figures
	stop    context.CancelFunc // of the count
	saving  bool               // a picture is on its way to the disk
	aside   func(func(context.Context) func())
	gone    func()
	changed func()
}

// plotsLeast is the panel's size; it fits the least window.
var plotsLeast = fyne.NewSize(820, 500)

// openPlots counts the runs that the search names (order and days), and shows them.
func (u *UI) openPlots() {
	if u.prompt != nil {
		return
	}
	w := u.ledger.taken.wish
	scope := provision.Scope{Order: w.Order, Since: w.From, Until: w.To}
	ctx, stop := context.WithCancel(u.threads.ctx)
	q := newPlotsPanel(u.palette, u.window.Canvas(), scope, u.cfg.Folder)
	q.stop, q.aside, q.changed, q.file.onShortcut = stop, u.threads.aside, u.threads.changed, u.shortcut
	q.gone = func() {
		u.prompt = nil
		u.refocus()
		u.threads.changed()
	}
	u.prompt = q
	u.refocus()
	u.threads.changed()
	tell := latest(u.threads.report, q.progress)
	u.threads.aside(func(context.Context) func() {
		f, err := countRuns(ctx, u.cfg.Reader, scope, tell)
		return func() { q.counted(f, err) }
	})
}

// countRuns goes once through the runs that ended; its memory does not grow with their number.
func countRuns(ctx context.Context, r *reader.Reader, scope provision.Scope, tell func(Progress)) (*figures.Figures, error) {
	moment, err := r.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer moment.Close() //nolint:errcheck // read only
	ends := reader.Query{Order: scope.Order, Kinds: []string{record.KindEnd}}
	all, err := moment.Count(ctx, ends)
	if err != nil {
		return nil, err
	}
	since, until := "", "9999"
	if !scope.Since.IsZero() {
		since = record.Timestamp(scope.Since)
	}
	if !scope.Until.IsZero() {
		until = record.Timestamp(scope.Until)
	}
	var c figures.Counter
	done := int64(0)
	for e, err := range moment.RawOf(ctx, ends) {
		if err != nil {
			return nil, err
		}
		b, err := record.Read(e.Raw)
		if err != nil {
			return nil, fmt.Errorf("entry %d of epoch %d: %w", e.Seq, e.Epoch, err)
		}
		if b.Time >= since && b.Time < until { // text order is time order
			if err := c.Add(&b); err != nil {
				return nil, fmt.Errorf("entry %d of epoch %d: %w", e.Seq, e.Epoch, err)
			}
		}
		if done++; done%2000 == 0 {
			tell(Progress{"Counting runs", done, int64(all)})
		}
	}
	return c.Figures(), ctx.Err()
}

func newPlotsPanel(p *palette, c fyne.Canvas, scope provision.Scope, folder string) *plotsPanel {
	q := &plotsPanel{
		palette: p, title: newLine(bold, fyne.TextAlignLeading), numbers: newLine(plain, fyne.TextAlignLeading),
		drawing: newPlot(p), file: newField(p, ""), of: "The whole ledger",
	}
	if scope != (provision.Scope{}) {
		q.of = scopeWords(scope)
	}
	objs := []fyne.CanvasObject{canvas.NewRectangle(p.back), q.title.Text, q.drawing.box, q.numbers.Text, q.file}
	for i, k := range plotKinds {
		q.kinds[i] = newButton(k.name, 16, func() { q.choose(i) })
		objs = append(objs, q.kinds[i])
	}
	for i, class := range outcomeClasses {
		q.dots[i], q.key[i] = canvas.NewRectangle(q.drawing.tint(class)), newLine(plain, fyne.TextAlignLeading)
		q.key[i].set(class, p.soft)
		objs = append(objs, q.dots[i], q.key[i].Text)
	}
	q.leave = newButton("plot-close", 18, q.close)
	q.leave.set("Close", "", buttonLook{p.idle, p.edge, p.text}, true)
	q.save = newButton("plot-save", 18, q.confirm)
	objs = append(objs, q.leave, q.save)
	q.file.setHint("file for the picture (PNG)")
	q.file.onSubmit = func(string) { q.confirm() }
	q.file.onKey = q.typed
	q.file.onEscape = func() bool { return true }
	q.file.setText(filepath.Join(folder, plotKinds[0].file+"-"+time.Now().Format(time.DateOnly)+".png"))
	q.popup = widget.NewModalPopUp(newBox(plotsLeast, q.arrange, objs...), c)
	q.popup.Resize(fyne.NewSize(min(1100, max(c.Size().Width-60, plotsLeast.Width)), min(680, max(c.Size().Height-40, plotsLeast.Height))))
	q.popup.Show()
	q.progress(Progress{Doing: "Counting runs"})
	q.show()
	return q
}

func (q *plotsPanel) arrange(s fyne.Size) {
	const edge = 20
	inner := s.Width - 2*edge
	q.title.place(edge, 10, inner-3*140-10, 48, 22)
	for i, b := range q.kinds {
		place(b, s.Width-edge-float32(len(q.kinds)-i)*140+10, 12, 130, 44)
	}
	place(q.drawing.box, edge, 66, inner, s.Height-66-30-34-80)
	y := s.Height - 80 - 34 - 28
	x := float32(edge + 50)
	for i := range q.key {
		place(q.dots[i], x, y+8, 12, 12)
		q.key[i].place(x+18, y, 90, 28, 15)
		x += 110
	}
	q.numbers.placeWhole(edge, s.Height-80-34, inner, 32, 16)
	place(q.file, edge, s.Height-70, inner-2*172, 52)
	place(q.leave, s.Width-edge-332, s.Height-70, 160, 52)
	place(q.save, s.Width-edge-160, s.Height-70, 160, 52)
}

// progress shows how far the count is.
func (q *plotsPanel) progress(p Progress) {
	text := p.Doing + ellipsis
	if p.All > 0 {
		text = fmt.Sprintf("%s: %s of %s", p.Doing, grouped(p.Done), grouped(p.All))
	}
	q.say(text, q.palette.soft)
}

func (q *plotsPanel) say(text string, ink color.Color) {
	q.numbers.set(text, ink)
	q.arrange(q.popup.Content.Size())
	if q.changed != nil {
		q.changed()
	}
}

// counted takes the figures.
func (q *plotsPanel) counted(f *figures.Figures, err error) {
	if err != nil {
		q.say("The runs could not be counted: "+err.Error(), q.palette.bad)
		return
	}
	q.figures = f
	q.show()
}

// summary is what was counted, in one line.
func (q *plotsPanel) summary() string {
	t := q.figures.Total
	return fmt.Sprintf("%s: %s runs ended, %s passed, %s failed, first-pass yield %s; median %s, 95"+nbsp+"%% up to %s",
		q.of, grouped(t.Runs()), grouped(t.Passed), grouped(t.Failed), t.Yield(), q.figures.Median, q.figures.Most)
}

// show brings everything up to date with the chosen plot.
func (q *plotsPanel) show() {
	p, kind := q.palette, plotKinds[q.at]
	for i, b := range q.kinds {
		look := buttonLook{p.idle, p.edge, p.text}
		if i == q.at {
			look = buttonLook{p.accent, p.accentHover, p.onAccent}
		}
		b.set(plotKinds[i].word, "", look, true)
	}
	for i := range q.key {
		show(q.key[i].Text, kind.legend)
		show(q.dots[i], kind.legend)
	}
	if q.figures == nil {
		q.title.set(kind.word, p.text)
		q.save.set("Save", "", buttonLook{p.idle, p.idle, p.onIdle}, false)
		return
	}
	q.title.set(kind.title(q.figures), p.text)
	q.drawing.show(kind.plot(q.figures))
	q.save.set("Save", "", buttonLook{p.accent, p.accentHover, p.onAccent}, true)
	q.say(q.summary(), p.soft)
}

// choose shows another plot. The file's name follows where it still is what was proposed.
func (q *plotsPanel) choose(i int) {
	dir, name := filepath.Split(q.file.content())
	was := plotKinds[q.at].file
	if len(name) >= len(was) && name[:len(was)] == was {
		q.file.setText(dir + plotKinds[i].file + name[len(was):])
	}
	q.at = i
	q.show()
}

// picture is the plot that is shown, for a file.
func (q *plotsPanel) picture() image.Image {
	kind := plotKinds[q.at]
	return picture(kind.title(q.figures), q.summary(), kind.plot(q.figures), kind.legend)
}

// confirm saves the plot that is shown as a picture. No window waits for a disk.
func (q *plotsPanel) confirm() {
	if q.figures == nil || q.saving {
		return
	}
	q.saving = true
	q.say("Saving"+ellipsis, q.palette.soft)
	path, err := filepath.Abs(q.file.content())
	drawn := q.picture()
	q.aside(func(context.Context) func() {
		if err == nil {
			err = savePNG(path, drawn)
		}
		return func() { q.saved(path, err) }
	})
}

func (q *plotsPanel) saved(path string, err error) {
	q.saving = false
	if err != nil {
		q.say("Not saved: "+err.Error(), q.palette.bad)
		return
	}
	q.say("Saved: "+path, q.palette.good)
}

// close gives up a count that is still going on.
func (q *plotsPanel) close() {
	q.stop()
	q.popup.Hide()
	q.gone()
}

// typed implements panel.
func (q *plotsPanel) typed(key *fyne.KeyEvent) {
	switch key.Name {
	case fyne.KeyEscape:
		q.close()
	case fyne.KeyPageDown, fyne.KeyRight:
		q.choose((q.at + 1) % len(plotKinds))
	case fyne.KeyPageUp, fyne.KeyLeft:
		q.choose((q.at + len(plotKinds) - 1) % len(plotKinds))
	}
}

// pressable implements panel.
func (q *plotsPanel) pressable() []*button {
	return append([]*button{q.leave, q.save}, q.kinds[:]...)
}

// field implements panel.
func (q *plotsPanel) field() *field { return q.file }

// fields are where text goes, by name.
func (q *plotsPanel) fields() []namedField { return []namedField{{"plot-file", q.file}} }
