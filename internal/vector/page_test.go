// SPDX-License-Identifier: Apache-2.0

package vector

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// docs/vectors.md has a row for every file of vectors, and for no other.
func TestPageNamesEveryFile(t *testing.T) {
	page, err := os.ReadFile("../../docs/vectors.md")
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for line := range strings.Lines(string(page)) {
		if name, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ = strings.Cut(name, "`")
			named = append(named, name)
		}
	}
	files, err := filepath.Glob("../../testdata/vectors/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of vectors: %v", err)
	}
	for i, f := range files {
		files[i] = filepath.Base(f)
		if _, err := Read(f); err != nil {
			t.Error(err)
		}
	}
	slices.Sort(named)
	if !slices.Equal(named, files) {
		t.Errorf("the page has %v, the directory %v", named, files)
	}
}
