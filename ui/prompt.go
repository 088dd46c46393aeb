// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/widget"
)

// prompt is a panel over the screen: a question, or more about one thing. The
// first button is what Escape means, the last what Ctrl+Enter means.
type prompt struct {
	popup   *widget.PopUp
	buttons []*button
	title   *line
	text    *paragraph
	rows    float32 // how many the text takes
	facts   []*line // label, value, label, value
}

// answer is one button of a prompt.
type answer struct {
	name, word string
	strong     bool
	do         func() // after the panel is gone; nil: nothing
}

const (
	promptLines = 6   // the most lines of text a panel shows
	panelWidth  = 640 // of a panel
)

// newPrompt puts a panel over the canvas. done is called once it is gone.
func newPrompt(p *palette, c fyne.Canvas, title, text string, facts [][2]string, done func(), answers ...answer) *prompt {
	q := &prompt{title: newLine(bold, fyne.TextAlignLeading), text: newParagraph(promptLines)}
	q.title.set(title, p.text)
	q.text.set("", p.text, []string{text})
	objs := append([]fyne.CanvasObject{canvas.NewRectangle(p.back), q.title.Text}, q.text.objects()...)
	for _, f := range facts {
		label, value := newLine(plain, fyne.TextAlignLeading), newLine(mono, fyne.TextAlignLeading)
		label.set(f[0], p.soft)
		value.set(f[1], p.text)
		q.facts = append(q.facts, label, value)
		objs = append(objs, label.Text, value.Text)
	}
	for _, a := range answers {
		b := newButton(a.name, 20, func() {
			q.popup.Hide()
			done()
			if a.do != nil {
				a.do()
			}
		})
		look := buttonLook{p.idle, p.edge, p.text}
		if a.strong {
			look = buttonLook{p.accent, p.accentHover, p.onAccent}
		}
		b.set(a.word, "", look, true)
		q.buttons = append(q.buttons, b)
		objs = append(objs, b)
	}
	rows, _ := wrap(q.text.text, panelWidth-48, 0, 18, promptLines)
	q.rows = float32(len(rows))
	height := 68 + q.rows*25 + float32(len(facts))*28 + 108
	q.popup = widget.NewModalPopUp(newBox(fyne.NewSize(panelWidth, height), q.arrange, objs...), c)
	q.popup.Show()
	return q
}

func (q *prompt) arrange(s fyne.Size) {
	q.title.place(24, 16, s.Width-48, 44, 26)
	q.text.place(24, 68, s.Width-48, promptLines, 25, 18)
	y := 68 + q.rows*25 + 12
	for i := 0; i < len(q.facts); i += 2 {
		q.facts[i].place(24, y, 150, 28, 16)
		q.facts[i+1].place(180, y, s.Width-204, 28, 16)
		y += 28
	}
	const w, h = 240, 56
	x := s.Width - 24
	for i := len(q.buttons) - 1; i >= 0; i-- {
		x -= w
		place(q.buttons[i], x, s.Height-h-20, w, h)
		x -= 16
	}
}

// typed answers for the keyboard. Enter says nothing here: it may be the end of
// a label that somebody scanned without looking.
func (q *prompt) typed(key *fyne.KeyEvent) {
	if key.Name == fyne.KeyEscape {
		q.buttons[0].Tapped(nil)
	}
}

// confirm presses the last button, for Ctrl+Enter.
func (q *prompt) confirm() { q.buttons[len(q.buttons)-1].Tapped(nil) }

// pressable are all its buttons.
func (q *prompt) pressable() []*button { return q.buttons }

// field is nil: a question takes no text.
func (q *prompt) field() *field { return nil }
