// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/record"
)

// ReworkBench is the place where a board is unlocked.
type ReworkBench struct {
	Line
	// Key is a rework key: ECDSA on P-256, the first or the second of those the
	// board stores. nil: only boards that are not locked can be reworked.
	Key crypto.Signer
}

// Reworked is what Rework did.
type Reworked struct {
	Withdrawn
	Was     enroll.State // the board's state when it came
	Again   bool         // the rework was on record already: this finished it, or found it done
	KeyUsed int          // place of the rework key in the board's object, -1 when none was needed
}

// NotUnlockedError says that a rework is on record, but the board may still be
// locked: the same rework again finishes it.
type NotUnlockedError struct {
	Seq int64 // the rework entry
	Err error
}

func (e *NotUnlockedError) Error() string {
	return fmt.Sprintf("the rework is on record (entry %d), but the board did not confirm that it is unlocked: %v", e.Seq, e.Err)
}

func (e *NotUnlockedError) Unwrap() error { return e.Err }

// Rework takes a unit's key away, so that its board may be provisioned again:
// its certificates are revoked, and a locked board is unlocked by a signature
// of the rework key. Serial number and board ID stay the unit's.
//
// Before anything is signed, a locked board shows by a fresh proof, under the
// key that the ledger holds for it, that it is the unit's board: no other board
// can collect a signature that was meant for this one. That proof stands in the
// rework entry.
//
// Commit point: the batch of revoked entries and the rework entry. The
// signature leaves behind it only. A crash before it changed nothing; after it
// the board is locked or blank, and the same rework again finds out which and
// finishes: that is the [NotUnlockedError].
//
// Errors: ErrRefused where ledger or board forbid it, NotUnlockedError, those
// of the line, the key and the ledger.
func (d Desk) Rework(ctx context.Context, name UnitName, why Why, bench ReworkBench) (*Reworked, error) {
	u, err := d.unit(ctx, name)
	if err != nil {
		return nil, err
	}
	switch {
	case u.history.scrapped:
		return nil, refused("unit %s (board %s/%s) is scrapped", u.serial, u.model, u.uid)
	case u.run != "":
		return nil, refused("unit %s has an open run %s: start the station, which ends it, then rework the unit", u.serial, u.run)
	case u.history.last == nil:
		return nil, refused("unit %s never got a certificate: there is nothing to rework, provision it", u.serial)
	}
	w := &rework{visit: visit{desk: d, unit: u, line: bench.Line}, why: why, key: bench.Key, keyAt: -1}
	if err := w.meet(ctx); err != nil {
		return nil, err
	}
	defer w.leave()
	return w.do(ctx)
}

// rework is one board being unlocked.
type rework struct {
	visit
	why   Why
	key   crypto.Signer
	keyAt int
	nonce [32]byte
	sig   []byte
}

func (w *rework) do(ctx context.Context) (*Reworked, error) {
	locked := w.info.State == enroll.Locked
	done := &Reworked{Was: w.info.State, Again: w.unit.history.reworked != "", KeyUsed: -1}
	done.Serial, done.Model, done.UID = w.unit.serial, w.unit.model, w.unit.uid
	if done.Again && !locked {
		return done, nil // the signature arrived, its answer did not; or somebody asks twice
	}
	if locked {
		if err := w.authorise(ctx); err != nil {
			return nil, err
		}
	}
	bodies, err := w.desk.Revocation(ctx, w.unit.model, w.unit.uid, w.why)
	if err != nil {
		return nil, err
	}
	on, err := w.desk.withdraw(ctx, w.unit, append(bodies, w.body()))
	if err != nil {
		return nil, err
	}
	w.desk.committed("reworked")
	done.Withdrawn, done.KeyUsed = *on, w.keyAt
	if !locked {
		return done, nil // the next run has the board make another key
	}
	if err := w.unlock(ctx); err != nil {
		return nil, &NotUnlockedError{on.Seq, err}
	}
	w.desk.committed("unlocked")
	return done, nil
}

// authorise has the board prove itself, and signs its challenge. Nothing leaves
// the station yet.
func (w *rework) authorise(ctx context.Context) error {
	last := w.unit.history.last
	if w.info.SPKI == nil || hexOf(w.info.SPKI[:]) != last.SPKI {
		return refused("the board at %s is locked with a key that this ledger does not hold for unit %s: it is another board, or was provisioned elsewhere",
			w.line.Port, w.unit.serial)
	}
	if w.key == nil {
		return refused("the board is locked, and there is no rework key to unlock it with")
	}
	if err := w.prove(ctx); err != nil {
		return err
	}
	if err := w.findKey(ctx); err != nil {
		return err
	}
	var err error
	if w.nonce, err = w.session.Challenge(ctx); err != nil {
		return err
	}
	digest := sha256.Sum256(enroll.ReworkMessage(w.nonce, *w.info.SPKI, w.info.UID))
	if w.sig, err = w.key.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
		return fmt.Errorf("sign with the rework key: %w", err)
	}
	return nil
}

// findKey looks up the place of the rework key among those that the board
// stores, as it has just proven.
func (w *rework) findKey(ctx context.Context) error {
	if w.info.Rework == nil {
		return refused("unit %s was locked without a rework key: it stays locked for good", w.unit.serial)
	}
	object, err := w.session.Get(ctx, "rework")
	if err != nil {
		return err
	}
	if sha256.Sum256(object) != *w.info.Rework {
		return fmt.Errorf("%w: the rework keys differ from what the board proved", enroll.ErrReadBack)
	}
	ours, err := x509.MarshalPKIXPublicKey(w.key.Public())
	if err != nil {
		return fmt.Errorf("encode the rework key: %w", err)
	}
	keys, err := enroll.SplitRework(object)
	if err != nil {
		return refused("the board's rework keys: %v", err)
	}
	w.keyAt = slices.IndexFunc(keys, func(k []byte) bool { return string(k) == string(ours) })
	if w.keyAt < 0 {
		return refused("unit %s is unlocked by another rework key than this one: take that of the station or bench it was locked for", w.unit.serial)
	}
	return nil
}

// body is the rework entry.
func (w *rework) body() record.Body {
	last, prot := w.unit.history.last, int(w.info.Prot)
	b := record.Body{
		Kind: record.KindRework, Serial: w.unit.serial, Model: w.unit.model, UID: w.unit.uid,
		Reason: w.why.Reason, Detail: w.why.Note, Approver: w.why.Approver,
		Port: w.line.Port, Hardware: record.Plain(w.info.HW, 64), FirmwareVersion: record.Plain(w.info.FW, 64), Prot: &prot,
		SPKI: last.SPKI, Cert: last.Cert, CertSerial: last.CertSerial,
	}
	if w.receipt != nil {
		b.Receipt, b.Lock, b.Nonce = w.receipt, true, hexOf(w.nonce[:])
		b.ChainReadBack, b.Anchors, b.Rework = w.receipt.Chain, w.receipt.Anchors, w.receipt.Rework
	}
	return w.desk.stamp(b)
}

// unlock hands the signature over and believes the board only when it shows
// itself blank.
func (w *rework) unlock(ctx context.Context) error {
	if err := w.session.Rework(ctx, w.keyAt, w.sig); err != nil {
		return err
	}
	info, err := w.session.Info(ctx)
	if err != nil {
		return err
	}
	if info.State != enroll.Blank || info.SPKI != nil {
		return fmt.Errorf("after the rework the board is %s", info.State)
	}
	return nil
}
