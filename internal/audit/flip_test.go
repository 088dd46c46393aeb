// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/record/bundle"
)

// flips are the places in a file of n bytes where a bit is flipped: a fixed sweep, the same in every run, of all eight bits.
func flips(n int) (at []int) {
	step := max(1, n/97)
	for i := 0; i < n; i += step {
		at = append(at, i)
	}
	return append(at, n-1)
}

// TestBundleFlips flips bits in every file of a bundle: each is refused and the file is named, and the record where the file has such.
func TestBundleFlips(t *testing.T) {
	w := newWorld(t)
	for n := range 3 {
		w.provision(w.make(n, newKey(t)), nil)
	}
	whole, err := os.ReadFile(w.bundled("whole"))
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "flipped")
	swept := map[string]int{}
	for _, f := range z.File {
		start, err := f.DataOffset()
		if err != nil || f.Method != zip.Store || f.UncompressedSize64 == 0 {
			t.Fatalf("%s: %v, method %d, %d bytes", f.Name, err, f.Method, f.UncompressedSize64)
		}
		for bit, at := range flips(int(f.UncompressedSize64)) {
			place := int(start) + at
			whole[place] ^= 1 << (bit % 8)
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			b, err := bundle.Open(t.Context(), path)
			whole[place] ^= 1 << (bit % 8)
			var d *bundle.DamageError
			switch {
			case err == nil:
				b.Close() //nolint:errcheck // test
				t.Fatalf("%s: bit %d of byte %d flipped, and taken", f.Name, bit%8, at)
			case !errors.As(err, &d):
				t.Fatalf("%s: bit %d of byte %d: %v", f.Name, bit%8, at, err)
			case d.File != f.Name:
				t.Fatalf("%s: bit %d of byte %d: %q is named: %v", f.Name, bit%8, at, d.File, err)
			case hasRecords(f.Name) && d.Record == "":
				t.Fatalf("%s: bit %d of byte %d: no record is named: %v", f.Name, bit%8, at, err)
			}
			swept[f.Name]++
		}
	}
	if len(swept) < 7 {
		t.Errorf("only %v", swept)
	}
	t.Log(swept)
}

// hasRecords tells whether a file of a bundle is made of records that are told apart. Of checkpoints only the file is named: which of
// them was changed, nobody can tell without the key.
func hasRecords(name string) bool {
	return strings.HasSuffix(name, "/entries.jsonl") || strings.HasSuffix(name, "/leaves.bin") || name == "blobs.bin"
}
