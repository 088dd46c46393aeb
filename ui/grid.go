// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fyne.io/fyne/v2"

	"provisioning.example/station/internal/provision"
)

// gap is the space between cards, and the rim of the window.
const (
	gap = 12
	rim = 16
)

// grid holds one card for each slot in a number of columns that depends on
// the number of slots alone, so that a slot never changes its place.
type grid struct {
	box     *fyne.Container
	palette *palette
	steps   int
	retry   func(slot int)
	tap     func(provision.SlotView)
	cards   []*card
}

func newGrid(p *palette, steps int, retry func(int), tap func(provision.SlotView)) *grid {
	g := &grid{palette: p, steps: steps, retry: retry, tap: tap}
	g.box = newBox(fyne.NewSize(640, 320), g.arrange)
	return g
}

// columns is how many cards stand in a row.
func columns(slots int) int {
	switch {
	case slots <= 3:
		return max(slots, 1)
	case slots == 4:
		return 2
	case slots <= 6:
		return 3
	case slots <= 16:
		return 4
	case slots <= 20:
		return 5
	case slots <= 24:
		return 6
	default:
		return 8
	}
}

// show brings every card up to date.
func (g *grid) show(snap provision.Snapshot) {
	if len(g.cards) != len(snap.Slots) {
		g.rebuild(snap.Slots)
	}
	for i, v := range snap.Slots {
		asked := v.Slot == snap.ScanSlot && v.State == provision.Scan
		g.cards[i].show(v, asked, footnote(v, snap.Simulated))
	}
}

func (g *grid) rebuild(slots []provision.SlotView) {
	g.cards = nil
	g.box.Objects = nil
	for _, v := range slots {
		c := newCard(g.palette, v.Slot, g.steps, g.retry, g.tap)
		g.cards = append(g.cards, c)
		g.box.Objects = append(g.box.Objects, c)
	}
	g.arrange(g.box.Size())
	g.box.Refresh()
}

func (g *grid) arrange(s fyne.Size) {
	if len(g.cards) == 0 {
		return
	}
	cols := columns(len(g.cards))
	rows := (len(g.cards) + cols - 1) / cols
	w := (s.Width - gap*float32(cols-1)) / float32(cols)
	h := (s.Height - gap*float32(rows-1)) / float32(rows)
	for i, c := range g.cards {
		place(c, float32(i%cols)*(w+gap), float32(i/cols)*(h+gap), w, h)
	}
}
