// SPDX-License-Identifier: Apache-2.0

// Package ledger writes a station's ledger: entries that are never changed, a Merkle tree over them, signed checkpoints of that tree,
// and the claims by which serial number, board and key are each unique among live units.
//
// # Life of an entry
//
//  1. [Ledger.Append] encodes the bodies (RFC 8785) in the caller's goroutine and hands them to the one writer.
//  2. The writer takes all batches that wait, at most [maxGroup], into one transaction. Each batch has its own savepoint:
//     blobs, entries, tree nodes and claims of a batch are written together or not at all.
//     A claim that another unit holds fails its own batch and no other.
//  3. COMMIT with synchronous=FULL. From here on the entries survive a power cut, and Append returns.
//     Before it, a crash leaves nothing of the group; a crash between COMMIT and the return leaves entries that nobody
//     was told of, which the next start finds as open runs.
//  4. [Ledger.Cover] waits for a checkpoint: the tree's root is signed once for all who wait, outside the writer,
//     since a TPM is slow, and is stored by the writer like any batch. A crash before that leaves an uncovered tail,
//     which [Open] covers before it returns.
//
// # When writing fails
//
// A full disk costs the ballast ([Config].Ballast) first, and the group is tried again. A full disk without it, or another program that holds the database for longer than five seconds, fails the group:
// SQLite has rolled it back, and the next Append tries anew. Any other failure to write is final ([WriteError].Final):
// what the disk holds is not known until the file has been opened and checked again,
// so every later call returns the same *[WriteError] until then. Either way a group is recorded wholly or not at all.
package ledger

