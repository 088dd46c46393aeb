// SPDX-License-Identifier: Apache-2.0

package label

import (
	"bytes"
	"fmt"
	"math"
	"strings"

	"provisioning.example/station/internal/settings"
)

// maxMM is the largest label, in millimetres, either way.
const maxMM = 250

// file is a template in TOML; lengths are millimetres. testdata/label.toml of
// the repository shows every key.
type file struct {
	Width  float64      `toml:"width_mm"`
	Height float64      `toml:"height_mm"`
	Box    []fileBox    `toml:"box"`
	Text   []fileText   `toml:"text"`
	QR     []fileCode   `toml:"qr"`
	Matrix []fileMatrix `toml:"datamatrix"`
}

type fileBox struct {
	X      float64 `toml:"x"`
	Y      float64 `toml:"y"`
	Width  float64 `toml:"width"`
	Height float64 `toml:"height"`
	Line   float64 `toml:"line"` // 0: filled
}

type fileText struct {
	X       float64 `toml:"x"`
	Y       float64 `toml:"y"`
	Width   float64 `toml:"width"`
	Height  float64 `toml:"height"`
	Lines   int     `toml:"lines"`
	Align   string  `toml:"align"`
	Turn    string  `toml:"turn"`
	Reverse bool    `toml:"reverse"`
	Text    string  `toml:"text"`
}

type fileCode struct {
	X      float64 `toml:"x"`
	Y      float64 `toml:"y"`
	Module float64 `toml:"module"`
	Level  string  `toml:"level"`
	Data   string  `toml:"data"`
}

type fileMatrix struct {
	X      float64 `toml:"x"`
	Y      float64 `toml:"y"`
	Module float64 `toml:"module"`
	Turn   string  `toml:"turn"`
	Data   string  `toml:"data"`
}

var (
	turns  = map[string]byte{"": 'N', "0": 'N', "90": 'R', "180": 'I', "270": 'B'}
	aligns = map[string]byte{"": 'L', "left": 'L', "center": 'C', "right": 'R'}
	levels = map[string]byte{"": 'M', "L": 'L', "M": 'M', "Q": 'Q', "H": 'H'}
)

// builder turns a file into elements and keeps the first mistake.
type builder struct {
	path  string
	text  []byte
	perMM int
	err   error
}

// parseTOML reads a template in millimetres: its size in dots and what is on it.
// Boxes come first, so that text may be reversed on them.
func parseTOML(path string, raw []byte, perMM int) (w, h int, elements []element, err error) {
	var f file
	if err := settings.Decode(path, raw, &f); err != nil {
		return 0, 0, nil, err
	}
	err = settings.Verify(path, raw, []settings.Check{
		{Key: "width_mm", OK: f.Width >= 5 && f.Width <= maxMM, Allowed: fmt.Sprintf("5 to %d", maxMM)},
		{Key: "height_mm", OK: f.Height >= 5 && f.Height <= maxMM, Allowed: fmt.Sprintf("5 to %d", maxMM)},
	})
	if err != nil {
		return 0, 0, nil, err
	}
	b := &builder{path: path, text: raw, perMM: perMM}
	for i, x := range f.Box {
		elements = append(elements, b.box(i, x))
	}
	for i, x := range f.QR {
		elements = append(elements, b.qr(i, x))
	}
	for i, x := range f.Matrix {
		elements = append(elements, b.matrix(i, x))
	}
	for i, x := range f.Text {
		elements = append(elements, b.words(i, x))
	}
	if b.err == nil && len(elements) == 0 {
		b.err = fmt.Errorf("%s:1: nothing is on the label; allowed: [[text]], [[qr]], [[datamatrix]], [[box]]", path)
	}
	return b.dots(f.Width), b.dots(f.Height), elements, b.err
}

func (b *builder) box(i int, x fileBox) element {
	in := table{b, "box", i}
	e := element{kind: box, line: in.line(""), turn: 'N'}
	e.x, e.y = in.place("x", x.X), in.place("y", x.Y)
	e.width, e.height = in.length("width", x.Width, 0.1), in.length("height", x.Height, 0.1)
	e.thick = min(e.width, e.height)
	if x.Line != 0 {
		e.thick = in.length("line", x.Line, 0.1)
	}
	return e
}

