// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/mod/sumdb/tlog"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// Create makes an empty ledger at a path where nothing is yet, with a signed checkpoint of size 0 that binds it to origin and key.
// It is made under another name beside it, flushed to the disk, and only then given its name:
// a crash leaves either no ledger or a whole one.
func Create(ctx context.Context, c Config) error {
	l, err := prepare(c)
	if err != nil {
		return err
	}
	// SQLite would take the write-ahead log of a ledger that is gone for this one's.
	for _, suffix := range append([]string{""}, withLog[:]...) {
		if _, err := os.Lstat(c.Path + suffix); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("ledger %s: something is there already; a ledger is never overwritten: %w", c.Path+suffix, errors.Join(fs.ErrExist, err))
		}
	}
	dir, err := os.MkdirTemp(filepath.Dir(c.Path), ".new-ledger-")
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder left behind harms nobody
	made := filepath.Join(dir, "ledger.db")
	if err := l.fill(ctx, made); err != nil {
		return fmt.Errorf("ledger %s: %w", c.Path, err)
	}
	// Link refuses to replace what another program put there meanwhile.
	if err := os.Link(made, c.Path); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if runtime.GOOS == "windows" {
		return nil // folders cannot be flushed there; NTFS keeps names in a journal
	}
	return syncFile(filepath.Dir(c.Path))
}

// fill makes schema and first checkpoint in one transaction and flushes the file.
func (l *Ledger) fill(ctx context.Context, path string) error {
	c, note, err := l.emptyCheckpoint()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	db, err := sql.Open("sqlite3", reader.DSN(path, writeParams))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	if err := l.fillTables(ctx, db, c, note); err != nil {
		return errors.Join(err, db.Close())
	}
	if err := db.Close(); err != nil { // folds the WAL into the file
		return err
	}
	return syncFile(path)
}

// emptyCheckpoint signs for the empty tree: it binds an epoch to its origin and key.
func (l *Ledger) emptyCheckpoint() (c record.Checkpoint, note []byte, err error) {
	root, err := tlog.TreeHash(0, nil)
	if err != nil {
		return c, nil, err
	}
	c = record.Checkpoint{Origin: l.origin, Root: root}
	note, err = c.Sign(l.signer)
	return c, note, err
}

func (l *Ledger) fillTables(ctx context.Context, db *sql.DB, c record.Checkpoint, note []byte) error {
	seal, err := l.firstSeal(ctx)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if _, err := tx.ExecContext(ctx, reader.Schema); err != nil {
		return err
	}
	if err := storeCheckpoint(tx, c, note); err != nil {
		return err
	}
	if len(seal) > 0 {
		lines, err := l.encode(Batch{Bodies: seal})
		if err != nil {
			return err
		}
		if err := l.insert(tx, lines, nil, make([]int64, 1)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// syncFile flushes a file or a folder to the disk.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}
