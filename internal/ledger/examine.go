// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/tlog"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

const (
	// checkedSize is the largest file, in bytes, that SQLite searches for damage at every start (about a second).
	// A larger one is searched by the auditor.
	checkedSize = 256 << 20
	// examined is how many of the newest entries are hashed again at every start.
	examined = 4096
)

// examine looks at the file before anything is written: damage, whose it is, whether its newest checkpoint is ours and true,
// and whether the newest entries are what was hashed. The whole ledger is for the auditor.
func (l *Ledger) examine(ctx context.Context, path string) error {
	err := l.examineFile(ctx, path)
	if err == nil {
		return l.examineSeals(ctx)
	}
	var format *reader.FormatError
	if errors.As(err, &format) || ctx.Err() != nil {
		return err
	}
	return &reader.FormatError{Path: path, What: err.Error()}
}

func (l *Ledger) examineFile(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() <= checkedSize {
		if err := l.read.Check(ctx); err != nil {
			return err
		}
	} else {
		l.log.Info("large ledger: not searched for damage at start", "bytes", info.Size())
	}
	c, err := l.examineCheckpoint(ctx)
	if err != nil {
		return err
	}
	size, err := l.read.Size(ctx, l.origin.Epoch)
	if err != nil {
		return err
	}
	if c.Size > size {
		return fmt.Errorf("its newest checkpoint covers %d entries but %d are stored: entries were cut off", c.Size, size)
	}
	if err := l.examineTree(ctx, c, size); err != nil {
		return err
	}
	l.size, l.covered = size, c.Size
	return nil
}

// examineCheckpoint opens the newest checkpoint: it must be of this origin and by this key.
func (l *Ledger) examineCheckpoint(ctx context.Context) (record.Checkpoint, error) {
	newest, found, err := l.read.NewestCheckpoint(ctx)
	if err != nil {
		return record.Checkpoint{}, err
	}
	if !found {
		return record.Checkpoint{}, errors.New("has no checkpoint, not even the first")
	}
	claimed, err := record.ReadCheckpoint(newest.Note)
	if err != nil {
		return claimed, fmt.Errorf("newest checkpoint: %w", err)
	}
	if claimed.Origin != l.origin {
		return claimed, fmt.Errorf("is the ledger of %s, not of %s", claimed.Origin, l.origin)
	}
	c, err := l.verifier.Open(newest.Note)
	if err != nil {
		return c, fmt.Errorf("its newest checkpoint was not signed by this station's checkpoint key (a new TPM needs a new epoch): %w", err)
	}
	if c.Size != newest.Size || newest.Epoch != l.origin.Epoch {
		return c, fmt.Errorf("its newest checkpoint is for %d entries of epoch %d but stored as %d of %d", c.Size, c.Origin.Epoch, newest.Size, newest.Epoch)
	}
	return c, nil
}

// examineTree compares the tree of c's epoch with c, and the newest of its size entries with their hashes.
func (l *Ledger) examineTree(ctx context.Context, c record.Checkpoint, size int64) error {
	root, err := l.read.Root(ctx, c.Origin.Epoch, c.Size)
	if err != nil {
		return err
	}
	if root != tlog.Hash(c.Root) {
		return fmt.Errorf("the tree of the first %d entries is not the one its checkpoint was signed for", c.Size)
	}
	for e, err := range l.read.Raw(ctx, c.Origin.Epoch, max(1, min(c.Size, size-examined))) {
		if err != nil {
			return err
		}
		if e.Leaf != record.Leaf(e.Raw) {
			return fmt.Errorf("entry %d was changed after it was written", e.Seq)
		}
	}
	return nil
}
