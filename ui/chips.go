// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fmt"

	"fyne.io/fyne/v2"
)

// chips shows under the search field what the search was taken for. Pressing
// a meaning takes it out; pressing another one that the ledger knows, too,
// takes that instead.
type chips struct {
	box     *fyne.Container
	palette *palette
	all     []*button
	shown   int
	act     []func() // what pressing does, for each one shown
	hint    *line
}

const (
	maxChips   = maxTerms + 4
	chipHeight = 32
)

func newChips(p *palette) *chips {
	c := &chips{palette: p, hint: newLine(plain, fyne.TextAlignLeading)}
	c.hint.set("SN-0001   #48211   F-PROVE-02   failed   today   order:4711   operator:anna", p.soft)
	objs := []fyne.CanvasObject{c.hint.Text}
	for i := range maxChips {
		b := newButton(fmt.Sprintf("filter-%d", i+1), 14, func() { c.act[i]() })
		b.Hide()
		c.all = append(c.all, b)
		objs = append(objs, b)
	}
	c.box = newBox(fyne.NewSize(100, chipHeight), c.arrange, objs...)
	return c
}

// show shows what a search was taken for. edit gives the search another text
// for one of its terms.
func (c *chips) show(u understood, edit func(old term, text string)) {
	c.shown, c.act = 0, nil
	p := c.palette
	for _, part := range u.parts {
		took := buttonLook{mix(p.accent, p.back, 0.25), p.edge, p.text}
		word := part.took.text
		if part.problem != "" {
			took.ink, word = p.bad, part.problem
		}
		c.add(word, "clear", took, func() { edit(part.term, "") })
		for _, other := range part.others {
			c.add("or "+other.text+"?", "", buttonLook{p.idle, p.edge, p.soft}, func() { edit(part.term, other.String()) })
		}
	}
	for i, b := range c.all {
		show(b, i < c.shown)
	}
	show(c.hint.Text, c.shown == 0)
	c.arrange(c.box.Size())
}

func (c *chips) add(word, drawing string, look buttonLook, act func()) {
	if c.shown == len(c.all) {
		return
	}
	c.all[c.shown].set(word, drawing, look, true)
	c.act = append(c.act, act)
	c.shown++
}

func (c *chips) arrange(s fyne.Size) {
	c.hint.place(4, 0, s.Width-4, s.Height, 15)
	x := float32(0)
	for _, b := range c.all[:c.shown] {
		w := measure(b.label.full, 14, bold) + 30
		if b.icon.Visible() {
			w += 20
		}
		w = min(w, s.Width-x)
		place(b, x, 0, w, s.Height)
		show(b, w > 40)
		x += w + 8
	}
}

// pressable are the chips that can be seen.
func (c *chips) pressable() (out []*button) {
	for _, b := range c.all[:c.shown] {
		if b.Visible() {
			out = append(out, b)
		}
	}
	return out
}
