// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// Of a log often only the tail is kept. All that essence prints fits there,
// with what make and the caller say after it.
const (
	tailLines = 50
	tailWidth = 300 // bytes of one line
)

// essence prints once more what did not pass: each with its name, and with as
// many lines of what it said as there is room for.
func (s *summary) essence(out io.Writer) {
	named := s.causes()
	if len(named) == 0 {
		return
	}
	fmt.Fprintf(out, "not passed: %d\n", len(named))
	room := tailLines - 1
	for i, t := range named {
		if room <= 1 && len(named)-i > 1 {
			fmt.Fprintf(out, "and %d more\n", len(named)-i)
			return
		}
		share := max(room/(len(named)-i), 1)
		lines := []string{fmt.Sprintf("%s %s", t, t.bad)}
		lines = append(lines, pick(essential(t.output.String()), share-1)...)
		for _, l := range lines {
			fmt.Fprintln(out, cut(l))
		}
		room -= len(lines)
	}
}

// causes are the tests that are to be named: not one that failed only because
// a part of it did, and not a package that failed because a test or its build
// did.
func (s *summary) causes() []*test {
	var named []*test
	for _, t := range s.bad {
		within := func(other *test) bool {
			if t.name == "" && strings.HasPrefix(other.room, t.room+" ") { // the build of its test
				return true
			}
			return other != t && other.room == t.room && (t.name == "" || strings.HasPrefix(other.name, t.name+"/"))
		}
		said := slices.ContainsFunc(essential(t.output.String()), tells.MatchString)
		if !slices.ContainsFunc(s.bad, within) || t.name != "" && said {
			named = append(named, t)
		}
	}
	return named
}

var (
	// noise is what go test says of every test.
	noise = regexp.MustCompile(`^\s*(=== (RUN|PAUSE|CONT|NAME|ARTIFACTS)\b.*|--- (PASS|FAIL|SKIP): .*|PASS|FAIL|FAIL\t.*|exit status \d+)?$`)
	// tells marks the lines that say why, as far as that can be known.
	tells = regexp.MustCompile(`^\s*[\w.-]+\.go:\d+: |^panic: |^fatal error: |DATA RACE|^\S+\.go:\d+:\d+: |^signal: |running tests:`)
)

// essential are the lines of an output without what go test says of every test.
func essential(output string) []string {
	var kept []string
	for line := range strings.Lines(output) {
		if line = strings.TrimRight(line, " \t\r\n"); !noise.MatchString(line) {
			kept = append(kept, line)
		}
	}
	return kept
}

// pick takes n lines at the most: what says why comes before all else, what was
// said last before what was said first. Their order stays.
func pick(lines []string, n int) []string {
	if len(lines) <= n {
		return lines
	}
	if n <= 0 {
		return nil
	}
	var chosen []int
	for _, why := range []bool{true, false} {
		for i, line := range slices.Backward(lines) {
			if tells.MatchString(line) == why && len(chosen) < n {
				chosen = append(chosen, i)
			}
		}
	}
	slices.Sort(chosen)
	var out []string
	for _, i := range chosen {
		out = append(out, lines[i])
	}
	return out
}

// cut shortens a line that is too long for a log's tail.
func cut(line string) string {
	if len(line) <= tailWidth {
		return line
	}
	return strings.ToValidUTF8(line[:tailWidth-3], "") + "..."
}
