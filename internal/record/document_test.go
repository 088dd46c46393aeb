// SPDX-License-Identifier: Apache-2.0

package record_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"provisioning.example/station/internal/record"
)

var update = flag.Bool("update", false, "write the tables into docs/ledger.md")

func TestDocumentHasTheTables(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "ledger.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	marker := []byte("-update -->\n")
	intro, tables, found := bytes.Cut(text, marker)
	if !found {
		t.Fatalf("%s lacks the marker %q", path, marker)
	}
	var want bytes.Buffer
	if err := record.Document(&want); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, append(append(intro, marker...), want.Bytes()...), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(tables, want.Bytes()) {
		t.Errorf("%s does not have the tables of today: go test ./internal/record -run TestDocument -update", path)
	}
}
