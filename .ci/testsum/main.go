// SPDX-License-Identifier: Apache-2.0

// Command testsum reads the output of go test -json on standard input, prints
// what failed with its output, and ends with one line of counts. It exits 1
// when a test failed, when a package did not build, when nothing ran, or when
// a test was skipped that the list of allowed skips does not name.
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
	Elapsed                                   float64
}

type summary struct {
	passed, failed, skipped int
	bad                     []string
	output                  map[string]*strings.Builder
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
	s := summary{output: map[string]*strings.Builder{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(out, lines.Text())
			continue
		}
		s.add(e, allowed, out)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	for _, name := range s.bad {
		if o := s.output[name]; o != nil {
			fmt.Fprintf(out, "--- %s\n%s", name, o)
		}
	}
	for _, name := range s.bad {
		fmt.Fprintln(out, "not passed:", name)
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	switch {
	case len(s.bad) > 0:
		return fmt.Errorf("%d not passed", len(s.bad))
	case s.passed == 0:
		return fmt.Errorf("no test ran")
	}
	return nil
}

func (s *summary) add(e event, allowed []string, out io.Writer) {
	name := strings.TrimSpace(e.Package + e.ImportPath + " " + e.Test)
	switch e.Action {
	case "output", "build-output":
		o := s.output[name]
		if o == nil {
			o = &strings.Builder{}
			s.output[name] = o
		}
		o.WriteString(e.Output)
	case "build-fail":
		s.failed++
		s.bad = append(s.bad, name)
	case "pass":
		if e.Test == "" {
			fmt.Fprintf(out, "ok   %-60s %6.1fs\n", e.Package, e.Elapsed)
			return
		}
		s.passed++
		delete(s.output, name)
	case "fail":
		if e.Test == "" {
			fmt.Fprintf(out, "FAIL %-60s %6.1fs\n", e.Package, e.Elapsed)
		}
		s.failed++
		s.bad = append(s.bad, name)
	case "skip":
		if e.Test == "" { // a package without tests
			return
		}
		s.skipped++
		if !slices.Contains(allowed, e.Package+"\t"+e.Test) {
			s.bad = append(s.bad, name)
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
