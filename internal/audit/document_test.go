// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"provisioning.example/station/internal/audit"
)

// TestDocumentedFields holds docs/verdict.md, which programs are written by, against what is written.
func TestDocumentedFields(t *testing.T) {
	page, err := os.ReadFile("../../docs/verdict.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := bytes.Cut(page, []byte("## For programs"))
	if !found {
		t.Fatal("the page has no table for programs")
	}
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllSubmatch(table, -1) {
		documented[string(m[1])] = true
	}
	written := map[string]bool{}
	empty := &audit.Report{}
	for _, v := range []audit.Verdict{empty, &audit.UnitReport{Report: empty}, &audit.ExportReport{Report: empty}} {
		text, err := audit.JSON(v)
		if err != nil {
			t.Fatal(err)
		}
		fields := map[string]json.RawMessage{}
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		for name := range fields {
			written[name] = true
		}
	}
	if want, got := slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(written)); !slices.Equal(want, got) {
		t.Errorf("docs/verdict.md has\n%v\nwritten are\n%v", want, got)
	}
}
