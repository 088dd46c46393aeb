// SPDX-License-Identifier: Apache-2.0

package label

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// command is one ZPL II command of a template: ^NAME and its parameters. What
// ^FD holds stands in data, its own escapes undone.
type command struct {
	line int // in the template's file
	name string
	args []string
	data text
}

// param is what one parameter of a command may be. An empty one is allowed
// unless must is set.
type param struct {
	must     bool
	min, max int      // a number, where max is not 0
	words    []string // else one of these
}

func number(lo, hi int) param   { return param{min: lo, max: hi} }
func words(all ...string) param { return param{words: all} }
func (p param) needed() param   { p.must = true; return p }
func (p param) takes(s string) error {
	if s == "" {
		if p.must {
			return fmt.Errorf("is missing, allowed: %s", p)
		}
		return nil
	}
	if p.max == 0 {
		if slices.Contains(p.words, s) {
			return nil
		}
		return fmt.Errorf("is %.20q, allowed: %s", s, p)
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < p.min || n > p.max || strconv.Itoa(n) != s {
		return fmt.Errorf("is %.20q, allowed: %s", s, p)
	}
	return nil
}

func (p param) String() string {
	if p.max == 0 {
		return strings.Join(p.words, ", ")
	}
	return fmt.Sprintf("%d to %d", p.min, p.max)
}

const (
	maxDots  = 32000 // of the printer's coordinates
	maxFont  = 3000
	maxLines = 50
)

var orientation = words("N", "R", "I", "B")

// commands are those a template may use; the station can draw every one of
// them, or it changes nothing on the label. Whatever sets up the printer, moves
// files, changes the prefix of commands or prints by itself is not among them.
var commands = map[string][]param{
	"XA": {}, "XZ": {}, "FS": {}, "FR": {},
	"PW": {number(1, maxDots).needed()},
	"LL": {number(1, maxDots).needed()},
	"LH": {number(0, maxDots).needed(), number(0, maxDots).needed()},
	"CI": {words("28").needed()},
	"FO": {number(0, maxDots).needed(), number(0, maxDots).needed()},
	"A0": {orientation.needed(), number(10, maxFont).needed(), number(10, maxFont)},
	"CF": {words("0").needed(), number(10, maxFont).needed(), number(10, maxFont)},
	"FB": {number(1, maxDots).needed(), number(1, maxLines), number(0, 999), words("L", "C", "R")},
	"BY": {number(1, 10), words("2", "2.5", "3", "2.0", "3.0"), number(1, maxDots)},
	"BQ": {words("N").needed(), words("2").needed(), number(1, 10).needed()},
	"BX": {orientation.needed(), number(1, 100).needed(), words("200").needed()},
	"GB": {number(1, maxDots).needed(), number(1, maxDots).needed(), number(1, maxDots).needed(), words("B")},
	// what a printer may be told about its media; nothing of it is drawn
	"PR": {number(1, 14).needed(), number(1, 14), number(1, 14)},
	"MD": {number(-30, 30)},
	"MM": {words("T", "P", "R", "C").needed()},
	"MN": {words("N", "Y", "W", "M").needed()},
	"MT": {words("T", "D").needed()},
	"PO": {words("N").needed()},
	"PM": {words("N").needed()},
	"LR": {words("N").needed()},
	"LS": {words("0").needed()},
	"LT": {number(-120, 120)},
}

// check tells what is wrong with a command that has no field data.
func (c command) check() error {
	params, known := commands[c.name]
	if !known {
		return fmt.Errorf("^%.10s is not for labels of a station; docs/labels.md lists what is", c.name)
	}
	if len(c.args) > len(params) {
		return fmt.Errorf("^%s has %d parameters, at most %d are allowed", c.name, len(c.args), len(params))
	}
	for i, p := range params {
		if err := p.takes(c.arg(i)); err != nil {
			return fmt.Errorf("^%s: parameter %d %w", c.name, i+1, err)
		}
	}
	return nil
}

// arg is a parameter's text, "" where it was left out.
func (c command) arg(i int) string {
	if i < len(c.args) {
		return c.args[i]
	}
	return ""
}

// num is a parameter that check has seen, or its default.
func (c command) num(i, def int) int {
	if n, err := strconv.Atoi(c.arg(i)); err == nil {
		return n
	}
	return def
}
