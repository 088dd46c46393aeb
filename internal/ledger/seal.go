// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// A seal ties the ledger to a counter in the TPM that only goes up, so that an older copy of the file is noticed:
//
//	append seal{nv: n+1} -> commit -> checkpoint -> increment the counter to n+1 -> append what the TPM says of it
//
// The writer takes nothing else between the first step and the increment. So at the next start the counter stands where the last
// seal says, or one below with that seal as the last entry: then the power failed on the way, and the seal is finished.

// Counter is a counter that never goes down, whatever happens to the disk: in a TPM's non-volatile memory.
type Counter interface {
	Read(ctx context.Context) (uint64, error)
	// Increment adds one and returns the new value. It is never repeated blindly: after an error Read tells whether it was done.
	Increment(ctx context.Context) (uint64, error)
	// Certify returns the value with the TPM's signed word for it, over qualifying.
	Certify(ctx context.Context, qualifying [32]byte) (value uint64, attest, sig []byte, err error)
}

// SealError says that counter and ledger do not belong together. Nothing may be provisioned until qa has found out why.
type SealError struct {
	Sealed  uint64 // by the last seal of the ledger
	Counter uint64 // of the TPM
	What    string
}

func (e *SealError) Error() string {
	return fmt.Sprintf("ledger: the last seal stands for %d, the TPM's counter is at %d: %s", e.Sealed, e.Counter, e.What)
}

// ErrNoCounter is the answer for a ledger that is sealed, and no counter to hold it against.
var ErrNoCounter = errors.New("ledger: it is sealed by a TPM's counter, and none was named: bring back the station.toml that names it")

// ErrNotSealed is the answer for a ledger without a seal where the station has a counter.
var ErrNotSealed = errors.New("ledger: this epoch has no seal, but the station has a counter in its TPM: this is not the ledger that was sealed by it")

// sealJob is one Seal call.
type sealJob struct {
	reason string
	done   chan error // holds one
}

// Seal makes a seal and returns when the TPM's word for it is on record. Without a counter it does nothing.
// If the TPM goes away on the way, the ledger takes no more entries until the seal is finished, which the next of them tries first.
func (l *Ledger) Seal(ctx context.Context, reason string) error {
	if l.counter == nil {
		return nil
	}
	if err := l.Err(); err != nil {
		return err
	}
	j := &sealJob{reason, make(chan error, 1)}
	select {
	case l.sealing <- j:
		return <-j.done
	case <-ctx.Done():
		return ctx.Err()
	case <-l.ctx.Done():
		return ErrClosed
	}
}

// seal is Seal in the writer's goroutine.
func (l *Ledger) seal(reason string) error {
	if err := l.finishSeal(); err != nil {
		return err
	}
	value, err := l.counter.Read(l.ctx)
	if err != nil {
		return fmt.Errorf("ledger: seal: %w", err)
	}
	// A seal over a gap would hide it from the next start.
	last, found, err := l.read.LastSeal(l.ctx, l.origin.Epoch)
	switch {
	case err != nil:
		return err
	case !found:
		return ErrNotSealed
	case uint64(last.Body.NV) != value:
		return l.apart(&SealError{uint64(last.Body.NV), value, "something else has changed the counter"})
	}
	b := l.sealBody
	b.NV, b.Reason = int64(value)+1, reason
	size, err := l.appendNow(b)
	if err != nil {
		return err
	}
	l.unfinished = value + 1
	if err := l.coverNow(size); err != nil {
		return err
	}
	return l.finishSeal()
}

// apart stops the ledger: what is recorded from here on could be rolled back unnoticed.
func (l *Ledger) apart(e *SealError) error {
	l.log.Error("the ledger is stopped", "err", e)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parted = e
	return e
}

// finishSeal increments the counter for a seal that is on record and covered, and records what the TPM says of it.
// Only the writer calls it. A seal that was not covered yet is covered first. While l.unfinished stays set after an error, nothing may be written.
func (l *Ledger) finishSeal() error {
	nv := l.unfinished
	if nv == 0 {
		return nil
	}
	size, covered := l.Size()
	if covered < size {
		if err := l.coverNow(size); err != nil {
			return finishError(err)
		}
	}
	value, err := l.counter.Read(l.ctx)
	if err == nil && value+1 == nv {
		value, err = l.counter.Increment(l.ctx)
	}
	if err != nil {
		return finishError(err)
	}
	if value != nv {
		return l.apart(&SealError{nv, value, "something else has changed the counter"})
	}
	l.unfinished = 0
	return l.certify(nv, size)
}

// finishError tells a TPM that does not answer from a disk that cannot be written.
func finishError(err error) error {
	if we := (*WriteError)(nil); errors.As(err, &we) {
		return err
	}
	return &WriteError{Op: "finish the seal", TPM: true, Err: err}
}

