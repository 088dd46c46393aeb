// SPDX-License-Identifier: Apache-2.0

package bundle_test

import (
	"os"
	"path/filepath"
	"testing"

	"provisioning.example/station/internal/record/bundle"
)

// FuzzOpen opens anything as a bundle and, should it open, reads all of it.
func FuzzOpen(f *testing.F) {
	path := filepath.Join(f.TempDir(), "bundle")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := bundle.Open(t.Context(), path)
		if err != nil {
			return
		}
		defer b.Close() //nolint:errcheck // test
		n := int64(0)
		for e, err := range b.Raw(t.Context(), 0, 0) {
			if err != nil {
				t.Fatalf("an opened bundle does not read: %v", err)
			}
			if n++; e.Seq < 1 {
				t.Fatalf("entry %d of epoch %d", e.Seq, e.Epoch)
			}
		}
		if n != b.Manifest.Entries() {
			t.Fatalf("%d entries, the manifest says %d", n, b.Manifest.Entries())
		}
		for _, err := range b.Checkpoints(t.Context()) {
			if err != nil {
				return
			}
		}
	})
}
