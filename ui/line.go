// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"reflect"

	"fyne.io/fyne/v2"

	"provisioning.example/station/internal/provision"
)

// actions is what the screens may ask of the station. None of them blocks.
type actions struct {
	provision func()
	retry     func(slot int)
	resume    func()
	scan      func(label string)
	detail    func(provision.SlotView)
}

// lineScreen is what the technician sees all day. It draws a Snapshot and
// nothing else: the same snapshot always gives the same picture.
type lineScreen struct {
	box    *fyne.Container
	scan   *field
	header *header
	grid   *grid
	bar    *bar
	last   provision.Snapshot
}

func newLineScreen(p *palette, steps int, act actions) *lineScreen {
	l := &lineScreen{scan: newField(p, "scan")}
	l.scan.onSubmit = func(label string) {
		l.scan.clear()
		if label != "" {
			act.scan(label)
		}
	}
	l.header = newHeader(p, l.scan)
	l.grid = newGrid(p, steps, act.retry, act.detail)
	l.bar = newBar(p, act.provision, act.resume)
	l.box = newBox(fyne.NewSize(760, 520), l.arrange, l.header.box, l.grid.box, l.bar.box)
	return l
}

func (l *lineScreen) arrange(s fyne.Size) {
	k := max(1, min(s.Width/1196, s.Height/800, 2)) // head and bar grow with a large window
	head, foot := headHeight*k, barHeight*k
	inner := s.Width - 2*rim
	place(l.header.box, rim, 0, inner, head)
	place(l.bar.box, rim, s.Height-foot-gap, inner, foot)
	place(l.grid.box, rim, head, inner, s.Height-head-foot-2*gap)
}

// show draws a snapshot. Header and bar are left alone where only the cards
// changed, which is what happens ten times a second while boards run.
func (l *lineScreen) show(s provision.Snapshot) {
	rest, old := s, l.last
	rest.Slots, old.Slots = nil, nil
	if l.last = s; !reflect.DeepEqual(rest, old) {
		l.header.show(s)
	}
	l.bar.show(s)
	l.grid.show(s)
}

// retryable are the failed slots for which another try is the remedy.
func (l *lineScreen) retryable() []int {
	var slots []int
	for _, c := range l.grid.cards {
		if c.retryable() {
			slots = append(slots, c.view.Slot)
		}
	}
	return slots
}

// pressable are the buttons that can be seen.
func (l *lineScreen) pressable() []*button {
	out := []*button{l.bar.start}
	if l.last.Stopped != nil {
		out[0] = l.bar.banner.resume
	}
	for _, c := range l.grid.cards {
		if c.retryable() {
			out = append(out, c.retry)
		}
	}
	return out
}