// certify records the TPM's word for the counter, over the checkpoint that covers the seal.
func (l *Ledger) certify(nv uint64, size int64) error {
	c, found, err := l.read.NewestCheckpoint(l.ctx)
	if err != nil {
		return err
	}
	if !found || c.Epoch != l.origin.Epoch || c.Size != size {
		return fmt.Errorf("ledger: seal: the checkpoint of %d entries is not there", size)
	}
	note := sha256.Sum256(c.Note)
	value, attest, sig, err := l.counter.Certify(l.ctx, note)
	if err != nil {
		return fmt.Errorf("ledger: seal: %w", err)
	}
	if value != nv {
		return l.apart(&SealError{nv, value, "something else has changed the counter"})
	}
	b := l.sealBody
	b.NV, b.Attest, b.AttestSig = int64(nv), hex.EncodeToString(attest), hex.EncodeToString(sig)
	b.Checkpoint, b.Size = hex.EncodeToString(note[:]), size
	l.sealedAt, err = l.appendNow(b)
	return err
}

// appendNow is Append in the writer's goroutine, of an entry without claims and blobs. It returns the size of the epoch with it.
func (l *Ledger) appendNow(b record.Body) (int64, error) {
	lines, err := l.encode(Batch{Bodies: []record.Body{b}})
	if err != nil {
		return 0, err
	}
	seqs := make([]int64, 1)
	err = l.alone(func(tx *sql.Tx) error { return l.insert(tx, lines, nil, seqs) })
	return seqs[0], err
}

// coverNow is coverTo in the writer's goroutine.
func (l *Ledger) coverNow(size int64) error {
	c, note, err := l.signCheckpoint(size)
	if err != nil {
		return err
	}
	if err := l.alone(l.storing(c, note)); err != nil {
		return err
	}
	l.coveredTo(size)
	return nil
}

// alone runs one job in the writer's goroutine, in a transaction of its own.
func (l *Ledger) alone(apply func(*sql.Tx) error) error {
	j := &job{apply, make(chan error, 1)}
	l.commitGroup([]*job{j})
	return <-j.done
}

// firstSeal is what a new epoch says of the counter as it stands: so that none of its ledgers is without a seal.
func (l *Ledger) firstSeal(ctx context.Context) ([]record.Body, error) {
	if l.counter == nil {
		return nil, nil
	}
	value, err := l.counter.Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the TPM's counter: %w", err)
	}
	b := l.sealBody
	b.NV, b.Reason = int64(value), "first"
	return []record.Body{b}, nil
}

// CheckSeals holds the last seal of a ledger's epoch against the TPM's counter as [Open] does, and changes nothing. counter may be nil:
// then the epoch may have no seals. Errors: *[SealError], [ErrNoCounter], [ErrNotSealed], or what does not read.
func CheckSeals(ctx context.Context, r *reader.Reader, epoch int, counter Counter) error {
	s, err := lookAtSeals(ctx, r, epoch, counter)
	if err != nil {
		return err
	}
	_, err = s.judge()
	return err
}

// sealed is where the last stop left ledger and counter. Every field is a fact; what it means, judge says.
type sealed struct {
	counted bool   // the station has a counter
	value   uint64 // where it stands
	found   bool   // the epoch has a seal
	nv      uint64 // what the last one stands for
	open    bool   // it is the last entry, without the TPM's word for it
}

func lookAtSeals(ctx context.Context, r *reader.Reader, epoch int, counter Counter) (s sealed, err error) {
	last, found, err := r.LastSeal(ctx, epoch)
	if err != nil {
		return s, err
	}
	size, err := r.Size(ctx, epoch)
	if err != nil {
		return s, err
	}
	s = sealed{counted: counter != nil, found: found, nv: uint64(last.Body.NV), open: last.Seq == size && last.Body.Attest == ""}
	if s.counted && s.found {
		if s.value, err = counter.Read(ctx); err != nil {
			return s, fmt.Errorf("ledger: read the TPM's counter: %w", err)
		}
	}
	return s, nil
}

// judge is the one switch over what the last stop can have left of a seal; TestEveryStop has a row for each case.
// It returns the value of a seal that is to be finished before anything else is written, or 0.
func (s sealed) judge() (unfinished uint64, err error) {
	switch {
	case !s.counted && !s.found: // its home has no counter
		return 0, nil
	case !s.counted:
		return 0, ErrNoCounter
	case !s.found:
		return 0, ErrNotSealed
	case s.value == s.nv && !s.open: // nothing was under way
		return 0, nil
	case s.value == s.nv: // incremented, and the TPM's word for it not recorded
		return s.nv, nil
	case s.value+1 == s.nv && s.open: // recorded, and not incremented
		return s.nv, nil
	case s.value > s.nv:
		return 0, &SealError{s.nv, s.value, fmt.Sprintf("this is an older copy of the ledger, or its end was cut off: %d seals are missing", s.value-s.nv)}
	case s.open:
		return 0, &SealError{s.nv, s.value, "the counter is behind: the TPM was cleared, or a copy of a software TPM was put back"}
	}
	return 0, &SealError{s.nv, s.value, "the counter is behind what was recorded after it: the TPM was cleared, or a copy of a software TPM was put back"}
}
