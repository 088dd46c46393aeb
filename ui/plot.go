// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/software"

	"provisioning.example/station/internal/figures"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

// plot draws what figures laid out; it adds colours and nothing else.
type plot struct {
	box     *fyne.Container
	palette *palette
	shown   figures.Plot
}

func newPlot(p *palette) *plot {
	d := &plot{palette: p}
	d.box = newBox(fyne.NewSize(figures.Width/4, figures.Height/4), d.arrange)
	return d
}

// show draws another plot.
func (d *plot) show(p figures.Plot) {
	d.shown = p
	d.box.RemoveAll()
	d.arrange(d.box.Size())
	d.box.Refresh()
}

// tint is the colour of an outcome.
func (d *plot) tint(class string) color.Color {
	switch class {
	case record.Passed:
		return d.palette.states[provision.Pass].back
	case record.Failed:
		return d.palette.states[provision.Fail].back
	case record.Error:
		return d.palette.doubtful
	}
	return d.palette.soft
}

// arrange makes the drawing as large as its place allows, in the middle.
func (d *plot) arrange(s fyne.Size) {
	scale := min(s.Width/figures.Width, s.Height/figures.Height)
	if scale <= 0 {
		return
	}
	x0, y0 := (s.Width-scale*figures.Width)/2, (s.Height-scale*figures.Height)/2
	at := func(x, y float64) fyne.Position { return fyne.NewPos(x0+scale*float32(x), y0+scale*float32(y)) }
	var objs []fyne.CanvasObject
	stroke := func(c color.Color, width float32, from, to fyne.Position) {
		objs = append(objs, &canvas.Line{StrokeColor: c, StrokeWidth: width, Position1: from, Position2: to})
	}
	for _, l := range d.shown.Lines {
		stroke(d.palette.edge, 1, at(l.X1, l.Y1), at(l.X2, l.Y2))
	}
	for _, b := range d.shown.Bars {
		r := canvas.NewRectangle(d.tint(b.Class))
		r.Move(at(b.X, b.Y))
		r.Resize(fyne.NewSize(scale*float32(b.W), scale*float32(b.H)))
		objs = append(objs, r)
	}
	for i := 1; i < len(d.shown.Curve); i++ {
		from, to := d.shown.Curve[i-1], d.shown.Curve[i]
		stroke(d.palette.text, 1.5*scale, at(from.X, from.Y), at(to.X, to.Y))
	}
	for _, l := range d.shown.Texts {
		objs = append(objs, d.label(l, scale, at(l.X, l.Y)))
	}
	d.box.Objects = objs
}

// label is a text whose baseline begins, has its middle or ends at a place.
func (d *plot) label(l figures.Label, scale float32, at fyne.Position) fyne.CanvasObject {
	t := canvas.NewText(l.Text, d.palette.soft)
	t.TextSize = figures.TextSize * scale
	size := t.MinSize()
	const baseline = 0.76 // of a line's height, from above
	x := at.X
	switch l.Anchor {
	case "middle":
		x -= size.Width / 2
	case "end":
		x -= size.Width
	}
	t.Move(fyne.NewPos(x, at.Y-size.Height*baseline))
	t.Resize(size)
	return t
}

// outcomeClasses are the outcomes in the order in which bars are stacked.
var outcomeClasses = [...]string{record.Passed, record.Failed, record.Error, record.Aborted}

// pictureScale is how many pixels of a saved picture are one of the plot's units: enough for print.
const pictureScale = 2

// picture is a plot under its title, on light ground whatever the screen has. It must be called on the drawing goroutine.
func picture(title, under string, p figures.Plot, legend bool) image.Image {
	light := lightPalette()
	d := newPlot(light)
	d.show(p)
	head, foot := newLine(bold, fyne.TextAlignLeading), newLine(plain, fyne.TextAlignLeading)
	head.set(title, light.text)
	foot.set(under, light.soft)
	size := fyne.NewSize(pictureScale*figures.Width, pictureScale*(figures.Height+70))
	objs := []fyne.CanvasObject{canvas.NewRectangle(white), head.Text, d.box, foot.Text}
	for i, class := range outcomeClasses {
		if !legend {
			break
		}
		dot, word := canvas.NewRectangle(d.tint(class)), newLine(plain, fyne.TextAlignLeading)
		word.set(class, light.soft)
		x := float32(720 + 170*i)
		place(dot, x, 36, 22, 22)
		word.place(x+32, 26, 130, 44, 24)
		objs = append(objs, dot, word.Text)
	}
	box := newBox(size, func(s fyne.Size) {
		head.place(40, 16, s.Width-80, 56, 36)
		place(d.box, 0, 76, s.Width, pictureScale*figures.Height)
		foot.place(40, s.Height-62, s.Width-80, 44, 24)
	}, objs...)
	ground := canvas.NewRectangle(white)
	c := software.NewCanvas()
	c.SetPadded(false)
	c.SetContent(newBox(size, func(s fyne.Size) {
		place(ground, 0, 0, s.Width, s.Height)
		place(box, 0, 0, s.Width, s.Height)
	}, ground, box))
	c.Resize(size)
	return c.Capture()
}

// savePNG writes a picture whole or not at all. A file that is there is not overwritten.
func savePNG(path string, img image.Image) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s is there already: name another file", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".part-")
	if err != nil {
		return fmt.Errorf("no file can be written there: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()           //nolint:errcheck // the first error counts
			os.Remove(f.Name()) //nolint:errcheck // the first error counts
		}
	}()
	if err = png.Encode(f, img); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
