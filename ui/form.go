// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"slices"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"
)

// form is a panel that asks for several things at once. Enter and Tab go to
// the next field, Up and Down there and back; Ctrl+Enter sends it, Escape
// leaves it.
type form struct {
	popup   *widget.PopUp
	canvas  fyne.Canvas
	palette *palette
	title   *line
	text    *paragraph
	problem *paragraph
	rows    []*formRow
	cancel  *button
	send    *button
	word    string // of send
	at      int    // row that has the keyboard
	busy    bool   // it was sent, and no answer came yet
	lines   int    // of text

	onSend func(*form) // takes what was typed; ends with finish
	onGone func()
}

// formRow asks for one thing.
type formRow struct {
	name    string // as describe tells it
	label   *line
	field   *field
	options []option // a choice: Left and Right change it; nil: text
	chosen  int
	changed func(int) // told what was chosen
	prev    *button
	next    *button
}

// option is one thing to choose.
type option struct{ value, word string }

// ask is what a form asks for.
type ask struct {
	name, label, hint, value string
	options                  []option
	secret                   bool
	changed                  func(int)
}

const (
	formWidth  = 720
	formLabel  = 150
	formRowH   = 56
	formText   = 4 // the most lines of text
	formFacing = 24
)

// newForm puts a form over the canvas. gone is called when it is no longer
// there, with nothing sent.
func newForm(p *palette, c fyne.Canvas, title, text, word string, asks []ask, send func(*form), gone func()) *form {
	f := &form{
		palette: p, title: newLine(bold, fyne.TextAlignLeading), text: newParagraph(formText), problem: newParagraph(2),
		canvas: c, word: word, onSend: send, onGone: gone,
	}
	f.title.set(title, p.text)
	f.text.set("", p.soft, []string{text})
	rows, _ := wrap(f.text.text, formWidth-2*formFacing, 0, 16, formText)
	f.lines = len(rows)
	objs := append([]fyne.CanvasObject{canvas.NewRectangle(p.back), f.title.Text}, f.text.objects()...)
	objs = append(objs, f.problem.objects()...)
	for i, a := range asks {
		r := f.newRow(i, a)
		f.rows = append(f.rows, r)
		objs = append(objs, r.label.Text, r.field)
		if r.options != nil {
			objs = append(objs, r.prev, r.next)
		}
	}
	f.cancel = newButton("form-cancel", 18, f.leave)
	f.cancel.set("Cancel", "", buttonLook{p.idle, p.edge, p.text}, true)
	f.send = newButton("form-send", 18, f.confirm)
	f.ready()
	objs = append(objs, f.cancel, f.send)
	height := 66 + float32(f.lines)*23 + 12 + float32(len(asks))*formRowH + 52 + 56 + 20
	f.popup = widget.NewModalPopUp(newBox(fyne.NewSize(formWidth, height), f.arrange, objs...), c)
	f.popup.Show()
	return f
}

func (f *form) newRow(i int, a ask) *formRow {
	p := f.palette
	r := &formRow{name: a.name, label: newLine(plain, fyne.TextAlignLeading), field: newField(p, ""), options: a.options, changed: a.changed}
	r.label.set(a.label, p.soft)
	r.field.setHint(a.hint)
	r.field.secret = a.secret
	r.field.setText(a.value)
	r.field.onSubmit = func(string) { f.submit(i) }
	r.field.onKey, r.field.onShortcut = f.typed, f.shortcut
	r.field.onEscape = func() bool { return true }
	r.field.onFocus = func() { f.at = i }
	if r.options != nil {
		r.field.fixed = true
		look := buttonLook{p.idle, p.edge, p.text}
		r.prev = newButton(a.name+"-back", 16, func() { f.pick(r, -1) })
		r.prev.set("", "older", look, true)
		r.next = newButton(a.name+"-next", 16, func() { f.pick(r, 1) })
		r.next.set("", "newer", look, true)
		f.pick(r, 0)
	}
	return r
}

func (f *form) arrange(s fyne.Size) {
	f.title.place(formFacing, 14, s.Width-2*formFacing, 44, 24)
	inner := s.Width - 2*formFacing
	f.text.place(formFacing, 62, inner, formText, 23, 16)
	y := 66 + float32(f.lines)*23 + 12
	for _, r := range f.rows {
		r.label.place(formFacing, y, formLabel-10, 44, 16)
		w := inner - formLabel
		if r.options != nil {
			w -= 104
			place(r.prev, formFacing+formLabel+w+8, y, 44, 44)
			place(r.next, formFacing+formLabel+w+60, y, 44, 44)
		}
		place(r.field, formFacing+formLabel, y, w, 44)
		y += formRowH
	}
	f.problem.place(formFacing, y, inner, 2, 22, 15)
	const w, h = 220, 52
	place(f.send, s.Width-formFacing-w, s.Height-h-20, w, h)
	place(f.cancel, s.Width-formFacing-2*w-16, s.Height-h-20, w, h)
}

