// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"log/slog"
	"slices"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/smp"
)

// ReworkBench is the place where a board is unlocked.
type ReworkBench struct {
	Port string // as it stands in the ledger
	Baud int    // of the line, for how long an answer may take
	Open func(ctx context.Context) (smp.Stream, error)
	// Key is a rework key: ECDSA on P-256, the first or the second of those the
	// board stores. nil: only boards that are not locked can be reworked.
	Key crypto.Signer
	Log *slog.Logger // nil: no log
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
	w := &rework{desk: d, unit: u, why: why, bench: bench, keyAt: -1}
	if w.bench.Log == nil {
		w.bench.Log = slog.New(slog.DiscardHandler)
	}
	if err := w.meet(ctx); err != nil {
		return nil, err
	}
	defer w.client.Close()
	return w.do(ctx)
}

// rework is one board being unlocked.
type rework struct {
	desk  Desk
	unit  *unitOnRecord
	why   Why
	bench ReworkBench

	client  *smp.Client
	session *enroll.Session
	info    enroll.Info
	receipt *record.Receipt // the fresh proof of a locked board
	keyAt   int
	nonce   [32]byte
	sig     []byte
}

// meet opens the line and makes sure that the unit's board is there.
func (w *rework) meet(ctx context.Context) error {
	stream, err := w.bench.Open(ctx)
	if err != nil {
		return fmt.Errorf("open %s: %w", w.bench.Port, err)
	}
	w.client = smp.NewClient(smp.ClientConfig{Stream: stream, Baud: w.bench.Baud, Log: w.bench.Log})
	w.session = enroll.New(enroll.Config{Client: w.client, Log: w.bench.Log})
	if w.info, err = w.session.WaitInfo(ctx); err != nil {
		w.client.Close()
		return err
	}
	if uid := hexOf(w.info.UID); w.info.Model != w.unit.model || uid != w.unit.uid {
		w.client.Close()
		return refused("the board at %s is %s/%s, unit %s is board %s/%s: connect the unit's own board",
			w.bench.Port, record.Plain(w.info.Model, 64), uid, w.unit.serial, w.unit.model, w.unit.uid)
	}
	w.session.Expect(w.info.UID, w.info.SPKI)
	return nil
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
			w.bench.Port, w.unit.serial)
	}
	if w.bench.Key == nil {
		return refused("the board is locked, and there is no rework key to unlock it with")
	}
	if err := w.prove(ctx, last); err != nil {
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
	if w.sig, err = w.bench.Key.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
		return fmt.Errorf("sign with the rework key: %w", err)
	}
	return nil
}

// prove demands a fresh proof under the key of the unit's certificate.
func (w *rework) prove(ctx context.Context, last *record.Body) error {
	der, err := w.desk.Ledger.Reader().Blob(ctx, last.Cert)
	if err != nil {
		return fmt.Errorf("read certificate %s: %w", last.CertSerial, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("read certificate %s: %w", last.CertSerial, err)
	}
	p := enroll.Proof{
		Chain: orZero(w.info.Chain), Anchors: orZero(w.info.Anchors), Rework: orZero(w.info.Rework), Root: orZero(w.info.Root),
		Prot: w.info.Prot, State: enroll.Locked, UID: w.info.UID,
	}
	rand.Read(p.Nonce[:])
	sig, err := w.session.Prove(ctx, p.Nonce)
	if err != nil {
		return err
	}
	alg := algOf(cert.PublicKey)
	if err := p.Verify(cert.PublicKey, alg, sig); err != nil {
		return refused("the board at %s did not prove that it has the key of unit %s (%v): it is another one; give it to QA", w.bench.Port, w.unit.serial, err)
	}
	w.receipt = &record.Receipt{
		Alg: alg, Nonce: hexOf(p.Nonce[:]), Chain: present(p.Chain), Anchors: present(p.Anchors), Rework: present(p.Rework),
		Root: present(p.Root), Prot: int(p.Prot), State: int(p.State), UID: hexOf(p.UID), Sig: hexOf(sig),
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
	ours, err := x509.MarshalPKIXPublicKey(w.bench.Key.Public())
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
		Port: w.bench.Port, Hardware: record.Plain(w.info.HW, 64), FirmwareVersion: record.Plain(w.info.FW, 64), Prot: &prot,
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

func orZero(d *[32]byte) [32]byte {
	if d == nil {
		return [32]byte{}
	}
	return *d
}

// algOf names the algorithm of a board's key (protocol, algorithms); "" for
// one that no board may have.
func algOf(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return "ES256"
		case elliptic.P384():
			return "ES384"
		}
	case ed25519.PublicKey:
		return "EdDSA"
	case *rsa.PublicKey:
		return "RS256"
	}
	return ""
}
