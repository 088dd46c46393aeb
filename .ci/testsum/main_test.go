// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// summed runs go test -json over a package made of files and sums it up.
func summed(t *testing.T, allowed []string, source string, args ...string) (out string, err error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module example/m\n\ngo 1.26\n", "m_test.go": source} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command("go", append([]string{"test", "-json", "-count=1"}, args...)...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GOFLAGS=")
	raw, _ := c.Output() // fails with the tests
	var b strings.Builder
	err = run(strings.NewReader(string(raw)), &b, allowed)
	return b.String(), err
}

// tail is the end of a log.
func tail(out string, n int) string {
	lines := strings.SplitAfter(strings.TrimSpace(out), "\n")
	return strings.Join(lines[max(len(lines)-n, 0):], "")
}

const prelude = "package m\nimport (\"testing\"; \"os\"; \"strings\"; \"fmt\")\nvar _ = fmt.Sprint(os.Args, strings.ToUpper(\"\"))\n"

func TestSummary(t *testing.T) {
	for name, c := range map[string]struct {
		source string
		args   []string
		want   []string // in the last lines
		not    []string
		passes bool
	}{
		"passed": {source: `func TestA(t *testing.T) {}`, want: []string{"1 passed, 0 failed, 0 skipped"}, passes: true},
		"failed": {
			source: `func TestA(t *testing.T) { t.Log(strings.Repeat("log\n", 500)); t.Error("got 7, want 8"); t.Log(strings.Repeat("more\n", 500)) }`,
			want:   []string{"example/m TestA failed", "got 7, want 8", "0 passed, 2 failed"},
		},
		"many failed": {
			source: `func TestA(t *testing.T) { for i := range 70 { t.Run(fmt.Sprint("n", i, "n"), func(t *testing.T) { t.Log("x"); t.Error("y") }) } }`,
			want:   []string{"TestA/n0n failed", "TestA/n10n failed", "not passed: 70", "more"},
			not:    []string{"TestA failed"},
		},
		"both a test and its part failed": {
			source: `func TestA(t *testing.T) { t.Run("part", func(t *testing.T) { t.Error("in part") }); t.Error("in all") }`,
			want:   []string{"TestA/part failed", "in part", "example/m TestA failed", "in all"},
		},
		"panicked": {
			source: `func TestA(t *testing.T) { panic("at the disco") }`,
			want:   []string{"example/m TestA ", "panic: at the disco"},
		},
		"ran out of time": {
			source: `func TestA(t *testing.T) { t.Parallel(); select {} }
func TestB(t *testing.T) { t.Parallel(); select {} }`,
			args: []string{"-timeout=200ms", "-parallel=2"}, // of a process that waits for ever
			want: []string{"example/m TestA did not end", "example/m TestB did not end", "test timed out after 200ms"},
		},
		"ended itself":  {source: `func TestA(t *testing.T) { os.Exit(3) }`, want: []string{"example/m TestA did not end"}},
		"did not build": {source: `func TestA(t *testing.T) { t.Foo() }`, want: []string{"not passed: 1", "did not build", "t.Foo undefined"}},
		"nothing ran":   {source: `var _ *testing.T`, want: []string{"0 passed, 0 failed"}},
		"skipped":       {source: `func TestA(t *testing.T) { t.Skip("not today") }`, want: []string{"example/m TestA was skipped", "not today"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := summed(t, nil, prelude+c.source, c.args...)
			end := tail(out, tailLines+1)
			if (err == nil) != c.passes {
				t.Errorf("got %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(end, want) {
					t.Errorf("the tail lacks %q", want)
				}
			}
			for _, not := range c.not {
				if strings.Contains(end, not) {
					t.Errorf("the tail has %q", not)
				}
			}
			if t.Failed() {
				t.Log(end)
			}
		})
	}
}

func TestAllowedSkip(t *testing.T) {
	out, err := summed(t, []string{"example/m\tTestA"}, prelude+`func TestA(t *testing.T) { t.Skip() }
func TestB(t *testing.T) {}`)
	if err != nil || !strings.HasSuffix(out, "1 passed, 0 failed, 1 skipped\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestPick(t *testing.T) {
	var lines []string
	for i := range 100 {
		lines = append(lines, fmt.Sprint("line ", i))
	}
	lines[3] = "    a_test.go:3: why"
	if got := strings.Join(pick(lines, 3), ", "); got != "    a_test.go:3: why, line 98, line 99" {
		t.Errorf("got %q", got)
	}
	if got := cut(strings.Repeat("é", tailWidth)); len(got) > tailWidth || !strings.HasSuffix(got, "é...") {
		t.Errorf("got %q", got)
	}
}
