// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"
)

// buttonLook is how a button looks in one of its states.
type buttonLook struct{ back, hover, ink color.NRGBA }

// button is a big plate to press with a glove. Unlike the toolkit's it never
// takes the keyboard from the scan field, does not grow with its text and may
// have text of any size; every button has a key of its own instead.
type button struct {
	widget.BaseWidget
	name    string // as describe tells it
	onTap   func()
	enabled bool
	upright bool // icon above text

	look    buttonLook
	size    float32 // of the text
	plate   *canvas.Rectangle
	icon    *icon
	label   *line
	hovered bool   // the pointer is over it
	held    bool   // and presses
	watched func() // told when one of the two changed, nil: nobody
	least   fyne.Size
}

var (
	_ fyne.Tappable      = (*button)(nil)
	_ desktop.Hoverable  = (*button)(nil)
	_ desktop.Mouseable  = (*button)(nil)
	_ desktop.Cursorable = (*button)(nil)
)

func newButton(name string, size float32, onTap func()) *button {
	b := &button{
		name: name, onTap: onTap, size: size,
		plate: &canvas.Rectangle{CornerRadius: 8}, icon: newIcon(),
		label: newLine(bold, fyne.TextAlignLeading),
	}
	b.ExtendBaseWidget(b)
	return b
}

// set gives the button its word, drawing ("" for none), look and whether it
// may be pressed.
func (b *button) set(text, drawing string, look buttonLook, enabled bool) {
	changed := b.label.full != text || b.icon.name != drawing
	b.look, b.enabled = look, enabled
	b.label.set(text, look.ink)
	if drawing == "" {
		b.icon.Hide()
	} else {
		b.icon.set(drawing, look.ink)
		b.icon.Show()
	}
	b.tint()
	if changed {
		b.arrange(b.Size())
	}
}

func (b *button) tint() {
	back := b.look.back
	if b.hovered && b.enabled {
		back = b.look.hover
	}
	if b.plate.FillColor != back {
		b.plate.FillColor = back
		b.plate.Refresh()
	}
}

// CreateRenderer implements fyne.Widget.
func (b *button) CreateRenderer() fyne.WidgetRenderer {
	return widget.NewSimpleRenderer(newBox(b.least, b.arrange, b.plate, b.icon.Image, b.label.Text))
}

func (b *button) arrange(s fyne.Size) {
	place(b.plate, 0, 0, s.Width, s.Height)
	if b.upright {
		side := b.size * 2
		top := (s.Height - side - b.size*1.6) / 2
		b.icon.place((s.Width-side)/2, top, side)
		b.label.Alignment = fyne.TextAlignCenter
		b.label.place(2, top+side+2, s.Width-4, b.size*1.6, b.size)
		return
	}
	side, gap := float32(0), float32(0)
	if b.icon.Visible() {
		side, gap = b.size*0.95, b.size*0.5
	}
	text := min(measure(b.label.full, b.size, bold)+1, s.Width-side-gap-b.size)
	left := (s.Width - side - gap - text) / 2
	b.icon.place(left, (s.Height-side)/2, side)
	b.label.placeWhole(left+side+gap, 0, text, s.Height, b.size)
}

// Tapped implements fyne.Tappable.
func (b *button) Tapped(*fyne.PointEvent) {
	if b.enabled {
		b.onTap()
	}
}

// MouseIn implements desktop.Hoverable.
func (b *button) MouseIn(*desktop.MouseEvent) { b.hovered = true; b.pointed() }

// MouseMoved implements desktop.Hoverable.
func (b *button) MouseMoved(*desktop.MouseEvent) {}

// MouseOut implements desktop.Hoverable.
func (b *button) MouseOut() { b.hovered, b.held = false, false; b.pointed() }

// MouseDown implements desktop.Mouseable.
func (b *button) MouseDown(*desktop.MouseEvent) { b.held = true; b.pointed() }

// MouseUp implements desktop.Mouseable.
func (b *button) MouseUp(*desktop.MouseEvent) { b.held = false; b.pointed() }

// pointed draws what the pointer did, and tells who watches it.
func (b *button) pointed() {
	b.tint()
	if b.watched != nil {
		b.watched()
	}
}

// Cursor implements desktop.Cursorable.
func (b *button) Cursor() desktop.Cursor {
	if b.enabled {
		return desktop.PointerCursor
	}
	return desktop.DefaultCursor
}
