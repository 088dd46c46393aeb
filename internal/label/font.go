// SPDX-License-Identifier: Apache-2.0

package label

import (
	"fmt"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// The picture is drawn with Go Bold, at the height of the printer's font 0.
// That one is narrower: a text that fits in the picture fits on the label.

// newFace is the font at a height in dots.
func newFace(height int) (font.Face, error) {
	f, err := opentype.Parse(gobold.TTF)
	if err != nil {
		return nil, fmt.Errorf("the picture's font: %w", err)
	}
	return opentype.NewFace(f, &opentype.FaceOptions{Size: float64(height), DPI: 72, Hinting: font.HintingNone})
}

// measure is the length of a line of words in dots.
func (x *thing) measure(s string) int {
	w := font.MeasureString(x.face, s).Ceil()
	return (w*x.fontWidth() + x.height - 1) / x.height
}

// breakLines breaks the value at spaces into the block's lines; a word longer than a
// line is broken where the line ends. cut tells that not all of it found room.
func (x *thing) breakLines() (lines []string, cut bool) {
	if x.block.width == 0 {
		return []string{x.value}, false
	}
	rest := strings.Join(strings.Fields(x.value), " ")
	for len(lines) < x.block.lines && rest != "" {
		n := x.fitting(rest)
		if len(lines) == x.block.lines-1 && n < len(rest) {
			return append(lines, x.shortened(rest)), true
		}
		lines = append(lines, strings.TrimRight(rest[:n], " "))
		rest = strings.TrimLeft(rest[n:], " ")
	}
	return lines, rest != ""
}

// fitting is how many bytes of s fill one line: up to a space, if there is one.
func (x *thing) fitting(s string) int {
	n := x.longest(s, "")
	if n == len(s) || s[n] == ' ' {
		return n
	}
	if at := strings.LastIndexByte(s[:n], ' '); at > 0 {
		return at + 1
	}
	return n
}

func (x *thing) shortened(s string) string {
	const dots = "..."
	return strings.TrimRight(s[:x.longest(s, dots)], " ") + dots
}

// longest is the longest beginning of s in bytes that fits into a line before the given end;
// at least one character.
func (x *thing) longest(s, end string) int {
	room := fixed.I(x.block.width*x.height/x.fontWidth()) - font.MeasureString(x.face, end)
	var long fixed.Int26_6
	before := rune(-1)
	for at, r := range s {
		if before >= 0 {
			long += x.face.Kern(before, r)
		}
		advance, _ := x.face.GlyphAdvance(r)
		if long += advance; long > room && at > 0 {
			return at
		}
		before = r
	}
	return len(s)
}