// values are what was typed or chosen, by name. Secrets are not among them.
type values map[string]string

func (f *form) values() values {
	v := values{}
	for _, r := range f.rows {
		switch {
		case r.field.secret:
		case r.options != nil:
			v[r.name] = r.options[r.chosen].value
		default:
			v[r.name] = strings.TrimSpace(r.field.content())
		}
	}
	return v
}

// secret takes a secret out of its field, which is empty afterwards. Who gets
// it wipes it.
func (f *form) secret(name string) []byte {
	for _, r := range f.rows {
		if r.name == name {
			return r.field.takeSecret()
		}
	}
	return nil
}

// pick changes a choice.
func (f *form) pick(r *formRow, by int) {
	if len(r.options) == 0 || f.busy {
		return
	}
	r.chosen = (r.chosen + by + len(r.options)) % len(r.options)
	r.field.setText(r.options[r.chosen].word)
	if r.changed != nil {
		r.changed(r.chosen)
	}
}

// submit goes to the next field; from the last one, which no label of a board
// is scanned into by mistake, the form is sent.
func (f *form) submit(row int) {
	if row == len(f.rows)-1 {
		f.confirm()
		return
	}
	f.focus(row + 1)
}

func (f *form) focus(row int) {
	f.at = max(0, min(row, len(f.rows)-1))
	f.canvas.Focus(f.field()) // what was never drawn does not know its canvas yet
}

// typed implements panel.
func (f *form) typed(key *fyne.KeyEvent) {
	switch key.Name {
	case fyne.KeyEscape:
		f.leave()
	case fyne.KeyUp:
		f.focus(f.at - 1)
	case fyne.KeyDown:
		f.focus(f.at + 1)
	case fyne.KeyLeft:
		f.pick(f.rows[f.at], -1)
	case fyne.KeyRight:
		f.pick(f.rows[f.at], 1)
	}
}

// confirm implements panel: it sends the form.
func (f *form) confirm() {
	if f.busy {
		return
	}
	f.busy = true
	f.complain("")
	f.send.set("One moment", "", buttonLook{f.palette.idle, f.palette.idle, f.palette.onIdle}, false)
	f.onSend(f)
}

// shortcut is Ctrl+Enter, which the field that has the keyboard hands on.
func (f *form) shortcut(s fyne.Shortcut) {
	c, ok := s.(*desktop.CustomShortcut)
	if ok && c.Modifier == fyne.KeyModifierControl && (c.KeyName == fyne.KeyReturn || c.KeyName == fyne.KeyEnter) {
		f.confirm()
	}
}

// ready lets the form be sent.
func (f *form) ready() {
	f.busy = false
	f.send.set(f.word, "", buttonLook{f.palette.accent, f.palette.accentHover, f.palette.onAccent}, true)
}

// refuse says why what was sent cannot be, and gives the form back, with the
// keyboard in the named row.
func (f *form) refuse(problem, row string) {
	f.ready()
	f.complain(problem)
	f.focus(slices.IndexFunc(f.rows, func(r *formRow) bool { return r.name == row }))
}

func (f *form) complain(problem string) {
	f.problem.set("", f.palette.bad, []string{problem})
	f.arrange(f.popup.Content.Size())
}

// leave goes away with nothing sent; what was sent is waited for.
func (f *form) leave() {
	if !f.busy {
		f.close()
	}
}

// close takes the form off the screen and forgets its secrets.
func (f *form) close() {
	for _, r := range f.rows {
		if r.field.secret {
			clear(r.field.takeSecret())
		}
	}
	f.popup.Hide()
	f.onGone()
}

// pressable implements panel.
func (f *form) pressable() []*button {
	out := []*button{f.cancel, f.send}
	for _, r := range f.rows {
		if r.options != nil {
			out = append(out, r.prev, r.next)
		}
	}
	return out
}

// fields are where text goes, by name.
func (f *form) fields() (out []namedField) {
	for _, r := range f.rows {
		out = append(out, namedField{r.name, r.field})
	}
	return out
}

// field implements panel.
func (f *form) field() *field { return f.rows[f.at].field }
