// SPDX-License-Identifier: Apache-2.0

package vector_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	goRow     = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `(Fuzz\\w+)` \\| [^|]+ \\| [^|]+ \\| ([1-9][0-9]*) \\|$")
	cRow      = regexp.MustCompile("(?m)^\\| `([a-z]+)` \\| `enr_[^|]*\\| [^|]+ \\| ([1-9][0-9]*) \\|$")
	fuzzFunc  = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	fuzzEntry = regexp.MustCompile(`(?m)^int LLVMFuzzerTestOneInput\(.*\)$`)
	fuzzRuns  = regexp.MustCompile(`(?m)^FUZZ_RUNS := (.*)$`)
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// compare fails for what stands on one side only, or differs.
func compare(t *testing.T, what string, documented, real map[string]string) {
	t.Helper()
	if len(real) == 0 {
		t.Fatalf("%s: none was found", what)
	}
	all := maps.Clone(documented)
	maps.Copy(all, real)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if documented[name] != real[name] {
			t.Errorf("%s %s: docs/fuzzing.md has %q, the tree %q", what, name, documented[name], real[name])
		}
	}
}

// TestGoTargets holds docs/fuzzing.md, which says what runs, against the fuzz
// targets in the tree.
func TestGoTargets(t *testing.T) {
	documented, real := map[string]string{}, map[string]string{}
	for _, m := range goRow.FindAllStringSubmatch(read(t, "docs/fuzzing.md"), -1) {
		name := m[1] + " " + m[2]
		if documented[name] != "" {
			t.Errorf("%s has two rows", name)
		}
		documented[name] = "a target"
		checkCorpus(t, filepath.Join(m[1], "testdata/fuzz", m[2]))
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == ".cache") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		room, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		for _, m := range fuzzFunc.FindAllStringSubmatch(read(t, room), -1) {
			real[filepath.ToSlash(filepath.Dir(room))+" "+m[1]] = "a target"
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "target", documented, real)
}

// TestAgentTargets does the same for the agent's, and their numbers.
func TestAgentTargets(t *testing.T) {
	documented, real, runs := map[string]string{}, map[string]string{}, map[string]string{}
	for _, m := range cRow.FindAllStringSubmatch(read(t, "docs/fuzzing.md"), -1) {
		documented[m[1]] = m[2]
		checkCorpus(t, filepath.Join("firmware/fuzz/corpus", m[1]))
	}
	line := fuzzRuns.FindStringSubmatch(read(t, "firmware/fuzz/fuzz.mk"))
	if line == nil {
		t.Fatal("fuzz.mk has no FUZZ_RUNS")
	}
	for _, entry := range strings.Fields(line[1]) {
		name, n, _ := strings.Cut(entry, ":")
		runs[name] = n
	}
	paths, err := filepath.Glob(filepath.Join(root, "firmware/fuzz/*.c"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".c")
		if fuzzEntry.MatchString(read(t, "firmware/fuzz/"+name+".c")) {
			real[name] = runs[name]
		}
	}
	compare(t, "target of the agent", documented, real)
	compare(t, "entry of FUZZ_RUNS", documented, runs)
}

func checkCorpus(t *testing.T, dir string) {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(root, dir))
	if err != nil || len(files) == 0 {
		t.Errorf("%s holds no corpus: %v", dir, err)
	}
	var size int64
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 128<<10 {
		t.Errorf("%s holds %d bytes: a corpus in the tree is small", dir, size)
	}
}
