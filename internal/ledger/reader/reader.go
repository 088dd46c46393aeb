// SPDX-License-Identifier: Apache-2.0

// Package reader asks a ledger questions. It never writes: its connections are read-only, and it holds no key.
// It also owns the file format (schema.sql), which the ledger above it writes.
package reader

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"

	"provisioning.example/station/internal/record"
)

// Reader is a pool of read-only connections to one ledger. Its methods may be called at the same time and see only committed entries.
type Reader struct {
	db    querier
	pool  *sql.DB
	path  string
	close func() error
}

// querier is what a pool and a transaction have in common.
type querier interface {
	Querier
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// poolSize bounds the connections of one process.
const poolSize = 4

// Open opens an existing ledger for reading while another process may write it.
// A missing file, a file of another program, one of a newer version and one whose schema was tampered with
// are refused, the last three with a *[FormatError].
func Open(ctx context.Context, path string) (*Reader, error) {
	if err := checkHeader(path); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite3", DSN(path, readParams))
	if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", path, err)
	}
	db.SetMaxOpenConns(poolSize)
	db.SetMaxIdleConns(poolSize)
	if err := checkSchema(ctx, path, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Reader{db: db, pool: db, path: path, close: db.Close}, nil
}

// Snapshot returns a reader of the ledger as it is now, whatever is written later. It must be closed, and soon:
// while it is open the write-ahead log grows.
func (r *Reader) Snapshot(ctx context.Context) (*Reader, error) {
	tx, err := r.pool.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	s := &Reader{db: tx, pool: r.pool, path: r.path, close: tx.Rollback}
	if _, _, err := s.Last(ctx); err != nil { // the first read fixes what is seen
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close ends all connections, or the snapshot.
func (r *Reader) Close() error { return r.close() }

// Path is the file this reader reads.
func (r *Reader) Path() string { return r.path }

// Check lets SQLite look for damage in the whole file (PRAGMA quick_check, some seconds for a million entries).
func (r *Reader) Check(ctx context.Context) error {
	var verdict string
	err := r.db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict)
	if err != nil {
		verdict = err.Error()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if verdict != "ok" {
		return &FormatError{Path: r.path, What: "is damaged: " + verdict}
	}
	return nil
}

const entryColumns = `id, body, leaf`

// scanRaw reads the entryColumns of a row without looking into the body.
func scanRaw(row interface{ Scan(...any) error }) (record.Entry, error) {
	var (
		id   int64
		leaf []byte
		e    record.Entry
	)
	if err := row.Scan(&id, &e.Raw, &leaf); err != nil {
		return record.Entry{}, err
	}
	e.Epoch, e.Seq = Place(id)
	copy(e.Leaf[:], leaf)
	return e, nil
}

func decode(e record.Entry) (record.Entry, error) {
	var err error
	if e.Body, err = record.Decode(e.Raw); err != nil {
		return e, fmt.Errorf("ledger: entry %d of epoch %d: %w", e.Seq, e.Epoch, err)
	}
	return e, nil
}

// entries runs a query that selects entryColumns and yields its rows decoded.
func (r *Reader) entries(ctx context.Context, query string, args ...any) iter.Seq2[record.Entry, error] {
	return func(yield func(record.Entry, error) bool) {
		for e, err := range r.rawEntries(ctx, query, args...) {
			if err == nil {
				e, err = decode(e)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

func (r *Reader) rawEntries(ctx context.Context, query string, args ...any) iter.Seq2[record.Entry, error] {
	return func(yield func(record.Entry, error) bool) {
		rows, err := r.db.QueryContext(ctx, query, args...)
		if err != nil {
			yield(record.Entry{}, fmt.Errorf("ledger: %w", err))
			return
		}
		defer rows.Close() //nolint:errcheck // rows.Err is checked
		for rows.Next() {
			e, err := scanRaw(rows)
			if err != nil {
				err = fmt.Errorf("ledger: %w", err)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(record.Entry{}, fmt.Errorf("ledger: %w", err))
		}
	}
}

func collect[T any](seq iter.Seq2[T, error]) ([]T, error) {
	var all []T
	for v, err := range seq {
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// Entry returns one entry. The error wraps sql.ErrNoRows if there is none.
func (r *Reader) Entry(ctx context.Context, epoch int, seq int64) (record.Entry, error) {
	e, err := scanRaw(r.db.QueryRowContext(ctx, `SELECT `+entryColumns+` FROM entry WHERE id = ?`, ID(epoch, seq)))
	if err != nil {
		return e, fmt.Errorf("ledger: entry %d of epoch %d: %w", seq, epoch, err)
	}
	return decode(e)
}

// Last returns the place of the newest entry, or zeros for a ledger without entries.
func (r *Reader) Last(ctx context.Context) (epoch int, seq int64, err error) {
	var id sql.NullInt64
	if err := r.db.QueryRowContext(ctx, `SELECT max(id) FROM entry`).Scan(&id); err != nil {
		return 0, 0, fmt.Errorf("ledger: %w", err)
	}
	epoch, seq = Place(id.Int64)
	return epoch, seq, nil
}

// ErrNoBlob is returned for a digest under which nothing is stored.
var ErrNoBlob = errors.New("ledger: no such blob")

// Blob returns the bytes whose SHA-256 (lower-case hex) an entry names.
func (r *Reader) Blob(ctx context.Context, digest string) ([]byte, error) {
	sum, err := hex.DecodeString(digest)
	if err != nil || len(sum) != 32 {
		return nil, fmt.Errorf("ledger: %q is not a SHA-256 digest in hex", digest)
	}
	var b []byte
	err = r.db.QueryRowContext(ctx, `SELECT bytes FROM blob WHERE sha256 = ?`, sum).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: %s", ErrNoBlob, digest)
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: blob %s: %w", digest, err)
	}
	return b, nil
}
