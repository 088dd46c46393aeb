// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// Batch is what is recorded together or not at all.
type Batch struct {
	Bodies []record.Body // at least one; an empty Time or Station is filled in
	Blobs  [][]byte      // stored under their SHA-256; one already stored costs nothing
}

const (
	// maxGroup bounds the batches of one transaction, so that the first of them does not wait for all others.
	maxGroup = 64
	maxBatch = 64       // bodies, and blobs, of one batch
	maxBlob  = 16 << 20 // bytes: a revocation list of some 300 000 certificates
)

// job is one thing for the writer to do inside its transaction.
type job struct {
	apply func(tx *sql.Tx) error
	done  chan error // holds one
}

type line struct {
	body record.Body
	raw  []byte
}

// Append records a batch and returns the numbers of its entries in this epoch once they are durable.
//
// A body's Claims are taken for its unit (model and uid). A unit keeps what it holds already;
// what another unit holds is refused with a *[ClaimError] that names it. A body's Releases give values back:
// in a rework or scrap entry, or in an end of a unit that has no live certificate, else the batch is refused with a *[ReleaseError].
//
// The context ends the wait for the writer's attention; once the writer has the batch, its answer is waited for,
// so that an error never leaves open whether the batch is recorded.
// Errors: *[ClaimError], *[ReleaseError], *[WriteError], *[SealError], [ErrClosed], the context's, or what is wrong with a body.
func (l *Ledger) Append(ctx context.Context, b Batch) ([]int64, error) {
	lines, err := l.encode(b)
	if err != nil {
		return nil, err
	}
	seqs := make([]int64, len(lines))
	err = l.do(ctx, func(tx *sql.Tx) error { return l.insert(tx, lines, b.Blobs, seqs) })
	if err != nil {
		return nil, err
	}
	return seqs, nil
}

// encode fills, checks and encodes the bodies before the writer sees them.
func (l *Ledger) encode(b Batch) ([]line, error) {
	if len(b.Bodies) == 0 || len(b.Bodies) > maxBatch || len(b.Blobs) > maxBatch {
		return nil, fmt.Errorf("ledger: batch of %d entries and %d blobs, allowed are 1 to %d entries and at most %d blobs", len(b.Bodies), len(b.Blobs), maxBatch, maxBatch)
	}
	return l.encodeAll(b)
}

// encodeAll is encode for any number of bodies: nobody waits for the writer while an epoch begins.
func (l *Ledger) encodeAll(b Batch) ([]line, error) {
	for _, blob := range b.Blobs {
		if len(blob) == 0 || len(blob) > maxBlob {
			return nil, fmt.Errorf("ledger: blob of %d bytes, allowed are 1 to %d", len(blob), maxBlob)
		}
	}
	lines := make([]line, len(b.Bodies))
	for i, body := range b.Bodies {
		if body.Time == "" {
			body.Time = record.Timestamp(l.now())
		}
		if body.Station == "" {
			body.Station = l.origin.Station
		}
		if body.Station != l.origin.Station {
			return nil, fmt.Errorf("ledger: %s entry of station %q does not belong into the ledger of %q", body.Kind, body.Station, l.origin.Station)
		}
		raw, err := body.Encode()
		if err != nil {
			return nil, fmt.Errorf("ledger: %w", err)
		}
		lines[i] = line{body, raw}
	}
	return lines, nil
}

