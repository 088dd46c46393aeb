// SPDX-License-Identifier: Apache-2.0

package label

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/image/font"
)

// Label is a template filled with one unit's values: what the printer gets, and
// its picture.
type Label struct {
	template *Template
	things   []thing
}

// thing is an element with its text: lines of words, or a code.
type thing struct {
	element
	value string
	face  font.Face // of words
	lines []string
	code  *code
}

// MaxCopies is how many of one label are printed at once, at most.
const MaxCopies = 99

// Fill puts a unit's values into the template. What does not fit on the label is
// refused with the template's line; only text with lines is cut short, with
// three dots, and never one that has the serial or the fault's code in it.
func (t *Template) Fill(v Values) (*Label, error) {
	l := &Label{template: t}
	for _, e := range t.elements {
		x := thing{element: e, value: e.data.fill(v)}
		if err := x.settle(); err != nil {
			return nil, t.at(e.line, err)
		}
		if w, h := x.size(); e.x+w > t.w || e.y+h > t.h {
			return nil, t.at(e.line, fmt.Errorf("%s ends at %d, %d dots; the label has %d by %d", x.what(), e.x+w, e.y+h, t.w, t.h))
		}
		l.things = append(l.things, x)
	}
	return l, nil
}

// maxValue is the longest text of one element in bytes, code or words: more than a
// scanner at a bench reads, or a label has room for.
const maxValue = 512

// settle makes lines or a code of the value.
func (x *thing) settle() error {
	if len(x.value) > maxValue {
		return fmt.Errorf("a text of %d bytes, at most %d are printed", len(x.value), maxValue)
	}
	var err error
	switch x.kind {
	case textual:
		if x.face, err = newFace(x.height); err != nil {
			return err
		}
		cut := false
		if x.lines, cut = x.breakLines(); cut && (x.data.uses("serial") || x.data.uses("fault")) {
			err = fmt.Errorf("%.80q does not fit into its %d lines", x.value, x.block.lines)
		}
	case qrCode:
		x.code, err = encodeQR(x.value, x.level)
	case dataMatrix:
		x.code, err = encodeMatrix(x.value)
	}
	return err
}

// what names the thing for people.
func (x *thing) what() string {
	switch x.kind {
	case qrCode:
		return fmt.Sprintf("the QR code of %d modules", x.code.n)
	case dataMatrix:
		return fmt.Sprintf("the DataMatrix of %d modules", x.code.n)
	case box:
		return "the box"
	}
	return fmt.Sprintf("the text %.40q", x.value)
}

// size is the thing's width and height on the label in dots.
func (x *thing) size() (w, h int) {
	switch x.kind {
	case qrCode, dataMatrix:
		return x.code.n * x.module, x.code.n * x.module
	case box:
		return x.width, x.height
	}
	w, h = x.block.width, x.block.lines*(x.height+x.block.space)
	if w == 0 {
		w, h = x.measure(x.value), x.height
	}
	if x.turn == 'R' || x.turn == 'B' {
		w, h = h, w
	}
	return w, h
}

// ZPL is what the printer gets: one label, printed so many times. It depends on
// nothing that was sent before.
func (l *Label) ZPL(copies int) ([]byte, error) {
	if copies < 1 || copies > MaxCopies {
		return nil, fmt.Errorf("%d labels; allowed: 1 to %d at once", copies, MaxCopies)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "^XA\n^CI28\n^PW%d\n^LL%d\n^LH0,0\n", l.template.w, l.template.h)
	for _, c := range l.template.media {
		fmt.Fprintf(&b, "^%s%s\n", c.name, strings.Join(c.args, ","))
	}
	for _, x := range l.things {
		x.write(&b)
	}
	fmt.Fprintf(&b, "^PQ%d\n^XZ\n", copies)
	if b.Len() > maxZPL {
		return nil, errors.New("the label is too large for a printer")
	}
	return b.Bytes(), nil
}

// maxZPL bounds one label, in bytes.
const maxZPL = 256 << 10

func (x *thing) write(b *bytes.Buffer) {
	switch x.kind {
	case box:
		fmt.Fprintf(b, "^FO%d,%d%s^GB%d,%d,%d,B^FS\n", x.x, x.y, x.reversed(), x.width, x.height, x.thick)
	case qrCode:
		// The code sinks by ^BY's height, which the printer remembers from other
		// labels: it is set to the least.
		fmt.Fprintf(b, "^BY2,3,1^FO%d,%d^BQN,2,%d%s^FH%c^FD%cA,%s^FS\n", x.x, max(x.y-1, 0), x.module, x.reversed(), indicator, x.level, escapeField(x.value))
	case dataMatrix:
		// In a DataMatrix the printer looks for escapes after those of ^FH.
		value := strings.ReplaceAll(x.value, string(matrixEscape), strings.Repeat(string(matrixEscape), 2))
		fmt.Fprintf(b, "^FO%d,%d^BX%c,%d,200,,,,%c%s^FH%c^FD%s^FS\n", x.x, x.y, x.turn, x.module, matrixEscape, x.reversed(), indicator, escapeField(value))
	case textual:
		x.writeLines(b)
	}
}

// matrixEscape stands before the printer's own escapes in a DataMatrix, and for
// itself when it is doubled.
const matrixEscape = '_'

// writeLines writes each line as a field of its own: how lines break is then
// not the printer's business, whose font has other widths.
func (x *thing) writeLines(b *bytes.Buffer) {
	for i, line := range x.lines {
		if line == "" {
			continue
		}
		px, py := x.lineAt(i)
		fb := ""
		if x.block.align == 'C' || x.block.align == 'R' {
			fb = fmt.Sprintf("^FB%d,1,0,%c", x.block.width, x.block.align)
			line = strings.ReplaceAll(line, `\`, `\\`) // in ^FB a backslash begins a line's end
		}
		fmt.Fprintf(b, "^FO%d,%d^A0%c,%d,%d%s%s^FH%c^FD%s^FS\n", px, py, x.turn, x.height, x.fontWidth(), fb, x.reversed(), indicator, escapeField(line))
	}
}

// lineAt is the corner of the i-th line, which moves with the text's direction.
func (x *thing) lineAt(i int) (px, py int) {
	step := i * (x.height + x.block.space)
	last := max(x.block.lines, 1) - 1
	back := last*(x.height+x.block.space) - step
	switch x.turn {
	case 'R':
		return x.x + back, x.y
	case 'I':
		return x.x, x.y + back
	case 'B':
		return x.x + step, x.y
	}
	return x.x, x.y + step
}

func (x *thing) fontWidth() int {
	if x.width != 0 {
		return x.width
	}
	return x.height
}

func (x *thing) reversed() string {
	if x.reverse {
		return "^FR"
	}
	return ""
}
