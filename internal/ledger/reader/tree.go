// SPDX-License-Identifier: Apache-2.0

package reader

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"provisioning.example/station/internal/record"
)

// Querier is what a database, a connection and a transaction have in common.
type Querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Hashes reads the stored hashes of an epoch's tree: level 0 from the entries, the others from node.
func Hashes(ctx context.Context, q Querier, epoch int) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			hash, err := storedHash(ctx, q, epoch, index)
			if err != nil {
				return nil, err
			}
			hashes[i] = hash
		}
		return hashes, nil
	})
}

func storedHash(ctx context.Context, q Querier, epoch int, index int64) (hash tlog.Hash, err error) {
	level, n := tlog.SplitStoredHashIndex(index)
	var row *sql.Row
	if level == 0 {
		row = q.QueryRowContext(ctx, `SELECT leaf FROM entry WHERE id = ?`, ID(epoch, n+1))
	} else {
		row = q.QueryRowContext(ctx, `SELECT hash FROM node WHERE epoch = ? AND id = ?`, epoch, index)
	}
	var b []byte
	if err := row.Scan(&b); errors.Is(err, sql.ErrNoRows) {
		return hash, fmt.Errorf("ledger: tree of epoch %d lacks hash %d of level %d", epoch, n, level)
	} else if err != nil {
		return hash, err
	}
	if len(b) != len(hash) {
		return hash, fmt.Errorf("ledger: tree of epoch %d: hash %d of level %d has %d bytes", epoch, n, level, len(b))
	}
	copy(hash[:], b)
	return hash, nil
}

// Size returns how many entries an epoch has.
func (r *Reader) Size(ctx context.Context, epoch int) (int64, error) {
	var last int64
	err := r.db.QueryRowContext(ctx, `SELECT coalesce(max(id), ?) FROM entry WHERE id > ? AND id < ?`,
		ID(epoch, 0), ID(epoch, 0), ID(epoch+1, 0)).Scan(&last)
	if err != nil {
		return 0, fmt.Errorf("ledger: %w", err)
	}
	_, size := Place(last)
	return size, nil
}

// Root returns the root of the tree over the first size entries of an epoch, from stored hashes.
func (r *Reader) Root(ctx context.Context, epoch int, size int64) (tlog.Hash, error) {
	root, err := tlog.TreeHash(size, Hashes(ctx, r.db, epoch))
	if err != nil {
		return root, fmt.Errorf("ledger: root of the first %d entries: %w", size, err)
	}
	return root, nil
}

// NewestCheckpoint returns the last checkpoint of the last epoch, its signature unchecked.
func (r *Reader) NewestCheckpoint(ctx context.Context) (c record.StoredCheckpoint, found bool, err error) {
	return r.checkpoint(ctx, `SELECT epoch, size, note FROM checkpoint ORDER BY epoch DESC, size DESC LIMIT 1`)
}

func (r *Reader) checkpoint(ctx context.Context, query string, args ...any) (c record.StoredCheckpoint, found bool, err error) {
	err = r.db.QueryRowContext(ctx, query, args...).Scan(&c.Epoch, &c.Size, &c.Note)
	if errors.Is(err, sql.ErrNoRows) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("ledger: newest checkpoint: %w", err)
	}
	return c, true, nil
}

// Covering returns the first checkpoint that covers an entry, its signature unchecked. found is false where none does yet.
func (r *Reader) Covering(ctx context.Context, epoch int, seq int64) (c record.StoredCheckpoint, found bool, err error) {
	return r.checkpoint(ctx, `SELECT epoch, size, note FROM checkpoint WHERE epoch = ? AND size >= ? ORDER BY size LIMIT 1`, epoch, seq)
}

// Sealing returns the first seal of an entry's epoch at or after it, by which the TPM's counter holds it. found is false where there is none yet.
func (r *Reader) Sealing(ctx context.Context, epoch int, seq int64) (e record.Entry, found bool, err error) {
	return r.one(ctx, `SELECT `+entryColumns+` FROM entry WHERE kind = ? AND id >= ? AND id < ? AND body ->> '$.attest' IS NULL ORDER BY id LIMIT 1`,
		record.KindSeal, ID(epoch, seq), ID(epoch+1, 0))
}

// ErrUncovered says that no checkpoint covers the entry yet.
var ErrUncovered = errors.New("ledger: no checkpoint covers the entry yet")

// Proof returns the inclusion proof of an entry under the newest checkpoint of its epoch.
func (r *Reader) Proof(ctx context.Context, epoch int, seq int64) (record.Proof, error) {
	c, found, err := r.checkpoint(ctx, `SELECT epoch, size, note FROM checkpoint WHERE epoch = ? ORDER BY size DESC LIMIT 1`, epoch)
	if err != nil {
		return record.Proof{}, err
	}
	if !found || seq > c.Size {
		return record.Proof{}, fmt.Errorf("%w: entry %d of epoch %d", ErrUncovered, seq, epoch)
	}
	hashes, err := tlog.ProveRecord(c.Size, seq-1, Hashes(ctx, r.db, epoch))
	if err != nil {
		return record.Proof{}, fmt.Errorf("ledger: proof of entry %d: %w", seq, err)
	}
	return record.Proof{Index: seq - 1, Hashes: hashes, Checkpoint: c.Note}, nil
}

// LastSeal returns the newest seal entry of an epoch: a seal, or with attest the TPM's word for one.
func (r *Reader) LastSeal(ctx context.Context, epoch int) (e record.Entry, found bool, err error) {
	for e, err := range r.entries(ctx, `SELECT `+entryColumns+` FROM entry WHERE kind = ? AND id > ? AND id < ? ORDER BY id DESC LIMIT 1`,
		record.KindSeal, ID(epoch, 0), ID(epoch+1, 0)) {
		return e, err == nil, err
	}
	return e, false, nil
}
