// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"slices"
	"strings"
	"unicode/utf8"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"
)

// maxLabel bounds what a scanner, or a cat on the keyboard, may type.
const maxLabel = 256

// field is the one line the keyboard and the scanner write into. It differs
// from the toolkit's entry where a bench needs it to: Tab ends the text as
// Enter does, keys it has no use for go on to the window, and its caret stands
// still (a blinking one costs a seventh of a core without a graphics card).
type field struct {
	widget.BaseWidget
	onSubmit   func(text string)    // Enter or Tab
	onChange   func(text string)    // nil: nobody asks
	onKey      func(*fyne.KeyEvent) // keys that edit nothing
	onShortcut func(shortcut fyne.Shortcut)
	onBlur     func()
	onFocus    func()      // nil: nobody asks
	onEscape   func() bool // true: Escape was for something else than the text; nil: it never is

	palette *palette
	text    []rune
	hint    string
	problem string // shown in place of the hint until the next key
	focused bool
	fresh   bool // the next letter begins another text
	secret  bool // what is written is not shown, not copied, and wiped when it is taken
	fixed   bool // nothing can be written

	plate *canvas.Rectangle
	mark  *icon
	words *line
	caret *canvas.Rectangle
}

var (
	_ fyne.Focusable     = (*field)(nil)
	_ fyne.Shortcutable  = (*field)(nil)
	_ fyne.Tabbable      = (*field)(nil)
	_ fyne.Tappable      = (*field)(nil)
	_ desktop.Cursorable = (*field)(nil)
)

func newField(p *palette, drawing string) *field {
	f := &field{
		palette: p, mark: newIcon(), words: newLine(plain, fyne.TextAlignLeading),
		plate: &canvas.Rectangle{FillColor: p.field, CornerRadius: 8, StrokeWidth: 2},
		caret: canvas.NewRectangle(p.fieldEdge),
	}
	f.words.keepEnd = true
	if drawing == "" {
		f.mark.Hide()
	} else {
		f.mark.set(drawing, p.soft)
	}
	f.caret.Hide()
	f.ExtendBaseWidget(f)
	f.draw()
	return f
}

// setHint says what is wanted while nothing is written. A new wish makes an
// old complaint out of date.
func (f *field) setHint(hint string) {
	if f.hint != hint {
		f.hint, f.problem = hint, ""
		f.draw()
	}
}

// complain shows why the last text was refused, until the next key.
func (f *field) complain(problem string) {
	f.problem = problem
	f.draw()
}

// clear empties the field.
func (f *field) clear() { f.edit(nil) }

// takeSecret gives away what was typed and leaves nothing of it in the field.
// Who gets it wipes it.
func (f *field) takeSecret() []byte {
	out := make([]byte, 0, len(f.text)*utf8.UTFMax)
	for _, r := range f.text {
		out = utf8.AppendRune(out, r)
	}
	clear(f.text[:cap(f.text)])
	f.edit(f.text[:0])
	return out
}

// setText puts other text into the field.
func (f *field) setText(text string) { f.edit([]rune(text)) }

// content is what stands in the field.
func (f *field) content() string { return string(f.text) }

func (f *field) edit(text []rune) {
	changed := !slices.Equal(text, f.text)
	f.text, f.problem = text, ""
	f.draw()
	if changed && f.onChange != nil {
		f.onChange(string(text))
	}
}

// draw brings colours, words and caret up to date.
func (f *field) draw() {
	p := f.palette
	edge := p.edge
	switch {
	case f.problem != "":
		edge = p.bad
	case f.focused:
		edge = p.fieldEdge
	}
	if f.plate.StrokeColor != edge {
		f.plate.StrokeColor = edge
		f.plate.Refresh()
	}
	switch {
	case f.problem != "":
		f.words.keepEnd = false
		f.words.set(f.problem, p.bad)
	case f.secret && len(f.text) > 0:
		f.words.set(strings.Repeat("•", len(f.text)), p.text)
	case len(f.text) > 0:
		f.words.keepEnd = true
		f.words.set(string(f.text), p.text)
	default:
		f.words.keepEnd = false
		f.words.set(f.hint, p.soft)
	}
	f.placeCaret()
}

