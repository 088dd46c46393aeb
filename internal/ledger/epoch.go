// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// NextEpoch begins a new epoch in an existing ledger: c.Origin is the newest epoch's with the next number, c.Signer the new checkpoint key.
// b is the epoch's first entry, of kind handover or restored, with reason and approver. What it says of the epoch that ends is filled in:
// origin, size and digest of its newest checkpoint (the note is stored as a blob), and the number of its entries and the root over all of them.
// So the new key also vouches for entries after that checkpoint, which the old key can no longer sign for.
//
// The empty tree's checkpoint and the entry are one transaction: a crash leaves the old epoch or the new one, never half of it.
// more is written with it, after it. Called again for an epoch that was begun with this key it does nothing.
// It refuses a ledger whose end does not fit its newest checkpoint, as [Open] does, and then changes nothing.
// The signature of that checkpoint is for the auditor: the key that made it is gone.
//
// A restored entry may name a later checkpoint than the ledger has, one that is lost, by origin, size and digest: then these stay as given.
func NextEpoch(ctx context.Context, c Config, b record.Body, more ...Batch) (err error) {
	l, err := prepare(c)
	if err != nil {
		return err
	}
	if b.Kind != record.KindHandover && b.Kind != record.KindRestored {
		return fmt.Errorf("ledger: an epoch begins with a handover or restored entry, not with %q", b.Kind)
	}
	if l.read, err = reader.Open(ctx, c.Path); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.read.Close()) }()
	if err := l.read.Check(ctx); err != nil {
		return err
	}
	newest, found, err := l.read.NewestCheckpoint(ctx)
	if err != nil {
		return err
	}
	if !found {
		return &reader.FormatError{Path: c.Path, What: "has no checkpoint, not even the first"}
	}
	if newest.Epoch == l.origin.Epoch {
		if _, err := l.verifier.Open(newest.Note); err != nil {
			return fmt.Errorf("ledger %s: epoch %d was begun with another key: %w", c.Path, l.origin.Epoch, err)
		}
		return nil
	}
	if err := l.ending(ctx, newest, &b); err != nil {
		return &reader.FormatError{Path: c.Path, What: err.Error()}
	}
	first := Batch{Bodies: []record.Body{b}, Blobs: [][]byte{newest.Note}}
	for _, m := range more {
		first.Bodies, first.Blobs = append(first.Bodies, m.Bodies...), append(first.Blobs, m.Blobs...)
	}
	return l.begin(ctx, c.Path, first)
}

// ending checks the epoch that ends and fills in what the new one says of it.
func (l *Ledger) ending(ctx context.Context, newest record.StoredCheckpoint, b *record.Body) error {
	c, err := record.ReadCheckpoint(newest.Note)
	if err != nil {
		return fmt.Errorf("newest checkpoint: %w", err)
	}
	if c.Origin.Station != l.origin.Station || c.Origin.Epoch != l.origin.Epoch-1 || newest.Epoch != c.Origin.Epoch || newest.Size != c.Size {
		return fmt.Errorf("is the ledger of %s, which %s does not follow", c.Origin, l.origin)
	}
	size, err := l.read.Size(ctx, c.Origin.Epoch)
	if err != nil {
		return err
	}
	if c.Size == 0 || c.Size > size {
		return fmt.Errorf("its newest checkpoint covers %d entries and %d are stored: there is nothing to go on from", c.Size, size)
	}
	w, err := look(ctx, l.read, c.Origin)
	if err != nil {
		return err
	}
	if err := w.judge(c.Origin); err != nil {
		return err
	}
	root, err := l.read.Root(ctx, c.Origin.Epoch, size)
	if err != nil {
		return err
	}
	if b.Kind != record.KindRestored || b.Checkpoint == "" {
		note := sha256.Sum256(newest.Note)
		b.Origin, b.Size, b.Checkpoint = c.Origin.String(), c.Size, hex.EncodeToString(note[:])
	}
	b.Count, b.Tree = size, hex.EncodeToString(root[:])
	return nil
}

// begin writes the empty tree's checkpoint and the first entries of the epoch.
func (l *Ledger) begin(ctx context.Context, path string, first Batch) error {
	seal, err := l.firstSeal(ctx)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	first.Bodies = append(first.Bodies, seal...)
	lines, err := l.encodeAll(first)
	if err != nil {
		return err
	}
	empty, signed, err := l.emptyCheckpoint()
	if err != nil {
		return err
	}
	if l.db, err = openWriter(ctx, path); err != nil {
		return err
	}
	defer l.db.Close() //nolint:errcheck // the commit is what counts
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return writeError("begin epoch", err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	err = storeCheckpoint(tx, empty, signed)
	if err == nil {
		err = l.insert(tx, lines, first.Blobs, make([]int64, len(lines)))
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return writeError("begin epoch", err)
	}
	return nil
}
