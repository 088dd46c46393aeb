// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"slices"
	"strings"

	"fyne.io/fyne/v2"

	"provisioning.example/station/internal/provision"
)

// description is the screen for a machine: one line of JSON whenever it
// changed. Places are pixels from the upper left corner of the window's
// content, so that a test can press what a person would press.
type description struct {
	Screen   string            `json:"screen"`
	Buttons  []describedButton `json:"buttons"`
	Slots    []describedSlot   `json:"slots"`
	Counters describedCounters `json:"counters"`
	Message  string            `json:"message,omitempty"` // what the scan field complains about
	Stopped  string            `json:"stopped,omitempty"` // the code of the fault that stopped the line
	Ledger   *describedLedger  `json:"ledger,omitempty"`  // the ledger screen, while it is shown
}

// describedLedger tells what the ledger screen shows.
type describedLedger struct {
	Rows    int      `json:"rows"`              // of the page
	Status  string   `json:"status"`            // under the list
	Filters []string `json:"filters"`           // what the search was taken for
	Pane    string   `json:"pane"`              // title of what is beside the list
	Note    string   `json:"note"`              // and the line under it
	Page    string   `json:"page"`              // of it
	Form    string   `json:"form,omitempty"`    // title of the form over the screen
	Refused string   `json:"refused,omitempty"` // why the form was not taken
}

type describedButton struct {
	Name    string `json:"name"`
	X       int    `json:"x"`
	Y       int    `json:"y"`
	W       int    `json:"w"`
	H       int    `json:"h"`
	Enabled bool   `json:"enabled"`
	Over    bool   `json:"over,omitempty"` // the pointer is over it
	Held    bool   `json:"held,omitempty"` // and presses it
}

type describedSlot struct {
	Slot   int    `json:"slot"`
	State  string `json:"state"`
	Serial string `json:"serial"`
	Step   string `json:"step"` // code of the step under way or failed, "" before the first and after the last
	Fault  string `json:"fault"`
	Entry  int64  `json:"entry"`
}

type describedCounters struct {
	Passed    int `json:"passed"`
	Failed    int `json:"failed"`
	FirstPass int `json:"first_pass"`
	PerHour   int `json:"per_hour"`
	Ready     int `json:"ready"`
}

// describeButton finds a button on the canvas.
func describeButton(c fyne.Canvas, o fyne.CanvasObject, name string, enabled bool) describedButton {
	pos := fyne.CurrentApp().Driver().AbsolutePositionForObject(o)
	x, y := c.PixelCoordinateForPosition(pos)
	right, bottom := c.PixelCoordinateForPosition(pos.AddXY(o.Size().Width, o.Size().Height))
	return describedButton{Name: name, X: x, Y: y, W: right - x, H: bottom - y, Enabled: enabled}
}

// describeSlots tells the slots without their times, which change all the
// while.
func describeSlots(views []provision.SlotView, steps []provision.StepInfo) []describedSlot {
	out := make([]describedSlot, 0, len(views))
	for _, v := range views {
		d := describedSlot{Slot: v.Slot, State: v.State.String(), Serial: v.Serial, Entry: v.Entry}
		if v.Step >= 0 && v.Step < len(steps) {
			d.Step = steps[v.Step].Code
		}
		if v.Fault != nil {
			d.Fault = v.Fault.Code
		}
		out = append(out, d)
	}
	return out
}

// describe tells what is on the screen.
func (u *UI) describe() *description {
	c, snap := u.window.Canvas(), u.line.last
	d := &description{
		Screen:  railTabs[u.screen].name,
		Slots:   describeSlots(snap.Slots, u.steps),
		Message: u.line.scan.problem,
		Counters: describedCounters{
			Passed: snap.Counters.Passed, Failed: snap.Counters.Failed,
			FirstPass: snap.Counters.FirstPass, PerHour: snap.Counters.PerHour, Ready: snap.Ready,
		},
	}
	if snap.Stopped != nil {
		d.Stopped = snap.Stopped.Code
	}
	if u.screen == 1 {
		d.Ledger = u.describeLedger()
	}
	free := u.prompt == nil
	for _, b := range u.pressable() {
		b.watched = u.threads.changed // who presses waits for the pointer to arrive
		button := describeButton(c, b, b.name, b.enabled && (free || slices.Contains(u.prompt.pressable(), b)))
		button.Over, button.Held = b.hovered, b.held
		d.Buttons = append(d.Buttons, button)
	}
	d.Buttons = append(d.Buttons, describeButton(c, u.field(), "field", free))
	if f, ok := u.prompt.(interface{ fields() []namedField }); ok {
		for _, n := range f.fields() {
			d.Buttons = append(d.Buttons, describeButton(c, n.field, n.name, true))
		}
	}
	return d
}

func (u *UI) describeLedger() *describedLedger {
	l := u.ledger
	p := l.pane
	d := &describedLedger{
		Rows: len(l.entries), Status: l.status.full, Filters: []string{},
		Pane: p.title.full, Note: p.note.full, Page: p.sheet.pages[p.shown].name,
	}
	for _, part := range l.taken.parts {
		d.Filters = append(d.Filters, part.took.text)
	}
	if f, ok := u.prompt.(*form); ok {
		d.Form, d.Refused = f.title.full, strings.Join(f.problem.text, " ")
	}
	return d
}

// pressable are the buttons that can be seen now.
func (u *UI) pressable() []*button {
	out := append([]*button{}, u.rail.tabs...)
	if u.screen == 1 {
		out = append(out, u.ledger.pressable()...)
	} else {
		out = append(out, u.line.pressable()...)
	}
	if u.prompt != nil {
		out = append(out, u.prompt.pressable()...)
	}
	return out
}
