// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fmt"
	"image/color"
	"strconv"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/widget"

	"provisioning.example/station/internal/provision"
)

// cardLines is the most lines of plain text a card ever shows.
const cardLines = 8

// ringHole is the share of the busy ring that is hole.
const ringHole = 0.72

// card shows one slot: a word, an icon and a colour to be read from three
// metres, and under them what the person at the bench needs to know. Its size
// is the grid's business alone.
type card struct {
	widget.BaseWidget
	palette *palette
	retry   *button
	onTap   func(provision.SlotView)

	view  provision.SlotView
	asked bool // the scan field asks for this slot's label
	drawn bool
	note  string // the small line at the foot

	plate, ring     *canvas.Rectangle
	icon            *icon
	track, progress *canvas.Arc // the busy ring
	number, elapsed *line
	word, serial    *line
	foot            *line
	body            *paragraph
	segments        []*canvas.Rectangle
}

var _ fyne.Tappable = (*card)(nil)

// newCard makes the card of a slot for a procedure of so many steps.
func newCard(p *palette, slot, steps int, retry func(slot int), tap func(provision.SlotView)) *card {
	c := &card{
		palette: p, onTap: tap,
		plate: &canvas.Rectangle{CornerRadius: 12},
		ring:  &canvas.Rectangle{CornerRadius: 12, StrokeWidth: 4, StrokeColor: p.badge, FillColor: color.Transparent},
		icon:  newIcon(), track: canvas.NewArc(0, 360, ringHole, white),
		progress: canvas.NewArc(0, 0, ringHole, white),
		number:   newLine(plain, fyne.TextAlignLeading), elapsed: newLine(plain, fyne.TextAlignTrailing),
		word: newLine(bold, fyne.TextAlignLeading), serial: newLine(mono, fyne.TextAlignLeading),
		foot: newLine(plain, fyne.TextAlignLeading), body: newParagraph(cardLines),
	}
	c.serial.keepEnd = true
	c.retry = newButton(fmt.Sprintf("retry-%d", slot), 19, func() { retry(slot) })
	for range steps {
		c.segments = append(c.segments, &canvas.Rectangle{CornerRadius: 3})
	}
	c.ExtendBaseWidget(c)
	return c
}

// CreateRenderer implements fyne.Widget.
func (c *card) CreateRenderer() fyne.WidgetRenderer {
	objs := []fyne.CanvasObject{
		c.plate, c.ring, c.icon.Image, c.track, c.progress,
		c.number.Text, c.elapsed.Text, c.word.Text, c.serial.Text, c.foot.Text,
	}
	for _, s := range c.segments {
		objs = append(objs, s)
	}
	objs = append(objs, c.body.objects()...)
	objs = append(objs, c.retry)
	return widget.NewSimpleRenderer(newBox(fyne.NewSize(96, 96), c.arrange, objs...))
}

// show brings the card up to date. A card of which only the time changed
// redraws its time only.
func (c *card) show(v provision.SlotView, asked bool, note string) {
	same := c.drawn && c.asked == asked && c.note == note
	old := c.view
	c.view, c.asked, c.note, c.drawn = v, asked, note, true
	c.elapsed.set(elapsed(v), c.fill().soft)
	old.Elapsed = v.Elapsed
	if same && old == v {
		return
	}
	c.draw()
	c.arrange(c.Size())
}

func (c *card) fill() fill { return c.palette.states[c.view.State] }

func (c *card) draw() {
	f, v := c.fill(), c.view
	c.plate.FillColor = f.back
	c.plate.Refresh()
	show(c.ring, c.asked)
	c.number.set(strconv.Itoa(v.Slot), f.soft)
	c.word.set(v.State.String(), f.text)
	c.serial.set(v.Serial, f.text)
	c.foot.set(c.note, f.soft)
	c.drawIcon(f)
	c.drawSegments(f)
	c.retry.set("RETRY", "retry", buttonLook{back: white, hover: mix(white, f.back, 0.88), ink: f.back}, c.retryable())
	show(c.retry, c.retryable())
}

// bodyText is what the card says in words: the fault, or the note.
func (c *card) bodyText() (head string, ink color.Color, parts []string) {
	if v := c.view; v.State == provision.Fail && v.Fault != nil {
		return v.Fault.Code, c.fill().text, []string{v.Fault.Sentence, v.Fault.Remedy}
	}
	if c.view.State == provision.Pass && c.view.Entry > 0 {
		return "", c.fill().text, []string{"entry " + grouped(c.view.Entry)}
	}
	return "", c.fill().text, []string{c.view.Note}
}

// retryable: trying again may help, at once or once the station is mended.
func (c *card) retryable() bool {
	v := c.view
	return v.State == provision.Fail && v.Fault != nil && v.Fault.Action != provision.RejectUnit
}

var stateIcons = [...]string{
	provision.Empty: "empty", provision.Scan: "scan", provision.Ready: "ready",
	provision.Busy: "", provision.Pass: "pass", provision.Fail: "fail",
}

// drawIcon shows a drawing, or while busy a ring that fills with the steps.
func (c *card) drawIcon(f fill) {
	busy := c.view.State == provision.Busy
	show(c.icon.Image, !busy)
	show(c.track, busy)
	show(c.progress, busy)
	if !busy {
		c.icon.set(stateIcons[c.view.State], f.text)
		return
	}
	c.track.FillColor = f.rest
	c.progress.FillColor = f.text
	done := (float32(max(c.view.Step, 0)) + 0.5) / float32(max(len(c.segments), 1))
	c.progress.StartAngle, c.progress.EndAngle = 0, 360*min(done, 1)
	c.track.Refresh()
	c.progress.Refresh()
}

func (c *card) drawSegments(f fill) {
	for i, s := range c.segments {
		tint := f.rest
		switch {
		case c.view.State == provision.Empty:
		case c.view.State == provision.Pass, i < c.view.Step:
			tint = f.done
		case i == c.view.Step:
			tint = f.now
		}
		if s.FillColor != tint {
			s.FillColor = tint
			s.Refresh()
		}
		show(s, c.view.State != provision.Empty)
	}
}

// Tapped implements fyne.Tappable.
func (c *card) Tapped(*fyne.PointEvent) { c.onTap(c.view) }

// elapsed is how long the slot's run has taken, "" where there was none.
func elapsed(v provision.SlotView) string {
	if v.Elapsed <= 0 || v.State < provision.Busy {
		return ""
	}
	if v.Elapsed >= time.Minute {
		whole := v.Elapsed.Truncate(time.Second)
		return fmt.Sprintf("%d:%02d", whole/time.Minute, whole%time.Minute/time.Second)
	}
	return fmt.Sprintf("%.1f s", v.Elapsed.Truncate(100*time.Millisecond).Seconds())
}
