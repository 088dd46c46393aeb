// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// ballast is a file of no content beside the ledger. When something else has filled the disk, it is given up, and what is under way finds its
// way onto the record before the line stops.
type ballast struct {
	path string
	size int64 // bytes; 0: none is kept

	mu   sync.Mutex // one caller at a time
	made bool       // by this process: what it takes of the disk is not asked again
}

func newBallast(ledger string, size int64) *ballast {
	return &ballast{path: filepath.Join(filepath.Dir(ledger), "ballast"), size: size}
}

// keep makes the file unless it is there. One that does not fit onto the disk is not there afterwards.
func (b *ballast) keep() error {
	if b.size == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	// A file of before may have become a hole on its way here, as cp makes them.
	if info, err := os.Stat(b.path); err == nil && info.Size() >= b.size && (b.made || taken(info) >= b.size) {
		return nil
	}
	if err := b.write(); err != nil {
		return fmt.Errorf("ledger: reserve %d bytes in %s: %w", b.size, b.path, errors.Join(err, b.remove()))
	}
	b.made = true
	return nil
}

// write takes the room on the disk.
func (b *ballast) write() error {
	f, err := os.OpenFile(b.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(reserve(f, b.size), f.Sync(), f.Close())
}

// fill writes what no file system stores as a hole.
func fill(f *os.File, size int64) error {
	block := bytes.Repeat([]byte{0xb5}, 1<<20)
	for size > 0 {
		n, err := f.Write(block[:min(size, int64(len(block)))])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}

func (b *ballast) remove() error {
	if err := os.Remove(b.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// giveUp makes room, and reports whether there was any to make.
func (b *ballast) giveUp() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size > 0 && os.Remove(b.path) == nil
}

// KeepBallast reserves the room on the disk that [Config] asks for, if it is not reserved: at start, and again once a full disk has room.
func (l *Ledger) KeepBallast() error { return l.ballast.keep() }