// CreateRenderer implements fyne.Widget.
func (f *field) CreateRenderer() fyne.WidgetRenderer {
	box := newBox(fyne.NewSize(120, 40), f.arrange, f.plate, f.mark.Image, f.words.Text, f.caret)
	return widget.NewSimpleRenderer(box)
}

func (f *field) arrange(s fyne.Size) {
	place(f.plate, 0, 0, s.Width, s.Height)
	side := s.Height * 0.42
	f.mark.place(16, (s.Height-side)/2, side)
	left := 16 + side + 12
	if !f.mark.Visible() {
		left = 16
	}
	f.words.place(left, 0, s.Width-left-16, s.Height, s.Height*0.385)
	f.placeCaret()
}

func (f *field) placeCaret() {
	show(f.caret, f.focused && !f.fixed)
	x := f.words.Position().X - 4
	if len(f.text) > 0 && f.problem == "" {
		x += measure(f.words.Text.Text, f.words.TextSize, plain) + 5
	}
	h := f.words.TextSize * 1.3
	place(f.caret, x, (f.Size().Height-h)/2, 2, h)
}

// FocusGained implements fyne.Focusable.
func (f *field) FocusGained() {
	f.focused = true
	f.draw()
	if f.onFocus != nil {
		f.onFocus()
	}
}

// FocusLost implements fyne.Focusable.
func (f *field) FocusLost() {
	f.focused = false
	f.draw()
	if f.onBlur != nil {
		f.onBlur()
	}
}

// AcceptsTab implements fyne.Tabbable: some scanners end with Tab.
func (f *field) AcceptsTab() bool { return true }

// TypedRune implements fyne.Focusable.
func (f *field) TypedRune(r rune) {
	if f.fresh {
		f.text, f.fresh = nil, false
	}
	if f.fixed || r < ' ' || r == 0x7f || len(f.text) >= maxLabel {
		return
	}
	if f.secret && cap(f.text) < maxLabel {
		f.text = append(make([]rune, 0, maxLabel), f.text...) // it never moves, so that all of it can be wiped
	}
	f.edit(append(f.text, r))
}

// TypedKey implements fyne.Focusable.
func (f *field) TypedKey(key *fyne.KeyEvent) {
	switch key.Name {
	case fyne.KeyReturn, fyne.KeyEnter, fyne.KeyTab:
		text := ""
		if !f.secret { // who wants that takes it; a copy of it here, nobody could wipe
			text = strings.TrimSpace(string(f.text))
		}
		f.onSubmit(text)
	case fyne.KeyBackspace, fyne.KeyDelete:
		if f.fresh = false; f.fixed {
			return
		}
		f.edit(f.text[:max(len(f.text)-1, 0)])
	case fyne.KeyEscape:
		if f.onEscape == nil || !f.onEscape() {
			f.clear()
		}
		f.onKey(key)
	default:
		f.onKey(key)
	}
}

// TypedShortcut implements fyne.Shortcutable. A focused object swallows the
// window's shortcuts, so all but pasting and copying are handed on.
func (f *field) TypedShortcut(s fyne.Shortcut) {
	switch s := s.(type) {
	case *fyne.ShortcutPaste:
		first, _, _ := strings.Cut(s.Clipboard.Content(), "\n")
		for _, r := range strings.TrimSpace(first) {
			f.TypedRune(r)
		}
	case *fyne.ShortcutCopy:
		if !f.secret {
			s.Clipboard.SetContent(string(f.text))
		}
	default:
		f.onShortcut(s)
	}
}

// Tapped implements fyne.Tappable.
func (f *field) Tapped(*fyne.PointEvent) {
	if c := fyne.CurrentApp().Driver().CanvasForObject(f); c != nil {
		c.Focus(f)
	}
}

// Cursor implements desktop.Cursorable.
func (f *field) Cursor() desktop.Cursor { return desktop.TextCursor }
