// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// believe opens the copy as the auditor does, and looks for damage.
func believe(t *testing.T) func(context.Context, string, []byte) error {
	return func(ctx context.Context, path string, known []byte) error {
		r, err := reader.Open(ctx, path)
		if err != nil {
			return err
		}
		defer r.Close() //nolint:errcheck // test
		if _, err := record.ReadCheckpoint(known); err != nil {
			t.Error(err)
		}
		return r.Check(ctx)
	}
}

// TestBackupWhileWriting copies a ledger that is written at the same time, and opens each copy as a ledger.
func TestBackupWhileWriting(t *testing.T) {
	c := create(t)
	l := open(t, c)
	appendTo(t, l, bodies(stop("one"), stop("two")))
	if err := l.Cover(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wrote sync.WaitGroup
	wrote.Go(func() {
		for ctx.Err() == nil {
			seqs, err := l.Append(context.WithoutCancel(ctx), bodies(stop("more")))
			if err == nil && seqs[0]%8 == 0 {
				err = l.Cover(context.WithoutCancel(ctx), seqs[0])
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	dir := t.TempDir()
	var last int64
	for _, name := range []string{"a.db", "b.db", "c.db"} {
		made, err := ledger.Backup(t.Context(), c.Path, filepath.Join(dir, name), believe(t))
		if err != nil {
			t.Fatal(err)
		}
		digest, size, err := ledger.Digest(t.Context(), made.Path)
		if err != nil || digest != made.Digest || size != made.Bytes {
			t.Errorf("%s: %s of %d bytes, %v; said was %+v", name, digest, size, err, made)
		}
		was := c
		was.Path = filepath.Join(t.TempDir(), "ledger.db")
		if err := os.WriteFile(was.Path, readFile(t, made.Path), 0o600); err != nil {
			t.Fatal(err)
		}
		n, covered := open(t, was).Size()
		if n < last || covered < made.Checkpoint.Size {
			t.Errorf("%s: %d entries, %d covered; before it %d, checkpoint %d", name, n, covered, last, made.Checkpoint.Size)
		}
		last = n
	}
	cancel()
	wrote.Wait()
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 3 {
		t.Errorf("left beside the copies: %v, %v", names, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "a.db")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestBackupNotMade: nothing lies under the name that was not judged, and nothing is overwritten.
func TestBackupNotMade(t *testing.T) {
	c := create(t)
	dir := t.TempDir()
	to := filepath.Join(dir, "copy.db")
	bad := errors.New("not what was written")
	if _, err := ledger.Backup(t.Context(), c.Path, to, func(context.Context, string, []byte) error { return bad }); !errors.Is(err, bad) {
		t.Errorf("a copy that does not verify: %v", err)
	}
	spoil := func(_ context.Context, path string, _ []byte) error { return os.Truncate(path, 4096) }
	if _, err := ledger.Backup(t.Context(), c.Path, to, spoil); err == nil {
		t.Error("a copy that changed meanwhile got its name")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ledger.Backup(ended, c.Path, to, believe(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("a copy after the end: %v", err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
	if err := os.WriteFile(to, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Backup(t.Context(), c.Path, to, believe(t)); !errors.Is(err, fs.ErrExist) || string(readFile(t, to)) != "mine" {
		t.Errorf("over a file: %v", err)
	}
	if _, err := ledger.Backup(t.Context(), c.Path, filepath.Join(dir, "no", "copy.db"), believe(t)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into no folder: %v", err)
	}
	if _, err := ledger.Backup(t.Context(), filepath.Join(dir, "none.db"), filepath.Join(dir, "x.db"), believe(t)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no ledger: %v", err)
	}
}
