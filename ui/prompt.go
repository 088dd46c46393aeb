// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/widget"
)

// prompt is a panel over the screen: a question, or more about one thing. The
// first button is what Escape means; the last is what Enter means.
type prompt struct {
	popup   *widget.PopUp
	buttons []*button
	title   *line
	text    *paragraph
	facts   []*line // label, value, label, value
}

// answer is one button of a prompt.
type answer struct {
	name, word string
	strong     bool
	do         func() // after the panel is gone; nil: nothing
}

// promptLines is the most lines of text a panel shows.
const promptLines = 6

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
	height := 190 + float32(len(q.facts)/2)*28
	if text != "" {
		height += 70
	}
	q.popup = widget.NewModalPopUp(newBox(fyne.NewSize(640, height), q.arrange, objs...), c)
	q.popup.Show()
	return q
}

func (q *prompt) arrange(s fyne.Size) {
	q.title.place(24, 16, s.Width-48, 44, 26)
	y := float32(68)
	if q.text.text[0] != "" {
		q.text.place(24, y, s.Width-48, promptLines, 24, 18)
		y = s.Height - 92 - float32(len(q.facts)/2)*28
	}
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

// typed answers for the keyboard.
func (q *prompt) typed(key *fyne.KeyEvent) {
	switch key.Name {
	case fyne.KeyEscape:
		q.buttons[0].Tapped(nil)
	case fyne.KeyReturn, fyne.KeyEnter:
		q.buttons[len(q.buttons)-1].Tapped(nil)
	}
}

// has tells whether a button is one of the panel's.
func (q *prompt) has(b *button) bool { return slices.Contains(q.buttons, b) }
