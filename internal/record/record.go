// SPDX-License-Identifier: Apache-2.0

// Package record defines what a station's ledger says and how it is proven, without any storage:
// the kinds of entries and their fields, their canonical bytes (RFC 8785), leaf hashes of the Merkle tree (RFC 6962),
// checkpoints (C2SP tlog-checkpoint, signed-note), inclusion proofs (C2SP tlog-proof) and board receipts.
//
// A program that writes makes a [Body] and hands it to the ledger. A program that judges decodes stored bytes with [Decode],
// hashes them with [Leaf] and compares roots with a [Checkpoint] opened by a [Verifier].
package record

import "golang.org/x/mod/sumdb/tlog"

// Entry is one line of a ledger as it is stored.
type Entry struct {
	Epoch int   // one TPM's time in a station's ledger, from 1
	Seq   int64 // dense from 1 in each epoch; leaf number Seq-1
	Body  Body
	Raw   []byte   // the stored bytes: what is hashed
	Leaf  [32]byte // the stored leaf hash; to be compared with Leaf(Raw) by who verifies
}

// Leaf is the hash of an entry's stored bytes in the Merkle tree: SHA-256 of 00 and the bytes (RFC 6962, 2.1).
func Leaf(raw []byte) [32]byte { return tlog.RecordHash(raw) }

// StoredCheckpoint is a row of the ledger's checkpoints: a signed note and the place it is stored under.
type StoredCheckpoint struct {
	Epoch int
	Size  int64
	Note  []byte
}

// StoredBlob is what entries name by its SHA-256.
type StoredBlob struct {
	Digest [32]byte
	Bytes  []byte
}

// StoredNode is a stored hash of a ledger's tree, numbered as golang.org/x/mod/sumdb/tlog does.
type StoredNode struct {
	ID   int64
	Hash [32]byte
}

// HeldClaim is a claim in force and the entry that took it.
type HeldClaim struct {
	Claim
	Epoch int
	Seq   int64
}