import (
	"cmp"
	"context"
	"crypto"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// Config says which ledger to open and who signs for it.
type Config struct {
	Path   string
	Origin string           // plant/station/epoch; first line of every checkpoint
	Signer crypto.Signer    // checkpoint key, ECDSA P-256; may be slow
	Now    func() time.Time // stamps entries that carry no time; nil: time.Now
	Log    *slog.Logger     // nil: nothing is logged

	// Counter ties the ledger to the TPM by seals; nil: it has none. Seal is what every seal says: operator, software, TPM.
	// A seal is made at start, every SealEvery while there is something new to seal (0: 10 minutes), and when [Ledger.Seal] is called.
	Counter   Counter
	Seal      record.Body
	SealEvery time.Duration

	// Ballast is how many bytes of the disk are kept for the end of what is under way when the disk gets full, in a file beside the ledger;
	// 0: none. Once it is used, [Ledger.KeepBallast] makes it anew.
	Ballast int64
}

// sealEvery is the longest that entries wait for a seal while the station works: what a roll-back could hide.
const sealEvery = 10 * time.Minute

// Ledger is an open ledger. Its methods may be called at the same time.
type Ledger struct {
	origin   record.Origin
	verifier *record.Verifier
	signer   crypto.Signer
	now      func() time.Time
	log      *slog.Logger

	counter    Counter
	sealBody   record.Body
	sealEvery  time.Duration
	sealedAt   int64         // size of the epoch after the last seal; owned by the writer
	sealing    chan *sealJob // to the writer
	unfinished uint64        // value of a seal whose increment is still to come; owned by the writer

	ballast *ballast

	db    *sql.DB        // one connection, owned by the writer
	read  *reader.Reader // committed entries only
	work  chan *job      // to the writer
	wake  chan struct{}  // to the checkpointer; holds one
	ctx   context.Context
	stop  context.CancelFunc
	ended sync.WaitGroup

	mu      sync.Mutex // guards what follows
	size    int64      // committed entries of this epoch
	covered int64      // of these, covered by a committed checkpoint
	waiting []*waiter
	broken  *WriteError // set once; final
	parted  *SealError  // the counter is not where the ledger says; final
	closed  bool
}

// ErrClosed is returned by calls on a closed ledger.
var ErrClosed = errors.New("ledger: closed")

// Open opens an existing ledger for writing, checks its end and covers an uncovered tail with a checkpoint before it returns.
// It refuses, without modifying the file: a missing or empty file, a database of another program or of a newer version,
// a damaged one, a schema that was tampered with, a ledger of another origin or key, and an end that does not fit its checkpoint.
// It refuses to work where SQLite does not confirm WAL with synchronous=FULL.
func Open(ctx context.Context, c Config) (*Ledger, error) {
	l, err := prepare(c)
	if err != nil {
		return nil, err
	}
	if l.read, err = reader.Open(ctx, c.Path); err != nil {
		return nil, err
	}
	if err := l.examine(ctx, c.Path); err != nil {
		return nil, errors.Join(err, l.read.Close())
	}
	if l.db, err = openWriter(ctx, c.Path); err != nil {
		return nil, errors.Join(err, l.read.Close())
	}
	if err := l.ballast.keep(); err != nil {
		l.log.Warn("no room is reserved on the disk", "err", err)
	}
	l.start()
	if err := l.Cover(ctx, l.size); err != nil {
		return nil, errors.Join(fmt.Errorf("cover the end of the ledger: %w", err), l.Close())
	}
	if err := l.Seal(ctx, "start"); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// prepare checks what does not need the file.
func prepare(c Config) (*Ledger, error) {
	origin, err := record.ParseOrigin(c.Origin)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	if c.Signer == nil {
		return nil, errors.New("ledger: no checkpoint key: without it the ledger can only be read")
	}
	v, err := record.NewVerifier(origin, c.Signer.Public())
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	l := &Ledger{
		origin: origin, verifier: v, signer: c.Signer, now: c.Now, log: c.Log, work: make(chan *job), wake: make(chan struct{}, 1),
		counter: c.Counter, sealBody: c.Seal, sealEvery: cmp.Or(c.SealEvery, sealEvery), sealing: make(chan *sealJob),
		ballast: newBallast(c.Path, c.Ballast),
	}
	l.sealBody.Kind = record.KindSeal
	if l.now == nil {
		l.now = time.Now
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	l.log = l.log.With("origin", origin.String())
	return l, nil
}

func (l *Ledger) start() {
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.ended.Go(l.write)
	l.ended.Go(l.checkpoint)
}

const writeParams = "mode=rw&_journal_mode=WAL&_synchronous=FULL&_txlock=immediate&_busy_timeout=5000&_foreign_keys=on&_recursive_triggers=on&_stmt_cache_size=32"

// openWriter opens the one connection that writes, and believes no setting it has not read back:
// the driver turns WAL into synchronous=NORMAL on its own, which loses acknowledged entries in a power cut.
func openWriter(ctx context.Context, path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite3", reader.DSN(path, writeParams))
	if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	// The settings belong to the connection: it must live as long as the ledger.
	db.SetMaxIdleConns(1)
	db.SetConnMaxLifetime(0)
	for _, want := range []struct{ pragma, value, why string }{
		{"journal_mode", "wal", "readers would block the line"},
		{"synchronous", "2", "a power cut would lose acknowledged entries"},
		{"recursive_triggers", "1", "REPLACE would walk past the triggers"},
	} {
		var got string
		if err := db.QueryRowContext(ctx, "PRAGMA "+want.pragma).Scan(&got); err != nil {
			return nil, errors.Join(writeError("open "+path, err), db.Close())
		}
		if got != want.value {
			return nil, errors.Join(fmt.Errorf("ledger %s: %s is %s, not %s: %s", path, want.pragma, got, want.value, want.why), db.Close())
		}
	}
	return db, nil
}

// Close ends the writer and the checkpointer. Calls under way are answered first; entries that no checkpoint covers yet
// are covered by the next Open.
func (l *Ledger) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	l.stop()
	l.ended.Wait()
	return errors.Join(l.db.Close(), l.read.Close())
}

// Reader answers questions about committed entries. It lives as long as the ledger.
func (l *Ledger) Reader() *reader.Reader { return l.read }

// Origin is the log this ledger writes: plant/station/epoch.
func (l *Ledger) Origin() record.Origin { return l.origin }

// Verifier checks this epoch's checkpoints.
func (l *Ledger) Verifier() *record.Verifier { return l.verifier }

// Size returns how many entries of this epoch are committed, and how many of these a committed checkpoint covers.
func (l *Ledger) Size() (size, covered int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size, l.covered
}

// Err returns the failure after which this ledger takes nothing more, or nil.
func (l *Ledger) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unusable()
}

// unusable says why nothing can be written. l.mu is held.
func (l *Ledger) unusable() error {
	switch {
	case l.broken != nil:
		return l.broken
	case l.parted != nil:
		return l.parted
	case l.closed:
		return ErrClosed
	}
	return nil
}
