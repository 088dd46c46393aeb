// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"provisioning.example/station/internal/ledger/reader"
)

// withLog are the names a ledger's file has on disk, beside its own: a write-ahead log belongs to it, the index of that can be made anew.
var withLog = [...]string{"-wal", "-shm"}

// TakeIn copies a ledger's file to a place of our own, with what its write-ahead log holds, and leaves the original as it is, which may
// lie where nothing can be written. The copy is one file. What is no ledger is refused with a *[reader.FormatError] that names the copy.
// The digest is that of the original's file, without the log. What lay at to, from a program that died, is replaced.
func TakeIn(ctx context.Context, from, to string) (digest string, err error) {
	for _, suffix := range append([]string{""}, withLog[:]...) {
		if err := os.Remove(to + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("ledger: %w", err)
		}
	}
	if err := copyFile(from, to); err != nil {
		return "", fmt.Errorf("ledger: %w", err)
	}
	if digest, _, err = Digest(ctx, to); err != nil {
		return "", fmt.Errorf("ledger: %w", err)
	}
	if err := copyFile(from+withLog[0], to+withLog[0]); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("ledger: %w", err)
	}
	r, err := reader.Open(ctx, to)
	if err != nil {
		return "", err
	}
	if err := errors.Join(r.Check(ctx), r.Close()); err != nil {
		return "", err
	}
	return digest, fold(ctx, to)
}

// Replace puts the ledger at with into the place of the one at path. That one, if there is one, is moved with its log into the folder aside,
// never deleted. Called again after a power cut it does what was left to do, and nothing if all was done.
func Replace(path, with, aside string) error {
	if _, err := os.Lstat(with); errors.Is(err, fs.ErrNotExist) {
		return nil // it is in its place already
	} else if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	for _, suffix := range append([]string{""}, withLog[:]...) {
		kept := filepath.Join(aside, filepath.Base(path)+suffix)
		if _, err := os.Lstat(path + suffix); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if _, err := os.Lstat(kept); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("ledger: %s is there already, and nothing that was kept is overwritten", kept)
		}
		if err := os.Rename(path+suffix, kept); err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
	}
	if err := syncFolder(aside); err != nil {
		return err
	}
	// Before this name is given, the ledger is missing, which nothing takes for an empty one.
	if err := os.Rename(with, path); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return syncFolder(filepath.Dir(path))
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // read only
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
