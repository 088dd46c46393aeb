// SPDX-License-Identifier: Apache-2.0

package reader

import (
	"context"
	"fmt"
	"iter"

	"provisioning.example/station/internal/record"
)

// The methods in this file hand out everything, in order and undecoded, to who verifies or exports the ledger.

// Raw yields all entries from the given place on in order, without decoding their bodies: they may have been tampered with.
func (r *Reader) Raw(ctx context.Context, epoch int, seq int64) iter.Seq2[record.Entry, error] {
	return r.rawEntries(ctx, `SELECT `+entryColumns+` FROM entry WHERE id >= ? ORDER BY id`, ID(epoch, seq))
}

// Scan calls fn for each entry from the given place on in order, up to the newest at the time of the call, and stops at its first error.
func (r *Reader) Scan(ctx context.Context, epoch int, seq int64, fn func(record.Entry) error) error {
	for e, err := range r.entries(ctx, `SELECT `+entryColumns+` FROM entry WHERE id >= ? ORDER BY id`, ID(epoch, seq)) {
		if err != nil {
			return err
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

// Checkpoints yields the signed checkpoints of all epochs in order. Notes are as stored, signatures unchecked.
func (r *Reader) Checkpoints(ctx context.Context) iter.Seq2[record.StoredCheckpoint, error] {
	return func(yield func(record.StoredCheckpoint, error) bool) {
		r.each(ctx, func(scan func(...any) error) (stop bool) {
			var c record.StoredCheckpoint
			err := scan(&c.Epoch, &c.Size, &c.Note)
			return !yield(c, err) || err != nil
		}, func(err error) { yield(record.StoredCheckpoint{}, err) }, `SELECT epoch, size, note FROM checkpoint ORDER BY epoch, size`)
	}
}

// Nodes yields the stored tree hashes of an epoch in order, from level 1 up.
func (r *Reader) Nodes(ctx context.Context, epoch int) iter.Seq2[record.StoredNode, error] {
	return func(yield func(record.StoredNode, error) bool) {
		r.each(ctx, func(scan func(...any) error) (stop bool) {
			var n record.StoredNode
			var hash []byte
			err := scan(&n.ID, &hash)
			copy(n.Hash[:], hash)
			return !yield(n, err) || err != nil
		}, func(err error) { yield(record.StoredNode{}, err) }, `SELECT id, hash FROM node WHERE epoch = ? ORDER BY id`, epoch)
	}
}

// Blobs yields all blobs by their SHA-256, ascending. The bytes are not hashed again.
func (r *Reader) Blobs(ctx context.Context) iter.Seq2[record.StoredBlob, error] {
	return func(yield func(record.StoredBlob, error) bool) {
		r.each(ctx, func(scan func(...any) error) (stop bool) {
			var b record.StoredBlob
			var sum []byte
			err := scan(&sum, &b.Bytes)
			copy(b.Digest[:], sum)
			return !yield(b, err) || err != nil
		}, func(err error) { yield(record.StoredBlob{}, err) }, `SELECT sha256, bytes FROM blob ORDER BY sha256`)
	}
}

// Claims yields what live units hold, in no particular order.
func (r *Reader) Claims(ctx context.Context) iter.Seq2[record.HeldClaim, error] {
	return func(yield func(record.HeldClaim, error) bool) {
		r.each(ctx, func(scan func(...any) error) (stop bool) {
			var c record.HeldClaim
			err := scan(&c.Kind, &c.Value, &c.Epoch, &c.Seq)
			return !yield(c, err) || err != nil
		}, func(err error) { yield(record.HeldClaim{}, err) }, `SELECT kind, value, epoch, seq FROM claim`)
	}
}

// each runs row for every row of a query, and fail once if the query itself fails.
func (r *Reader) each(ctx context.Context, row func(scan func(...any) error) (stop bool), fail func(error), query string, args ...any) {
	rows, err := r.db.QueryContext(ctx, query, args...)
	if err != nil {
		fail(fmt.Errorf("ledger: %w", err))
		return
	}
	defer rows.Close() //nolint:errcheck // rows.Err is checked
	for rows.Next() {
		if row(rows.Scan) {
			return
		}
	}
	if err := rows.Err(); err != nil {
		fail(fmt.Errorf("ledger: %w", err))
	}
}
