// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"provisioning.example/station/internal/port"
	"provisioning.example/station/internal/settings"
)

// bound is the slot of each USB location that is bound to one.
func (c homeConfig) bound() map[string]int {
	out := map[string]int{}
	for key, location := range c.Bench {
		if n, err := strconv.Atoi(key); err == nil {
			out[location] = n
		}
	}
	return out
}

// bySlot is the same the other way round.
func (c homeConfig) bySlot() map[int]string {
	out := map[int]string{}
	for location, n := range c.bound() {
		out[n] = location
	}
	return out
}

// verifyBench checks the table bench of station.toml: a slot that exists, a
// location, none twice.
func verifyBench(path string, raw []byte, c homeConfig) error {
	first := map[string]string{}
	for _, key := range slices.SortedFunc(maps.Keys(c.Bench), byNumber) {
		location := c.Bench[key]
		n, err := strconv.Atoi(key)
		wrong := ""
		switch {
		case err != nil || strconv.Itoa(n) != key || n < 1 || n > c.Slots:
			wrong = fmt.Sprintf("the keys of bench are slots, 1 to %d", c.Slots)
		case !port.IsLocation(location):
			wrong = fmt.Sprintf("%q is no USB location; see: station ports", location)
		case first[location] != "":
			wrong = fmt.Sprintf("%s is bound to slot %s already", location, first[location])
		}
		if wrong != "" {
			return fmt.Errorf("%s:%d: bench: %s: %s", path, benchLine(raw, key), key, wrong)
		}
		first[location] = key
	}
	return nil
}

func byNumber(a, b string) int {
	x, _ := strconv.Atoi(a)
	y, _ := strconv.Atoi(b)
	return cmp.Or(cmp.Compare(x, y), cmp.Compare(a, b))
}

// benchLine is the line that a key of the table bench stands in, the file's
// first if it is written in a way that is not looked for.
func benchLine(raw []byte, key string) int {
	_, body, _ := cutBench(raw)
	for i, l := range body.lines {
		if k, _, ok := assigned(l); ok && k == key {
			return body.first + i
		}
	}
	return 1
}

// assigned reads a line of the table bench: a key, and what stands behind =.
func assigned(line string) (key, value string, ok bool) {
	line = strings.TrimSpace(line)
	key, value, ok = strings.Cut(line, "=")
	return strings.Trim(strings.TrimSpace(key), `"'`), strings.TrimSpace(value), ok && line[0] != '#'
}

var benchHeader = regexp.MustCompile(`^\s*\[\s*bench\s*\]\s*(#.*)?$`)

// A section is some lines of a file; first is the number of its first one.
type section struct {
	lines []string
	first int
}

// cutBench splits a file around the assignments of its table bench. What
// stands behind the last of them belongs to the next table.
func cutBench(raw []byte) (head, body, rest section) {
	lines := strings.SplitAfter(string(raw), "\n")
	start := slices.IndexFunc(lines, func(l string) bool { return benchHeader.MatchString(strings.TrimRight(l, "\r\n")) }) + 1
	if start == 0 {
		return section{lines, 1}, section{nil, len(lines)}, section{nil, len(lines)}
	}
	end := start
	for i, l := range lines[start:] {
		if strings.HasPrefix(strings.TrimSpace(l), "[") {
			break
		}
		if _, _, ok := assigned(l); ok {
			end = start + i + 1
		}
	}
	return section{lines[:start], 1}, section{lines[start:end], start + 1}, section{lines[end:], end + 1}
}

// writeBench puts a table bench into the text of station.toml. Everything else
// stays as a person wrote it, comments and lines that still hold included.
func writeBench(raw []byte, bench map[string]string) []byte {
	head, body, rest := cutBench(raw)
	var out bytes.Buffer
	line := func(s string) {
		out.WriteString(s)
		if s != "" && !strings.HasSuffix(s, "\n") {
			out.WriteByte('\n')
		}
	}
	for _, l := range head.lines {
		line(l)
	}
	if body.lines == nil && rest.lines == nil {
		line("\n[bench]\n")
	}
	kept := map[string]bool{}
	for _, l := range body.lines {
		if key, value, ok := assigned(l); ok {
			location, still := bench[key]
			if !still || !strings.HasPrefix(value, `"`+location+`"`) && !strings.HasPrefix(value, "'"+location+"'") {
				continue
			}
			kept[key] = true
		}
		line(l)
	}
	for _, key := range slices.SortedFunc(maps.Keys(bench), byNumber) {
		if !kept[key] {
			line(fmt.Sprintf("%s = %q\n", key, bench[key]))
		}
	}
	for _, l := range rest.lines {
		line(l)
	}
	return out.Bytes()
}

// rebind writes another table bench into station.toml.
func (h *home) rebind(bench map[string]string) error {
	path := h.path("station.toml")
	raw, err := settings.Read(path)
	if err != nil {
		return unfit(err, "the home must be readable by who runs the station")
	}
	text := writeBench(raw, bench)
	want := h.cfg
	want.Bench = bench
	got, err := parseHome(path, text)
	if err == nil && (len(got.Bench) != 0 || len(bench) != 0) && !reflect.DeepEqual(got, want) {
		err = errors.New("the table bench is written in a way that cannot be changed here")
	}
	if err != nil {
		return usage(err, "write the table bench by hand, as testdata/station.toml shows")
	}
	if err := settings.Write(path, text, 0o600); err != nil {
		return unfit(err, "the home must be writable")
	}
	h.cfg = want
	return nil
}
