// SPDX-License-Identifier: Apache-2.0

package label

import (
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"

	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/math/fixed"
)

// Image is the label as it is printed, a pixel for each dot, black or white.
// Fonts are not the printer's.
func (l *Label) Image() *image.Gray {
	img := image.NewGray(image.Rect(0, 0, l.template.w, l.template.h))
	draw.Draw(img, img.Rect, image.White, image.Point{}, draw.Src)
	for _, x := range l.things {
		switch x.kind {
		case box:
			paint(img, x.boxMask(), x.x, x.y, x.reverse)
		case qrCode, dataMatrix:
			paint(img, turned(x.codeMask(), x.turn), x.x, x.y, x.reverse)
		case textual:
			for i, line := range x.lines {
				px, py := x.lineAt(i)
				paint(img, turned(x.lineMask(line), x.turn), px, py, x.reverse)
			}
		}
	}
	return img
}

// PNG writes the picture, a bit for each dot.
func (l *Label) PNG(w io.Writer) error {
	img := l.Image()
	bits := image.NewPaletted(img.Rect, color.Palette{color.Black, color.White})
	for i, c := range img.Pix { // both have a byte for each dot
		bits.Pix[i] = c & 1
	}
	return png.Encode(w, bits)
}

// paint makes the mask's dots black, or with reverse the other colour than
// they have.
func paint(img *image.Gray, mask *image.Alpha, x, y int, reverse bool) {
	at := mask.Rect.Add(image.Pt(x, y)).Intersect(img.Rect)
	for j := at.Min.Y; j < at.Max.Y; j++ {
		from := mask.Pix[mask.PixOffset(at.Min.X-x, j-y):]
		to := img.Pix[img.PixOffset(at.Min.X, j):]
		for i := range at.Dx() {
			switch {
			case from[i] < 0x80:
			case reverse:
				to[i] = ^to[i]
			default:
				to[i] = 0
			}
		}
	}
}

func (x *thing) boxMask() *image.Alpha {
	m := image.NewAlpha(image.Rect(0, 0, x.width, x.height))
	draw.Draw(m, m.Rect, image.Opaque, image.Point{}, draw.Src)
	draw.Draw(m, m.Rect.Inset(x.thick), image.Transparent, image.Point{}, draw.Src)
	return m
}

func (x *thing) codeMask() *image.Alpha {
	n := x.code.n * x.module
	m := image.NewAlpha(image.Rect(0, 0, n, n))
	for i, dark := range x.code.dark {
		if dark {
			at := image.Pt(i%x.code.n, i/x.code.n).Mul(x.module)
			draw.Draw(m, image.Rectangle{at, at.Add(image.Pt(x.module, x.module))}, image.Opaque, image.Point{}, draw.Src)
		}
	}
	return m
}

// lineMask is a line of words as it is read, as wide as its block.
func (x *thing) lineMask(s string) *image.Alpha {
	long, wide := max(font.MeasureString(x.face, s).Ceil(), 1), x.measure(s)
	drawn := image.NewAlpha(image.Rect(0, 0, long, x.height))
	d := font.Drawer{Dst: drawn, Src: image.Opaque, Face: x.face, Dot: fixed.P(0, x.height*4/5)}
	d.DrawString(s)
	m := image.NewAlpha(image.Rect(0, 0, max(wide, x.block.width), x.height))
	left := 0
	switch x.block.align {
	case 'R':
		left = m.Rect.Dx() - wide
	case 'C':
		left = (m.Rect.Dx() - wide) / 2
	}
	if to := image.Rect(left, 0, left+wide, x.height); to.Size() == drawn.Rect.Size() {
		draw.Draw(m, to, drawn, image.Point{}, draw.Src)
	} else {
		xdraw.ApproxBiLinear.Scale(m, to, drawn, drawn.Rect, draw.Src, nil)
	}
	return m
}

// turned turns a mask clockwise: R by 90 degrees, I by 180, B by 270.
func turned(m *image.Alpha, turn byte) *image.Alpha {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	place := map[byte]func(x, y int) (int, int){
		'R': func(x, y int) (int, int) { return h - 1 - y, x },
		'I': func(x, y int) (int, int) { return w - 1 - x, h - 1 - y },
		'B': func(x, y int) (int, int) { return y, w - 1 - x },
	}[turn]
	if place == nil {
		return m
	}
	size := image.Rect(0, 0, w, h)
	if turn != 'I' {
		size = image.Rect(0, 0, h, w)
	}
	out := image.NewAlpha(size)
	for y := range h {
		for x := range w {
			tx, ty := place(x, y)
			out.SetAlpha(tx, ty, m.AlphaAt(x, y))
		}
	}
	return out
}
