// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
)

// fixed is a layout whose least size does not depend on what is shown, so
// that no text, however long, moves anything or grows the window.
type fixed struct {
	min     fyne.Size
	arrange func(fyne.Size)
}

// MinSize implements fyne.Layout.
func (f *fixed) MinSize([]fyne.CanvasObject) fyne.Size { return f.min }

// Layout implements fyne.Layout.
func (f *fixed) Layout(_ []fyne.CanvasObject, size fyne.Size) { f.arrange(size) }

// newBox is a container laid out by arrange.
func newBox(least fyne.Size, arrange func(fyne.Size), objects ...fyne.CanvasObject) *fyne.Container {
	return container.New(&fixed{min: least, arrange: arrange}, objects...)
}

// place moves and resizes in one go.
func place(o fyne.CanvasObject, x, y, w, h float32) {
	o.Move(fyne.NewPos(x, y))
	o.Resize(fyne.NewSize(max(w, 0), max(h, 0)))
}

// show makes an object visible or not, and asks for a repaint only where that
// changes something.
func show(o fyne.CanvasObject, visible bool) {
	if o.Visible() == visible {
		return
	}
	if visible {
		o.Show()
	} else {
		o.Hide()
	}
}
