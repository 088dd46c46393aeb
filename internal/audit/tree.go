// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"golang.org/x/mod/sumdb/tlog"

	"provisioning.example/station/internal/record"
)

// frontier is the right edge of a Merkle tree: all that is needed to add leaves and to know the root (RFC 6962, 2.1).
type frontier struct {
	size  int64
	nodes []tlog.Hash // roots of the full subtrees, largest first: one for each bit of size
}

// add adds a leaf and returns the nodes above level 0 that it completes, in the order of their numbers.
func (f *frontier) add(leaf [32]byte) []record.StoredNode {
	var completed []record.StoredNode
	hash := tlog.Hash(leaf)
	first := tlog.StoredHashIndex(0, f.size)
	for level, rest := int64(1), f.size; rest&1 == 1; level, rest = level+1, rest>>1 {
		last := len(f.nodes) - 1
		hash = tlog.NodeHash(f.nodes[last], hash)
		f.nodes = f.nodes[:last]
		completed = append(completed, record.StoredNode{ID: first + level, Hash: hash})
	}
	f.nodes = append(f.nodes, hash)
	f.size++
	return completed
}

func (f *frontier) root() [32]byte {
	if f.size == 0 {
		empty, _ := tlog.TreeHash(0, nil) // cannot fail: nothing is read
		return empty
	}
	root := f.nodes[len(f.nodes)-1]
	for i := len(f.nodes) - 2; i >= 0; i-- {
		root = tlog.NodeHash(f.nodes[i], root)
	}
	return root
}

// Tree is a Merkle tree that grows (RFC 6962, 2.1), of which only the right edge is kept. The zero value is empty.
type Tree struct{ f frontier }

// Add adds the leaf hash of the next entry.
func (t *Tree) Add(leaf [32]byte) { t.f.add(leaf) }

// Size is the number of leaves.
func (t *Tree) Size() int64 { return t.f.size }

// Root is what a checkpoint of this size must say.
func (t *Tree) Root() [32]byte { return t.f.root() }
