// SPDX-License-Identifier: Apache-2.0

// Command testsum reads the output of go test -json on standard input, prints
// what failed with its output, which tests were the slowest, and at the very
// end, in few enough lines for the tail of a log, what failed once more with
// what it said. It exits 1 when a test failed or did not end, when a package
// did not build, when nothing ran, or when a test was skipped that the list of
// allowed skips does not name.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// event is a line of go test -json (go doc test2json).
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64 // seconds
}

// A test is one test, or with no name of its own a package or its build.
type test struct {
	room, name string
	output     strings.Builder
	bad        string // why it did not pass, "" while nothing is wrong
}

func (t *test) String() string { return strings.TrimSpace(t.room + " " + t.name) }

// slow is a test that passed, and how long it took.
type slow struct {
	name    string
	seconds float64
}

type summary struct {
	out                     io.Writer
	allowed                 []string // skips: package, tab, test
	passed, failed, skipped int
	tests                   map[string]*test // that may still fail, by package and name
	bad                     []*test
	slow                    []slow
}

func main() {
	skips := flag.String("skips", "", "file of allowed skips: package, test, reason, tab separated")
	flag.Parse()
	allowed, err := readSkips(*skips)
	if err == nil {
		err = run(os.Stdin, os.Stdout, allowed)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, allowed []string) error {
	s := summary{out: out, allowed: allowed, tests: map[string]*test{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(out, lines.Text())
			continue
		}
		s.add(e)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	for _, t := range s.bad {
		fmt.Fprintf(out, "--- %s\n%s", t, t.output.String())
	}
	s.slowest(out)
	s.essence(out)
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	switch {
	case len(s.bad) > 0:
		return fmt.Errorf("%d not passed", len(s.bad))
	case s.passed == 0:
		return fmt.Errorf("no test ran")
	}
	return nil
}

// test finds a test, or begins to keep what it says.
func (s *summary) test(e event) *test {
	room := e.Package + e.ImportPath
	key := room + "\t" + e.Test
	if s.tests[key] == nil {
		s.tests[key] = &test{room: room, name: e.Test}
	}
	return s.tests[key]
}

func (s *summary) add(e event) {
	switch e.Action {
	case "run":
		s.test(e)
	case "output", "build-output":
		s.test(e).output.WriteString(e.Output)
	case "build-fail":
		s.fail(s.test(e), "did not build")
	case "pass":
		if e.Test == "" {
			fmt.Fprintf(s.out, "ok   %-60s %6.1fs\n", e.Package, e.Elapsed)
			return
		}
		s.passed++
		if !strings.Contains(e.Test, "/") {
			s.slow = append(s.slow, slow{e.Package + " " + e.Test, e.Elapsed})
		}
		s.forget(e)
	case "fail":
		if e.Test == "" {
			fmt.Fprintf(s.out, "FAIL %-60s %6.1fs\n", e.Package, e.Elapsed)
			s.unfinished(e.Package)
		}
		s.fail(s.test(e), "failed")
		s.forget(e)
	case "skip":
		if e.Test != "" { // else a package without tests
			s.skipped++
			if !slices.Contains(s.allowed, e.Package+"\t"+e.Test) {
				s.wrong(s.test(e), "was skipped")
			}
		}
		s.forget(e)
	}
}

// forget drops what a test said that has ended: it is kept in bad if need be.
func (s *summary) forget(e event) { delete(s.tests, e.Package+"\t"+e.Test) }

func (s *summary) fail(t *test, why string) {
	s.failed++
	s.wrong(t, why)
}

func (s *summary) wrong(t *test, why string) {
	t.bad = why
	s.bad = append(s.bad, t)
}

// unfinished finds the tests of a package that ended without them: one that
// panicked, ran out of time or was killed.
func (s *summary) unfinished(room string) {
	var left []*test
	for _, t := range s.tests {
		if t.room == room && t.name != "" {
			left = append(left, t)
		}
	}
	slices.SortFunc(left, func(a, b *test) int { return strings.Compare(a.name, b.name) })
	for _, t := range left {
		s.fail(t, "did not end")
	}
}

// slowest prints the tests that took the longest.
func (s *summary) slowest(out io.Writer) {
	slices.SortStableFunc(s.slow, func(a, b slow) int { return int(1000 * (b.seconds - a.seconds)) })
	for _, t := range s.slow[:min(len(s.slow), 10)] {
		if t.seconds >= 1 {
			fmt.Fprintf(out, "slow %-60s %6.1fs\n", t.name, t.seconds)
		}
	}
}

func readSkips(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []string
	for i, line := range strings.Split(string(raw), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 3 || f[2] == "" {
			return nil, fmt.Errorf("%s:%d: want package, test and reason, tab separated", path, i+1)
		}
		out = append(out, f[0]+"\t"+f[1])
	}
	return out, nil
}
