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
// whether the newest entries are what was hashed, and whether the TPM's counter stands where the last seal says. The whole ledger is for the
// auditor. What the last stop left is first read, then judged in two switches without a side effect: [left.judge] and [sealed.judge].
func (l *Ledger) examine(ctx context.Context, path string) error {
	w, err := l.examineFile(ctx, path)
	if err != nil {
		var format *reader.FormatError
		if errors.As(err, &format) || ctx.Err() != nil {
			return err
		}
		return &reader.FormatError{Path: path, What: err.Error()}
	}
	l.size, l.covered = w.size, w.said.Size // [Open] covers what lies between
	s, err := lookAtSeals(ctx, l.read, l.origin.Epoch, l.counter)
	if err != nil {
		return err
	}
	l.unfinished, err = s.judge() // [Open] finishes it with the next one
	return err
}

func (l *Ledger) examineFile(ctx context.Context, path string) (w left, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return w, err
	}
	if info.Size() <= checkedSize {
		if err := l.read.Check(ctx); err != nil {
			return w, err
		}
	} else {
		l.log.Info("large ledger: not searched for damage at start", "bytes", info.Size())
	}
	if w, err = look(ctx, l.read, l.origin); err != nil {
		return w, err
	}
	_, w.signed = l.verifier.Open(w.stored.Note)
	return w, w.judge(l.origin)
}

// left is what the last stop left in the file. Every field is a fact; what it means, judge says.
type left struct {
	none   bool                    // there is no checkpoint
	stored record.StoredCheckpoint // the newest one
	said   record.Checkpoint       // what it says
	read   error                   // why it cannot be read
	signed error                   // why it is not by this station's key

	size   int64     // entries of the epoch
	root   tlog.Hash // of the tree over as many of them as the checkpoint covers
	edited int64     // the first of the newest entries that is not what was hashed; 0: none
}

// look reads what the last stop left of an epoch. What comes after a fact that is wrong already is not read.
func look(ctx context.Context, r *reader.Reader, origin record.Origin) (w left, err error) {
	stored, found, err := r.NewestCheckpoint(ctx)
	if w.stored, w.none = stored, !found; err != nil || w.none {
		return w, err
	}
	if w.said, w.read = record.ReadCheckpoint(stored.Note); w.read != nil {
		return w, nil
	}
	if w.size, err = r.Size(ctx, origin.Epoch); err != nil || w.said.Origin != origin || w.said.Size > w.size {
		return w, err
	}
	if w.root, err = r.Root(ctx, origin.Epoch, w.said.Size); err != nil {
		return w, err
	}
	for e, err := range r.Raw(ctx, origin.Epoch, max(1, min(w.said.Size, w.size-examined))) {
		if err != nil {
			return w, err
		}
		if e.Leaf != record.Leaf(e.Raw) {
			w.edited = e.Seq
			break
		}
	}
	return w, nil
}

// judge is the one switch over what the last stop can have left in the file; TestEveryStop has a row for each case.
func (w left) judge(origin record.Origin) error {
	c := w.said
	switch {
	case w.none:
		return errors.New("has no checkpoint, not even the first")
	case w.read != nil:
		return fmt.Errorf("newest checkpoint: %w", w.read)
	case c.Origin != origin:
		return fmt.Errorf("is the ledger of %s, not of %s", c.Origin, origin)
	case w.signed != nil:
		return fmt.Errorf("its newest checkpoint was not signed by this station's checkpoint key (a new TPM needs a new epoch): %w", w.signed)
	case c.Size != w.stored.Size || w.stored.Epoch != origin.Epoch:
		return fmt.Errorf("its newest checkpoint is for %d entries of epoch %d but stored as %d of %d", c.Size, c.Origin.Epoch, w.stored.Size, w.stored.Epoch)
	case c.Size > w.size:
		return fmt.Errorf("its newest checkpoint covers %d entries but %d are stored: entries were cut off", c.Size, w.size)
	case w.root != tlog.Hash(c.Root):
		return fmt.Errorf("the tree of the first %d entries is not the one its checkpoint was signed for", c.Size)
	case w.edited > 0:
		return fmt.Errorf("entry %d was changed after it was written", w.edited)
	case c.Size < w.size: // the power failed before the checkpoint: this start signs it
		return nil
	}
	return nil // all is covered
}
