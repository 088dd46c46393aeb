// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fmt"
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"

	"provisioning.example/station/assets"
)

// icon is one of the program's drawings in one colour.
type icon struct {
	*canvas.Image
	name  string
	color color.NRGBA
}

func newIcon() *icon {
	img := &canvas.Image{FillMode: canvas.ImageFillContain}
	return &icon{Image: img}
}

// set chooses the drawing and its colour.
func (i *icon) set(name string, c color.NRGBA) {
	if i.name == name && i.color == c {
		return
	}
	i.name, i.color = name, c
	i.Resource = iconResource(name, c)
	i.Refresh()
}

// place puts the icon into a square.
func (i *icon) place(x, y, size float32) {
	i.Move(fyne.NewPos(x, y))
	i.Resize(fyne.NewSquareSize(size))
}

// iconResource renders a drawing's SVG. The resource's name carries the
// colour, for the toolkit caches pictures by name.
func iconResource(name string, c color.NRGBA) fyne.Resource {
	svg, err := assets.Icon(name, c)
	if err != nil {
		fyne.LogError("drawing missing from the program", err)
		return nil
	}
	return fyne.NewStaticResource(fmt.Sprintf("%s-%02x%02x%02x.svg", name, c.R, c.G, c.B), svg)
}
