// SPDX-License-Identifier: Apache-2.0

package lot

import (
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"provisioning.example/station/internal/record"
)

// TestTree holds the right edge against a whole tree, at every size.
func TestTree(t *testing.T) {
	var mine tree
	var stored []tlog.Hash
	whole := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, n := range at {
			out[i] = stored[n]
		}
		return out, nil
	})
	for n := range int64(70) {
		leaf := record.Leaf(fmt.Append(nil, n))
		more, err := tlog.StoredHashesForRecordHash(n, leaf, whole)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
		nodes := mine.add(leaf)
		if len(nodes) != len(more)-1 {
			t.Fatalf("leaf %d completes %d nodes, want %d", n, len(nodes), len(more)-1)
		}
		for i, node := range nodes {
			if node.ID != tlog.StoredHashIndex(0, n)+int64(i)+1 || stored[node.ID] != node.Hash {
				t.Errorf("leaf %d: node %d is another", n, node.ID)
			}
		}
		root, err := tlog.TreeHash(n+1, whole)
		if err != nil || mine.root() != root || mine.size != n+1 {
			t.Errorf("root of %d: %v, %v, want %v", n+1, err, mine.root(), root)
		}
	}
}
