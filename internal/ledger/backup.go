// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// A Copy is a copy of a ledger that was judged before it got its name.
type Copy struct {
	Path       string
	Digest     string // SHA-256 of the file, in hex
	Bytes      int64
	Checkpoint record.StoredCheckpoint // the newest before the copy was made; the copy holds it
}

// Backup copies a ledger that may be written meanwhile to a new file. The copy is one moment of the ledger, compacted (VACUUM INTO),
// in one file, without a write-ahead log.
//
// It is made in a folder beside its name, flushed, and handed to judge with the newest checkpoint of the ledger from before the copy;
// only if judge returns nil it gets its name. So nothing under that name is half a copy or one that was not judged. A file that
// is there already is never overwritten: the error wraps fs.ErrExist.
func Backup(ctx context.Context, from, to string, judge func(ctx context.Context, path string, known []byte) error) (c Copy, err error) {
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("backup %s: something is there already: %w", to, errors.Join(fs.ErrExist, err))
	}
	if c.Checkpoint, err = newestOf(ctx, from); err != nil {
		return c, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(to), BackupFolder)
	if err != nil {
		return c, fmt.Errorf("backup: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder left behind harms nobody
	made := filepath.Join(dir, "ledger.db")
	if err := vacuum(ctx, from, made); err != nil {
		return c, fmt.Errorf("backup %s: %w", to, err)
	}
	if c.Digest, c.Bytes, err = Digest(ctx, made); err != nil {
		return c, err
	}
	if err := judge(ctx, made, c.Checkpoint.Note); err != nil {
		return c, fmt.Errorf("backup %s: the copy does not verify: %w", to, err)
	}
	// Judging reads it: what counts is what is there then.
	if after, _, err := Digest(ctx, made); err != nil || after != c.Digest {
		return c, errors.Join(fmt.Errorf("backup %s: the copy changed while it was judged", to), err)
	}
	if err := os.Link(made, to); err != nil { // refuses to replace what another program put there meanwhile
		if errors.Is(err, fs.ErrExist) {
			return c, fmt.Errorf("backup: %w", err)
		}
		if err := os.Rename(made, to); err != nil { // FAT and some shares have no links
			return c, fmt.Errorf("backup: %w", err)
		}
	}
	c.Path = to
	return c, syncFolder(filepath.Dir(to))
}

// BackupFolder begins the names of folders in which copies are made.
const BackupFolder = ".new-backup-"

// newestOf is the newest checkpoint of a ledger.
func newestOf(ctx context.Context, path string) (c record.StoredCheckpoint, err error) {
	r, err := reader.Open(ctx, path)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	c, found, err := r.NewestCheckpoint(ctx)
	if err == nil && !found {
		err = &reader.FormatError{Path: path, What: "has no checkpoint, not even the first"}
	}
	return c, err
}

// vacuum makes the copy and flushes it. VACUUM INTO needs a connection that may write somewhere, so not query_only; the ledger itself is
// opened read-only.
func vacuum(ctx context.Context, from, to string) error {
	if err := os.WriteFile(to, nil, 0o600); err != nil { // SQLite takes an empty file, and leaves its mode
		return err
	}
	db, err := sql.Open("sqlite3", reader.DSN(from, "mode=ro&_busy_timeout=5000"))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, to)
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	return fold(ctx, to)
}

// fold puts what is in a file's write-ahead log into the file, which nobody else has open, and flushes it. A file that another
// journal mode was given is put back into WAL mode, as every ledger is.
func fold(ctx context.Context, path string) error {
	db, err := openWriter(ctx, path)
	if err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		return errors.Join(err, db.Close())
	}
	if err := db.Close(); err != nil { // removes the log
		return err
	}
	return syncFile(path)
}

// Digest is the SHA-256 of a file, in hex, and how many bytes it has.
func Digest(ctx context.Context, path string) (digest string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close() //nolint:errcheck // read only
	h := sha256.New()
	for {
		if err := ctx.Err(); err != nil {
			return "", 0, err
		}
		n, err := io.CopyN(h, f, 64<<20)
		size += n
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), size, nil
		}
		if err != nil {
			return "", 0, err
		}
	}
}

// syncFolder flushes a folder's names to the disk.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be flushed there; NTFS keeps names in a journal
	}
	return syncFile(path)
}
