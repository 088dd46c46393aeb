// SPDX-License-Identifier: Apache-2.0

package dossier_test

import (
	"testing"

	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/record/dossier"
)

// FuzzParse takes anything for a dossier. What is taken holds what its manifest says.
func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := dossier.Parse(data)
		if err != nil {
			return
		}
		if len(d.Entries) != len(d.Manifest.Entries) || len(d.Entries) == 0 {
			t.Fatalf("%d entries, the manifest says %d", len(d.Entries), len(d.Manifest.Entries))
		}
		for i, e := range d.Entries {
			if p := d.Manifest.Entries[i]; e.Epoch != p.Epoch || e.Seq != p.Seq || e.Leaf != record.Leaf(e.Raw) || e.Proof.Index != e.Seq-1 {
				t.Fatalf("entry %d of epoch %d stands for %d of %d", e.Seq, e.Epoch, p.Seq, p.Epoch)
			}
		}
	})
}