// do hands a job to the writer and waits for its answer.
func (l *Ledger) do(ctx context.Context, apply func(*sql.Tx) error) error {
	if err := l.Err(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	j := &job{apply, make(chan error, 1)}
	select {
	case l.work <- j:
		return <-j.done
	case <-ctx.Done():
		return ctx.Err()
	case <-l.ctx.Done():
		return ErrClosed
	}
}

// write is the one writer. It alone uses l.db.
func (l *Ledger) write() {
	var due <-chan time.Time // without a counter there is nothing to seal with
	if l.counter != nil {
		tick := time.NewTicker(l.sealEvery)
		defer tick.Stop()
		due = tick.C
	}
	for {
		select {
		case <-l.ctx.Done():
			return
		case j := <-l.work:
			l.commit(l.gather(j))
		case s := <-l.sealing:
			s.done <- l.seal(s.reason)
		case <-due:
			if size, _ := l.Size(); size > l.sealedAt {
				if err := l.seal("time"); err != nil {
					l.log.Warn("no seal", "err", err)
				}
			}
		}
	}
}

// gather takes what waits besides the first job.
func (l *Ledger) gather(first *job) []*job {
	group := []*job{first}
	for len(group) < maxGroup {
		select {
		case j := <-l.work:
			group = append(group, j)
		default:
			return group
		}
	}
	return group
}

// commit finishes a seal that waits for it, then commits the group. A counter that stands where the seal says is enough:
// the TPM's word for it may be missing.
func (l *Ledger) commit(group []*job) {
	err := l.finishSeal()
	if err != nil {
		l.log.Error("the seal is not finished", "err", err)
	}
	if parted := (*SealError)(nil); errors.As(l.Err(), &parted) {
		err = parted
	} else if l.unfinished == 0 {
		err = nil
	}
	if err == nil {
		l.commitGroup(group)
		return
	}
	for _, j := range group {
		j.done <- err
	}
}

// commitGroup runs a group in one transaction and answers each of its jobs.
func (l *Ledger) commitGroup(group []*job) {
	answers := make([]error, len(group))
	size, err := l.transact(group, answers)
	if err != nil && writeError("write", err).Full && l.ballast.giveUp() {
		l.log.Error("the disk is full: the ballast is used up", "err", err)
		clear(answers)
		size, err = l.transact(group, answers)
	}
	if err != nil {
		failure := writeError("write", err)
		l.log.Error("ledger cannot write", "err", failure)
		l.mu.Lock()
		if failure.Final && l.broken == nil {
			l.broken = failure
		}
		l.mu.Unlock()
		for i := range answers {
			if answers[i] == nil {
				answers[i] = failure
			}
		}
	} else {
		l.mu.Lock()
		l.size = size
		l.mu.Unlock()
	}
	for i, j := range group {
		j.done <- answers[i]
	}
}

// transact returns the size of the epoch after the commit. An error means that the whole group was rolled back;
// a job that failed on its own has its answer set and does not disturb the others.
func (l *Ledger) transact(group []*job, answers []error) (size int64, err error) {
	if err := l.Err(); err != nil && !errors.Is(err, ErrClosed) {
		return 0, err // a group that was waiting when the ledger broke
	}
	// No caller's context here: the answer belongs to many.
	tx, err := l.db.Begin()
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing, after a failure SQLite may have done it
	for i, j := range group {
		if answers[i], err = savepoint(tx, j.apply); err != nil {
			return 0, err
		}
	}
	if size, err = epochSize(tx, l.origin.Epoch); err != nil {
		return 0, err
	}
	return size, tx.Commit()
}

// savepoint runs apply so that its refusal leaves no trace. A failure to write is err, and ends the transaction.
func savepoint(tx *sql.Tx, apply func(*sql.Tx) error) (refusal, err error) {
	if _, err := tx.Exec("SAVEPOINT batch"); err != nil {
		return nil, err
	}
	if err := apply(tx); err != nil {
		if !isRefusal(err) {
			return nil, err
		}
		refusal = err
		if _, err := tx.Exec("ROLLBACK TO batch"); err != nil {
			return nil, err
		}
	}
	_, err = tx.Exec("RELEASE batch")
	return refusal, err
}

// isRefusal tells what is wrong with a batch from what is wrong with the disk.
func isRefusal(err error) bool {
	var claim *ClaimError
	var release *ReleaseError
	return errors.As(err, &claim) || errors.As(err, &release)
}

// epochSize counts an epoch's entries; they are dense.
func epochSize(q reader.Querier, epoch int) (int64, error) {
	var last int64
	err := q.QueryRowContext(context.Background(), `SELECT coalesce(max(id), ?) FROM entry WHERE id > ? AND id < ?`,
		reader.ID(epoch, 0), reader.ID(epoch, 0), reader.ID(epoch+1, 0)).Scan(&last)
	_, size := reader.Place(last)
	return size, err
}

// insert writes one batch: blobs, then each entry with the tree nodes it completes and the claims it moves.
func (l *Ledger) insert(tx *sql.Tx, lines []line, blobs [][]byte, seqs []int64) error {
	for _, b := range blobs {
		sum := sha256.Sum256(b)
		if _, err := tx.Exec(`INSERT INTO blob (sha256, bytes) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM blob WHERE sha256 = ?1)`, sum[:], b); err != nil {
			return err
		}
	}
	size, err := epochSize(tx, l.origin.Epoch)
	if err != nil {
		return err
	}
	for i, line := range lines {
		size++
		seqs[i] = size
		if err := l.insertEntry(tx, size, line.raw); err != nil {
			return err
		}
		if err := moveClaims(tx, l.origin.Epoch, size, line.body); err != nil {
			return err
		}
	}
	return nil
}

func (l *Ledger) insertEntry(tx *sql.Tx, seq int64, raw []byte) error {
	epoch := l.origin.Epoch
	leaf := record.Leaf(raw)
	if _, err := tx.Exec(`INSERT INTO entry (id, body, leaf) VALUES (?, ?, ?)`, reader.ID(epoch, seq), string(raw), leaf[:]); err != nil {
		return err
	}
	hashes, err := tlog.StoredHashesForRecordHash(seq-1, leaf, reader.Hashes(context.Background(), tx, epoch))
	if err != nil {
		return err
	}
	first := tlog.StoredHashIndex(0, seq-1)
	for level, hash := range hashes {
		if level == 0 {
			continue // entry.leaf
		}
		if _, err := tx.Exec(`INSERT INTO node (epoch, id, hash) VALUES (?, ?, ?)`, epoch, first+int64(level), hash[:]); err != nil {
			return err
		}
	}
	return nil
}