func (b *builder) qr(i int, x fileCode) element {
	in := table{b, "qr", i}
	e := element{kind: qrCode, line: in.line(""), turn: 'N'}
	e.x, e.y = in.place("x", x.X), in.place("y", x.Y)
	e.module = in.module(x.Module, 10)
	e.level = choice(in, "level", levels, x.Level, "L, M, Q, H")
	e.data = in.data("data", x.Data)
	return e
}

func (b *builder) matrix(i int, x fileMatrix) element {
	in := table{b, "datamatrix", i}
	e := element{kind: dataMatrix, line: in.line("")}
	e.x, e.y = in.place("x", x.X), in.place("y", x.Y)
	e.module = in.module(x.Module, 100)
	e.turn = choice(in, "turn", turns, x.Turn, "0, 90, 180, 270")
	e.data = in.data("data", x.Data)
	return e
}

func (b *builder) words(i int, x fileText) element {
	in := table{b, "text", i}
	e := element{kind: textual, line: in.line(""), reverse: x.Reverse}
	e.x, e.y = in.place("x", x.X), in.place("y", x.Y)
	e.height = in.length("height", x.Height, 1)
	e.turn = choice(in, "turn", turns, x.Turn, "0, 90, 180, 270")
	e.data = in.data("text", x.Text)
	e.block.align = choice(in, "align", aligns, x.Align, "left, center, right")
	in.demand("lines", x.Lines >= 0 && x.Lines <= maxLines, fmt.Sprintf("1 to %d", maxLines))
	in.demand("width", x.Width != 0 || x.Lines == 0 && x.Align == "", "lines and align need a width")
	if x.Width != 0 {
		e.block.width, e.block.lines = in.length("width", x.Width, 1), max(x.Lines, 1)
	}
	return e
}

// dots is a length on the printer.
func (b *builder) dots(mm float64) int { return int(math.Round(mm * float64(b.perMM))) }

// table is one of several tables of a name in the file.
type table struct {
	b    *builder
	name string
	n    int
}

func (t table) demand(key string, ok bool, allowed string) {
	if !ok && t.b.err == nil {
		t.b.err = fmt.Errorf("%s:%d: %s: %s", t.b.path, t.line(key), key, allowed)
	}
}

func (t table) place(key string, mm float64) int {
	t.demand(key, mm >= 0 && mm <= maxMM, fmt.Sprintf("0 to %d", maxMM))
	return t.b.dots(mm)
}

func (t table) length(key string, mm, least float64) int {
	t.demand(key, mm >= least && mm <= maxMM, fmt.Sprintf("%g to %d", least, maxMM))
	return max(t.b.dots(mm), 1)
}

// module is a code's smallest square: whole dots, not below what a scanner sees.
func (t table) module(mm float64, most int) int {
	n := t.b.dots(mm)
	t.demand("module", mm >= 0.15 && n >= 1 && n <= most,
		fmt.Sprintf("0.15 to %.2f with %d dots per millimetre", float64(most)/float64(t.b.perMM), t.b.perMM))
	return n
}

func (t table) data(key, s string) text {
	d, err := parseText(s)
	t.demand(key, err == nil, fmt.Sprint(err))
	t.demand(key, len(d) > 0, "something to print")
	return d
}

func choice(t table, key string, of map[string]byte, s, allowed string) byte {
	c, ok := of[s]
	t.demand(key, ok, "allowed: "+allowed)
	return c
}

// line is where a key of the table stands, or the table itself.
func (t table) line(key string) int {
	seen, at := -1, 1
	for i, l := range bytes.Split(t.b.text, []byte("\n")) {
		s := strings.TrimSpace(string(l))
		if strings.HasPrefix(s, "[[") {
			if seen == t.n {
				break
			}
			name, _, _ := strings.Cut(s[2:], "]]")
			if strings.TrimSpace(name) == t.name {
				if seen++; seen == t.n {
					at = i + 1
				}
			}
			continue
		}
		name, _, found := strings.Cut(s, "=")
		if seen == t.n && found && strings.TrimSpace(name) == key {
			return i + 1
		}
	}
	return at
}
