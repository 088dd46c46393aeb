// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"bytes"
	"flag"
	"image"
	"image/color"
	"image/png"
	"os"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/software"
	"fyne.io/fyne/v2/test"

	"provisioning.example/station/assets"
)

var updateIcon = flag.Bool("update-icon", false, "render assets/icon.png from assets/icon.svg")

// render draws an SVG at a size in pixels on a colour.
func render(t *testing.T, name string, svg []byte, side float32, back color.Color) image.Image {
	t.Helper()
	test.NewTempApp(t)
	img := canvas.NewImageFromResource(fyne.NewStaticResource(name, svg))
	ground := canvas.NewRectangle(back)
	c := software.NewTransparentCanvas()
	c.SetPadded(false)
	c.SetContent(newBox(fyne.NewSquareSize(side), func(s fyne.Size) {
		place(ground, 0, 0, s.Width, s.Height)
		place(img, 0, 0, s.Width, s.Height)
	}, ground, img))
	c.Resize(fyne.NewSquareSize(side))
	return c.Capture()
}

func TestAppIconIsItsDrawing(t *testing.T) {
	svg, err := assets.AppIconSVG()
	if err != nil {
		t.Fatal(err)
	}
	want := render(t, "icon.svg", svg, 512, color.Transparent)
	if *updateIcon {
		var b bytes.Buffer
		if err := png.Encode(&b, want); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("../assets/icon.png", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	raw, err := assets.AppIcon()
	if err != nil {
		t.Fatal(err)
	}
	have, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if have.Bounds() != want.Bounds() {
		t.Fatalf("icon.png is %v, want %v", have.Bounds(), want.Bounds())
	}
	if n := differing(have, want); n > 512 { // rounding at the edges differs between processors
		t.Errorf("icon.png differs from icon.svg in %d pixels: render it anew with -update-icon", n)
	}
}

// differing counts the pixels that differ by more than a rounding.
func differing(a, b image.Image) int {
	n := 0
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			p := color.NRGBAModel.Convert(a.At(x, y)).(color.NRGBA)
			q := color.NRGBAModel.Convert(b.At(x, y)).(color.NRGBA)
			if far(p.R, q.R) || far(p.G, q.G) || far(p.B, q.B) || far(p.A, q.A) {
				n++
			}
		}
	}
	return n
}

func far(a, b uint8) bool { return a > b+8 && b < 248 || b > a+8 && a < 248 }

// Every icon has ink, takes the colour it is given, and is made of filled
// shapes only: the toolkit does not scale the width of strokes.
func TestIconsTakeTheirColour(t *testing.T) {
	names, err := assets.Icons()
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 15 {
		t.Fatalf("only %d icons are in the program", len(names))
	}
	red := color.NRGBA{0xff, 0, 0, 0xff}
	for _, name := range names {
		svg, err := assets.Icon(name, red)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(svg, []byte("stroke")) {
			t.Errorf("icon %s has a stroke", name)
		}
		img, ink := render(t, name+"-red.svg", svg, 24, white), 0
		for y := range 24 {
			for x := range 24 {
				c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
				if c.R < 0xf0 {
					t.Fatalf("icon %s has the colour %v at %d,%d", name, c, x, y)
				}
				if c.G < 0x80 {
					ink++
				}
			}
		}
		if ink < 40 {
			t.Errorf("icon %s has only %d inked pixels of 576", name, ink)
		}
	}
}

func TestUnknownIconIsAnError(t *testing.T) {
	if _, err := assets.Icon("nothing", white); err == nil {
		t.Error("an icon that does not exist was found")
	}
}
