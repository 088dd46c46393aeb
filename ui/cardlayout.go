// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fyne.io/fyne/v2"
)

// The three shapes of card, by the room the grid gives. Each is drawn for one
// size and scaled from there.
var (
	tallDesign  = fyne.NewSize(282, 293) // up to 8 slots in 1280 by 800
	wideDesign  = fyne.NewSize(282, 140) // 16 slots
	smallDesign = fyne.NewSize(135, 140) // 32 slots
)

// arrange lays the card out in whatever room it has.
func (c *card) arrange(s fyne.Size) {
	if s.Width < 1 || s.Height < 1 {
		return
	}
	place(c.plate, 0, 0, s.Width, s.Height)
	place(c.ring, 0, 0, s.Width, s.Height)
	c.body.set(c.bodyText())
	switch {
	case s.Width < 190:
		c.arrangeSmall(s, scaleOf(s, smallDesign))
	case s.Height < s.Width*0.75:
		c.arrangeWide(s, scaleOf(s, wideDesign))
	default:
		c.arrangeTall(s, scaleOf(s, tallDesign))
	}
}

// scaleOf is how much larger than its design a card may be drawn.
func scaleOf(s, design fyne.Size) float32 {
	return max(0.7, min(s.Width/design.Width, s.Height/design.Height, 3))
}

// arrangeTall: head, word, serial, segments, text and foot one under another.
func (c *card) arrangeTall(s fyne.Size, k float32) {
	pad, inner := 16*k, s.Width-32*k
	c.number.place(pad, 10*k, inner/2, 34*k, 26*k)
	c.elapsed.place(s.Width/2, 10*k, s.Width/2-pad, 34*k, 20*k)
	c.placeIcon(pad+1*k, 59*k, 46*k)
	c.word.placeWhole(pad+62*k, 44*k, s.Width-pad-62*k-8*k, 68*k, 56*k)
	c.serial.place(pad, 115*k, inner, 32*k, 23*k)
	c.placeSegments(pad, 153*k, inner, 8*k)
	foot, text := s.Height-38*k, 168*k
	if c.retryable() {
		foot = s.Height - 54*k
		c.placeRetry(pad, foot, 126*k, 40*k, 19*k)
		c.foot.place(pad+138*k, foot, inner-138*k, 40*k, 15*k)
	} else {
		c.foot.place(pad, foot, inner, 28*k, 15*k)
	}
	c.body.place(pad, text, inner, int((foot-text)/(22*k)), 22*k, 17*k)
}

// arrangeWide: word beside the number, the button beside the serial.
func (c *card) arrangeWide(s fyne.Size, k float32) {
	pad, inner := 12*k, s.Width-24*k
	c.number.place(pad, 6*k, 32*k, 46*k, 22*k)
	c.placeIcon(pad+34*k, 16*k, 31*k)
	word := inner - 74*k
	if c.elapsed.full != "" {
		word -= 58 * k
	}
	c.word.placeWhole(pad+74*k, 6*k, word, 46*k, 38*k)
	c.elapsed.place(s.Width-pad-62*k, 6*k, 62*k, 30*k, 16*k)
	serial := inner
	if c.retryable() {
		c.placeRetry(s.Width-pad-100*k, 52*k, 100*k, 30*k, 15*k)
		serial -= 108 * k
	}
	c.serial.place(pad, 52*k, serial, 28*k, 18*k)
	c.placeSegments(pad, 86*k, inner, 6*k)
	text, foot := 95*k, s.Height-8*k
	roomy := s.Height-text > 80*k
	if roomy {
		foot = s.Height - 30*k
		c.foot.place(pad, foot, inner, 24*k, 13*k)
	} else {
		c.foot.place(0, 0, 0, 0, 13*k)
	}
	c.body.place(pad, text, inner, int((foot-text)/(18*k)), 18*k, 14.5*k)
}

// arrangeSmall: the word, the serial's end and one line; tapping tells more.
func (c *card) arrangeSmall(s fyne.Size, k float32) {
	pad, inner := 8*k, s.Width-16*k
	c.number.place(pad, 3*k, inner/2, 24*k, 17*k)
	c.elapsed.place(s.Width/2, 3*k, s.Width/2-pad, 24*k, 14*k)
	c.placeIcon(pad, 33*k, 21*k)
	c.word.placeWhole(pad+27*k, 24*k, inner-22*k, 37*k, 26*k)
	c.serial.place(pad, 61*k, inner, 20*k, 14*k)
	c.placeSegments(pad, 84*k, inner, 5*k)
	text, foot := 90*k, s.Height-6*k
	switch {
	case c.retryable():
		foot = s.Height - 34*k
		c.placeRetry(pad, foot+2*k, inner, 26*k, 14*k)
		c.body.text = nil // the code alone: the button says what to do
	case c.view.Fault != nil:
		c.body.text = []string{c.view.Fault.Remedy}
	}
	c.foot.place(0, 0, 0, 0, 13*k)
	c.body.place(pad, text, inner, max(int((foot-text)/(14.5*k)), 1), 14.5*k, 12*k)
}

func (c *card) placeIcon(x, y, size float32) {
	c.icon.place(x, y, size)
	place(c.track, x, y, size, size)
	place(c.progress, x, y, size, size)
}

func (c *card) placeSegments(x, y, w, h float32) {
	n := float32(len(c.segments))
	gap := min(4, w/n/4)
	each := (w - gap*(n-1)) / n
	for i, s := range c.segments {
		place(s, x+float32(i)*(each+gap), y, each, h)
	}
}

func (c *card) placeRetry(x, y, w, h, size float32) {
	c.retry.size = size
	place(c.retry, x, y, w, h)
}
