// SPDX-License-Identifier: Apache-2.0

package label

import (
	"errors"
	"fmt"
	"strings"
)

// kind is what an element of a label is.
type kind uint8

const (
	textual kind = iota
	qrCode
	dataMatrix
	box
)

// element is one thing on a label. Lengths are dots, x and y count from the
// label's upper left corner to that of the element as it is read, turned.
type element struct {
	kind    kind
	line    int // in the template's file
	x, y    int
	turn    byte // N, R (90 degrees clockwise), I or B
	data    text
	reverse bool // white where it lies on black

	height, width int // of the font; of a box
	block         block
	module        int  // size of a code's smallest square
	level         byte // of a QR code's error correction: L, M, Q or H
	thick         int  // of a box's line
}

// block bounds words; without a width they are one line as long as they get.
type block struct {
	width, lines, space int
	align               byte // L, C or R
}

// layoutOf follows the commands of a ZPL label as a printer does and returns
// what is on it, and the commands that say how it is printed.
func layoutOf(commands []command) (elements []element, media []command, at int, err error) {
	r := reading{barHeight: defaultBarHeight}
	for i, c := range commands {
		if (c.name == "XA") != (i == 0) || (c.name == "XZ") != (i == len(commands)-1) {
			return nil, nil, c.line, fmt.Errorf("^%s stands in the wrong place: one label begins with ^XA and ends with ^XZ", c.name)
		}
		if err := r.follow(c); err != nil {
			return nil, nil, c.line, err
		}
	}
	if r.open {
		return nil, nil, commands[len(commands)-1].line, errors.New("the last field has no ^FS")
	}
	return r.elements, r.media, 0, nil
}

// defaultBarHeight is ^BY's height where it was not set, in dots. A QR code at
// ^FO sinks by this height.
const defaultBarHeight = 10

// reading is a printer's memory while it reads a label.
type reading struct {
	elements     []element
	media        []command
	homeX, homeY int
	font         [2]int // ^CF: height and width
	barHeight    int

	open   bool // a field was begun with ^FO
	filled bool // it has its ^FD, or is a box
	is     element
}

func (r *reading) follow(c command) error {
	switch c.name {
	case "XA", "XZ", "PW", "LL", "CI":
	case "LH":
		r.homeX, r.homeY = c.num(0, 0), c.num(1, 0)
	case "CF":
		r.font = [2]int{c.num(1, 0), c.num(2, 0)}
	case "BY":
		r.barHeight = c.num(2, r.barHeight)
	case "FO":
		if r.open {
			return errors.New("the field before has no ^FS")
		}
		r.open, r.filled = true, false
		r.is = element{line: c.line, x: r.homeX + c.num(0, 0), y: r.homeY + c.num(1, 0), turn: 'N', height: r.font[0], width: r.font[1]}
	case "A0", "FB", "BQ", "BX", "GB", "FR", "FD", "FS":
		if !r.open {
			return fmt.Errorf("^%s belongs between ^FO and ^FS", c.name)
		}
		return r.field(c)
	default:
		r.media = append(r.media, c)
	}
	return nil
}

// field takes a command of an open field.
func (r *reading) field(c command) error {
	e := &r.is
	if r.filled && c.name != "FS" && c.name != "FR" {
		return fmt.Errorf("^%s after what fills the field; ^FS must come first", c.name)
	}
	switch c.name {
	case "A0":
		e.turn, e.height, e.width = c.arg(0)[0], c.num(1, 0), c.num(2, 0)
	case "FB":
		e.block = block{width: c.num(0, 0), lines: c.num(1, 1), space: c.num(2, 0), align: (c.arg(3) + "L")[0]}
	case "BQ":
		e.kind, e.module, e.y = qrCode, c.num(2, 0), e.y+r.barHeight
	case "BX":
		e.kind, e.turn, e.module = dataMatrix, c.arg(0)[0], c.num(1, 0)
	case "GB":
		e.kind, e.width, e.height, e.thick, r.filled = box, c.num(0, 0), c.num(1, 0), c.num(2, 0), true
	case "FR":
		e.reverse = true
	case "FD":
		r.filled, e.data = true, c.data
		if e.kind == qrCode {
			return e.takeLevel()
		}
		if e.kind == textual && e.height == 0 {
			return errors.New("the text has no font: ^A0 or ^CF must come before")
		}
	case "FS":
		if !r.filled {
			return errors.New("the field is empty: it has no ^FD and no ^GB")
		}
		r.open = false
		r.elements = append(r.elements, *e)
	}
	return nil
}

// takeLevel cuts error correction and input mode off a QR code's data: MA,.
func (e *element) takeLevel() error {
	first := ""
	if len(e.data) > 0 {
		first = e.data[0].literal
	}
	if len(first) < 3 || !strings.ContainsAny(first[:1], "HQML") || first[1:3] != "A," {
		return errors.New("the data of a QR code begins with its error correction and A, for automatic: LA, MA, QA, or HA,")
	}
	e.level = first[0]
	if first = first[3:]; first == "" {
		e.data = e.data[1:]
	} else {
		e.data = append(text{{literal: first}}, e.data[1:]...)
	}
	return nil
}
