// SPDX-License-Identifier: Apache-2.0

// Package export writes entries of a ledger for other programs and people. JSONL is the evidence: the stored bytes, one entry a line.
// CSV and XLSX are views for spreadsheets and may change values so that they are shown and not calculated; HTML is a report that counts.
//
// A pack is about certificates, not entries: what a cloud needs to know them (aws, azure), a list that is signed unit by unit
// (manifest), or what a firmware compiles in (c-header). docs/exports.md says what is in each.
//
// An export reads only. Who exports records an export entry first: a pack's before its first byte is written, a file's when the file
// is whole and its digest known, before it gets its name ([Options].Record).
package export

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"provisioning.example/station/internal/record"
)

// Source is a reader of a ledger, best a snapshot.
type Source interface {
	Raw(ctx context.Context, epoch int, seq int64) iter.Seq2[record.Entry, error]
}

// Options narrow an export.
type Options struct {
	Selection
	Kinds    []string         // only these kinds of entries; none: all
	Progress func(rows int64) // called now and then, if set
	Head     Head             // what a report says of itself

	// Corrections are those of the whole ledger; views show them beside what they are about, and an entry is taken by what it says and by
	// what it should have said. nil: there are none.
	Corrections *record.Corrections

	// Record is called by [File], if set, with the file whole and on the disk but not under its name yet. What it returns is put
	// beside the file, before it; an error leaves nothing behind.
	Record func(Result) (*Proof, error)
}

// Head is who made an export, and from what.
type Head struct {
	Station, Operator, Software string
	Simulated                   bool // the TPM is a simulated one
	Created                     time.Time
}

// Result tells what was written.
type Result struct {
	Rows    int64  // entries; of a pack, units that are to be registered
	Listed  int64  // of a pack, certificates on its allow-list
	Skipped int64  // of a pack, units that do not fit and were left out
	Bytes   int64  // of a pack, of all its files
	SHA256  string // of the bytes, lower-case hex; of a folder, of its SHA256SUMS
}

// rowWriter writes entries in one format.
type rowWriter interface {
	row(record.Entry) error
	flush() error
	close() // gives back what is held; may follow flush
}

// formats are the formats there are.
var formats = map[string]func(io.Writer, Options) (rowWriter, error){
	"csv":   newCSV,
	"html":  newReport,
	"jsonl": newJSONL,
	"xlsx":  newWorkbook,
}

// Formats returns the names of the formats in alphabetical order.
func Formats() []string { return slices.Sorted(maps.Keys(formats)) }

// Write writes all entries of a source, oldest first, in constant memory (a workbook:
// but for what its library keeps of each sheet).
func Write(ctx context.Context, w io.Writer, format string, source Source, o Options) (Result, error) {
	open := formats[format]
	if open == nil {
		return Result{}, fmt.Errorf("export format %q is unknown, there are %s", format, strings.Join(Formats(), ", "))
	}
	counted := &counter{w: writing{ctx, w}, hash: sha256.New()}
	buffered := bufio.NewWriterSize(counted, 1<<16)
	rows, err := open(buffered, o)
	if err != nil {
		return Result{}, err
	}
	defer rows.close()
	n, err := writeRows(ctx, rows, source, o)
	if err != nil {
		return Result{}, err
	}
	if err := rows.flush(); err != nil {
		return Result{}, fmt.Errorf("export: %w", err)
	}
	if err := buffered.Flush(); err != nil {
		return Result{}, fmt.Errorf("export: %w", err)
	}
	return Result{Rows: n, Bytes: counted.n, SHA256: counted.sum()}, nil
}

// selects tells whether an entry is taken: by what it says, or by what it should have said.
func (o *Options) selects(e record.Entry) bool {
	if o.takes(&e.Body) {
		return true
	}
	if o.Corrections == nil || o.Corrections.Of(e.Place()) == nil {
		return false
	}
	corrected := o.Corrections.Apply(e)
	return o.takes(&corrected)
}

// writing ends writes with their context.
type writing struct {
	ctx context.Context
	w   io.Writer
}

func (w writing) Write(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(b)
}

// counter counts and hashes what passes.
type counter struct {
	w    io.Writer
	n    int64
	hash interface {
		io.Writer
		Sum([]byte) []byte
	}
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	c.hash.Write(b[:n]) //nolint:errcheck // a hash never fails
	return n, err
}

func (c *counter) sum() string { return hex.EncodeToString(c.hash.Sum(nil)) }

// File writes an export to a file. It is written under another name in the same folder, flushed to the disk, and then gets its name:
// an error or a cancelled context leaves nothing behind, and what was there before stays.
func File(ctx context.Context, path, format string, source Source, o Options) (Result, error) {
	return whole(path, o.Record, func(f *os.File) (Result, error) { return Write(ctx, f, format, source, o) })
}

// whole writes a file as a whole, or none.
func whole(path string, record func(Result) (*Proof, error), write func(*os.File) (Result, error)) (result Result, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".part-")
	if err != nil {
		return Result{}, fmt.Errorf("export: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()           //nolint:errcheck // the first error counts
			os.Remove(f.Name()) //nolint:errcheck // the first error counts
		}
	}()
	if result, err = write(f); err != nil {
		return Result{}, err
	}
	if err = f.Sync(); err != nil {
		return Result{}, fmt.Errorf("export: %w", err)
	}
	if err = f.Close(); err != nil {
		return Result{}, fmt.Errorf("export: %w", err)
	}
	var proof *Proof
	if record != nil {
		if proof, err = record(result); err != nil {
			return Result{}, err
		}
	}
	if err = proof.beside(path); err != nil {
		return Result{}, err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		proof.remove(path)
		return Result{}, fmt.Errorf("export: %w", err)
	}
	return result, syncFolder(filepath.Dir(path))
}

// syncFolder makes the new name durable. Windows has no such call; NTFS keeps its names in a journal.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer d.Close() //nolint:errcheck // read only
	if err := d.Sync(); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}
