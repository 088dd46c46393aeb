// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"database/sql"
	"fmt"

	"provisioning.example/station/internal/record"
)

// waiter is one Cover call.
type waiter struct {
	seq  int64
	done chan error // holds one
}

// Cover returns when a signed, committed checkpoint of this epoch covers entry seq. All who wait share one signature,
// and Append goes on meanwhile. If signing fails, those who were waiting get the error; calling again tries again.
func (l *Ledger) Cover(ctx context.Context, seq int64) error {
	l.mu.Lock()
	switch err := l.unusable(); {
	case seq <= l.covered:
		l.mu.Unlock()
		return nil
	case err != nil:
		l.mu.Unlock()
		return err
	case seq > l.size:
		l.mu.Unlock()
		return fmt.Errorf("ledger: entry %d cannot be covered, the newest is %d", seq, l.size)
	}
	w := &waiter{seq, make(chan error, 1)}
	l.waiting = append(l.waiting, w)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default: // it is awake or will be
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-l.ctx.Done():
		return ErrClosed
	}
}

// checkpoint signs when somebody waits. It is one goroutine, so that checkpoints are made in order.
func (l *Ledger) checkpoint() {
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.wake:
		}
		l.mu.Lock()
		size, served := l.size, l.waiting
		l.waiting = nil
		l.mu.Unlock()
		if len(served) == 0 {
			continue
		}
		err := l.coverTo(size)
		if err != nil {
			l.log.Warn("no checkpoint", "size", size, "err", err)
		}
		for _, w := range served {
			w.done <- err
		}
	}
}

// coverTo signs and stores the checkpoint of the tree of the given size.
// Before its commit a crash leaves the tail uncovered, for the next start; after it the tail is covered.
func (l *Ledger) coverTo(size int64) error {
	if _, covered := l.Size(); size <= covered {
		return nil
	}
	c, note, err := l.signCheckpoint(size)
	if err != nil {
		return err
	}
	if err := l.do(l.ctx, l.storing(c, note)); err != nil {
		return err
	}
	l.coveredTo(size)
	return nil
}

// signCheckpoint signs for the tree of the given size.
func (l *Ledger) signCheckpoint(size int64) (c record.Checkpoint, note []byte, err error) {
	root, err := l.read.Root(l.ctx, l.origin.Epoch, size)
	if err != nil {
		return c, nil, err
	}
	c = record.Checkpoint{Origin: l.origin, Size: size, Root: root}
	if note, err = c.Sign(l.signer); err != nil {
		return c, nil, fmt.Errorf("ledger: %w", err)
	}
	// A signature that a broken key store made must not become evidence.
	if _, err := l.verifier.Open(note); err != nil {
		return c, nil, fmt.Errorf("ledger: the checkpoint just signed does not verify: %w", err)
	}
	return c, note, nil
}

// storing stores a checkpoint, unless a seal was covered meanwhile by a newer one.
func (l *Ledger) storing(c record.Checkpoint, note []byte) func(*sql.Tx) error {
	return func(tx *sql.Tx) error {
		if _, covered := l.Size(); c.Size <= covered {
			return nil
		}
		return storeCheckpoint(tx, c, note)
	}
}

func (l *Ledger) coveredTo(size int64) {
	l.mu.Lock()
	l.covered = max(l.covered, size)
	l.mu.Unlock()
	l.log.Debug("checkpoint", "size", size)
}

func storeCheckpoint(tx interface {
	Exec(query string, args ...any) (sql.Result, error)
}, c record.Checkpoint, note []byte,
) error {
	_, err := tx.Exec(`INSERT INTO checkpoint (epoch, size, note) VALUES (?, ?, ?)`, c.Origin.Epoch, c.Size, string(note))
	return err
}

// Proof returns the inclusion proof of an entry of this epoch under its newest checkpoint.
func (l *Ledger) Proof(ctx context.Context, seq int64) (record.Proof, error) {
	return l.read.Proof(ctx, l.origin.Epoch, seq)
}
