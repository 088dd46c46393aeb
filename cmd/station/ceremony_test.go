// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// pageStep is one block of commands on a page and what it prints.
type pageStep struct {
	line     int
	commands string
	prints   []string
}

// readPage takes the blocks of commands out of a page, each with the block of
// text behind it.
func readPage(t *testing.T, path string) (steps []pageStep) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	kind := ""
	for n, line := range strings.Split(string(raw), "\n") {
		switch {
		case strings.HasPrefix(line, "```") && kind != "":
			kind = ""
		case strings.HasPrefix(line, "```"):
			kind = strings.TrimPrefix(line, "```")
			if kind == "sh" {
				steps = append(steps, pageStep{line: n + 1})
			} else if kind != "text" || len(steps) == 0 {
				t.Fatalf("%s:%d: a block of %q", path, n+1, kind)
			}
		case kind == "sh":
			steps[len(steps)-1].commands += line + "\n"
		case kind == "text":
			last := &steps[len(steps)-1]
			last.prints = append(last.prints, line)
		}
	}
	return steps
}

// TestCeremonyPage types what docs/ceremony.md shows, in a folder of its own,
// and compares what comes out.
func TestCeremonyPage(t *testing.T) {
	steps := readPage(t, "../../docs/ceremony.md")
	if len(steps) < 10 {
		t.Fatalf("the page has %d blocks of commands", len(steps))
	}
	// A socket's path may have 107 bytes at most: t.TempDir is too long.
	dir, err := os.MkdirTemp("", "ce")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const mark = "=== end of block"
	var script strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&script, "%secho '%s'\n", s.commands, mark)
	}
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	c := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script.String())
	c.Dir, c.Stdout, c.Stderr = dir, &out, &errs
	c.Env = append(os.Environ(), asStation+"=1", "PATH="+asCommand(t)+":"+os.Getenv("PATH"))
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), errs.String())
	}
	got := strings.Split(out.String(), mark+"\n")
	for i, s := range steps {
		rest := got[i]
		for _, want := range s.prints {
			at := pattern(want).FindStringIndex(rest)
			if at == nil {
				t.Errorf("docs/ceremony.md:%d: does not print %q; left is\n%s", s.line, want, rest)
				break
			}
			rest = rest[at[1]:]
		}
	}
}

// pattern is a line of a page as an expression: … stands for anything.
func pattern(line string) *regexp.Regexp {
	return regexp.MustCompile(`(?m)^` + strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*") + `.*$`)
}

// asCommand is a folder in which this test is called station.
func asCommand(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "station")); err != nil {
		t.Fatal(err)
	}
	return dir
}
