// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"

	"provisioning.example/station/internal/provision"
)

// headHeight is the height of the strip above the cards as it was drawn; on a
// larger window it is scaled.
const headHeight = 80

// header names what is being built, asks for the label and tells who is at
// the bench and how the station is.
type header struct {
	box     *fyne.Container
	palette *palette
	scan    *field

	product, order *line
	track, done    *canvas.Rectangle // the order's progress
	share          float32
	operator, role *line
	lights         []*icon
	organs         []*line
}

// maxOrgans bounds the health line.
const maxOrgans = 4

func newHeader(p *palette, scan *field) *header {
	h := &header{
		palette: p, scan: scan,
		product: newLine(bold, fyne.TextAlignLeading), order: newLine(plain, fyne.TextAlignLeading),
		track: &canvas.Rectangle{FillColor: p.barNone, CornerRadius: 2}, done: &canvas.Rectangle{FillColor: p.bar, CornerRadius: 2},
		operator: newLine(bold, fyne.TextAlignLeading), role: newLine(plain, fyne.TextAlignTrailing),
	}
	objs := []fyne.CanvasObject{scan, h.product.Text, h.order.Text, h.track, h.done, h.operator.Text, h.role.Text}
	for range maxOrgans {
		light, organ := newIcon(), newLine(plain, fyne.TextAlignLeading)
		light.Hide()
		h.lights, h.organs = append(h.lights, light), append(h.organs, organ)
		objs = append(objs, light.Image, organ.Text)
	}
	h.box = newBox(fyne.NewSize(720, headHeight), h.arrange, objs...)
	return h
}

func (h *header) show(s provision.Snapshot) {
	p := h.palette
	h.product.set(s.Product, p.text)
	h.order.set(orderLine(s), p.soft)
	h.share = 0
	if s.Quantity > 0 {
		h.share = min(float32(s.Done)/float32(s.Quantity), 1)
	}
	show(h.track, s.Quantity > 0)
	show(h.done, h.share > 0)
	h.operator.set(s.Operator, p.text)
	h.role.set(s.Role, p.soft)
	h.scan.setHint(scanHint(s.ScanSlot))
	for i := range maxOrgans {
		on := i < len(s.Health)
		if !on {
			h.organs[i].set("", p.soft)
			continue
		}
		name, light, text := healthLook(p, s.Health[i].Level)
		h.lights[i].set(name, light)
		h.organs[i].set(s.Health[i].Name, text)
	}
	h.arrange(h.box.Size())
}

func (h *header) arrange(s fyne.Size) {
	k := s.Height / headHeight
	side := min(300*k, s.Width*0.26)
	h.product.place(0, 10*k, side, 32*k, 22*k)
	h.order.place(0, 38*k, side, 22*k, 15.5*k)
	bar := min(side, 200*k)
	place(h.track, 0, 64*k, bar, 4*k)
	place(h.done, 0, 64*k, bar*h.share, 4*k)
	right := max(min(230*k, s.Width*0.22), 210)
	place(h.scan, side+14, 14*k, s.Width-side-right-28, 52*k)
	h.arrangePerson(s.Width, right, k)
	h.arrangeHealth(s.Width, right, k)
}

// arrangePerson sets name and role flush right, the name giving way.
func (h *header) arrangePerson(width, room, k float32) {
	role := min(measure(h.role.full, 15*k, plain)+1, room/2)
	h.role.place(width-role, 19*k, role, 24*k, 15*k)
	name := min(measure(h.operator.full, 18*k, bold)+1, room-role-6)
	h.operator.place(width-role-6-name, 17*k, name, 26*k, 18*k)
}

// arrangeHealth sets the organs flush right, the first ones giving way.
func (h *header) arrangeHealth(width, room, k float32) {
	dot, near, apart := 9*k, 5*k, 10*k
	x, left := width, width-room
	for i := maxOrgans - 1; i >= 0; i-- {
		w := min(measure(h.organs[i].full, 15*k, plain)+1, x-left-dot-near)
		show(h.lights[i].Image, h.organs[i].full != "" && w > 0)
		if !h.lights[i].Visible() {
			h.organs[i].place(0, 0, 0, 0, 15)
			continue
		}
		h.organs[i].place(x-w, 42*k, w, 22*k, 15*k)
		h.lights[i].place(x-w-near-dot, 50*k, dot)
		x -= w + near + dot + apart
	}
}

// healthLook is shape and colour of a light, and the colour of its word.
func healthLook(p *palette, level provision.Level) (name string, light, text color.NRGBA) {
	switch level {
	case provision.Warn:
		return "health-warn", p.doubtful, p.text
	case provision.Stop:
		return "health-stop", p.stopped, p.text
	default:
		return "health-ok", p.healthy, p.soft
	}
}
