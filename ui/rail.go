// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"

	"provisioning.example/station/internal/provision"
)

// railWidth is the width of the strip at the left.
const railWidth = 84

// rail chooses the screen, and says on every screen what is not real.
type rail struct {
	box     *fyne.Container
	palette *palette
	plate   *canvas.Rectangle
	edge    *canvas.Rectangle
	tabs    []*button
	badges  []*badge
	chosen  int
}

// badge is a warning in two short lines that nobody can overlook.
type badge struct {
	plate       *canvas.Rectangle
	first, next *line
}

// tabs of the rail, in the order of Alt+1, Alt+2.
var railTabs = [...]struct{ name, word, icon string }{
	{"line", "Line", "line"},
	{"ledger", "Ledger", "ledger"},
}

func newRail(p *palette, choose func(int)) *rail {
	r := &rail{
		palette: p, plate: canvas.NewRectangle(p.rail), edge: canvas.NewRectangle(p.edge),
		badges: []*badge{newBadge(p, "DEMO", "boards"), newBadge(p, "SIMULATED", "TPM")},
	}
	objs := []fyne.CanvasObject{r.plate, r.edge}
	for i, t := range railTabs {
		b := newButton(t.name, 14, func() { choose(i) })
		b.upright = true
		r.tabs = append(r.tabs, b)
		objs = append(objs, b)
	}
	for _, b := range r.badges {
		objs = append(objs, b.plate, b.first.Text, b.next.Text)
		b.visible(false)
	}
	r.box = newBox(fyne.NewSize(railWidth, 320), r.arrange, objs...)
	r.choose(0)
	return r
}

// choose marks the screen that is shown.
func (r *rail) choose(chosen int) {
	r.chosen = chosen
	p := r.palette
	for i, b := range r.tabs {
		look := buttonLook{back: p.rail, hover: p.idle, ink: p.soft}
		if i == chosen {
			busy := p.states[provision.Busy].back
			look = buttonLook{back: busy, hover: busy, ink: white}
		}
		b.set(railTabs[i].word, railTabs[i].icon, look, true)
	}
}

func (r *rail) show(s provision.Snapshot) {
	if r.badges[0].plate.Visible() == s.Demo && r.badges[1].plate.Visible() == s.Simulated {
		return
	}
	r.badges[0].visible(s.Demo)
	r.badges[1].visible(s.Simulated)
	r.arrange(r.box.Size())
}

func (r *rail) arrange(s fyne.Size) {
	place(r.plate, 0, 0, s.Width-1, s.Height)
	place(r.edge, s.Width-1, 0, 1, s.Height)
	for i, b := range r.tabs {
		place(b, 6, 10+float32(i)*76, s.Width-12, 70)
	}
	y := s.Height - gap
	for i := len(r.badges) - 1; i >= 0; i-- {
		if b := r.badges[i]; b.plate.Visible() {
			y -= 46
			b.place(6, y, s.Width-12, 46)
			y -= 8
		}
	}
}

func newBadge(p *palette, first, next string) *badge {
	b := &badge{
		plate: &canvas.Rectangle{FillColor: p.badge, CornerRadius: 6},
		first: newLine(bold, fyne.TextAlignCenter), next: newLine(bold, fyne.TextAlignCenter),
	}
	var ink color.Color = p.onBadge
	b.first.set(first, ink)
	b.next.set(next, ink)
	return b
}

func (b *badge) visible(on bool) {
	show(b.plate, on)
	show(b.first.Text, on)
	show(b.next.Text, on)
}

func (b *badge) place(x, y, w, h float32) {
	place(b.plate, x, y, w, h)
	b.first.place(x+1, y+4, w-2, h/2-4, 11.5)
	b.next.place(x+1, y+h/2, w-2, h/2-4, 11.5)
}
