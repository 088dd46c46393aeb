// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// Desk is where units are dealt with that are not on the bench: revoked,
// scrapped, renewed. One at a time, while no run is going on.
type Desk struct {
	Ledger   *ledger.Ledger
	Operator string
	Role     string // of the operator; empty: nobody is registered at this station
	Software string
	Now      func() time.Time // nil: time.Now

	testOnlyCommitted func(point string) // as in Station
}

// Why is the reason for what cannot be taken back, and who approved it.
type Why struct {
	Reason   string // name of an [issuer.RevocationReason]
	Note     string // in somebody's own words, may be empty
	Approver string
}

// ErrRefused marks what the ledger's content forbids: nothing was recorded.
var ErrRefused = errors.New("refused")

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, args...))
}

// Withdrawn is what Scrap and Revoke put on record.
type Withdrawn struct {
	Serial, Model, UID string
	Certificates       []string // serial numbers of the certificates revoked, oldest first
	Seq                int64    // the last entry
}

// Scrap takes a unit out for good. One batch holds a revoked entry for each
// certificate that has not ended, the replaced ones included, and the scrap
// entry.
//
// The unit's serial number and board ID are given back, so that a new board
// may take its place; the board itself is refused from then on (F-CONNECT-14).
// Its key stays taken: no other board may ever come with it.
func (d Desk) Scrap(ctx context.Context, unit UnitName, why Why) (*Withdrawn, error) {
	u, err := d.unit(ctx, unit)
	if err != nil {
		return nil, err
	}
	switch {
	case u.history.scrapped:
		return nil, refused("unit %s (board %s/%s) is scrapped already", u.serial, u.model, u.uid)
	case u.run != "":
		return nil, refused("unit %s has an open run %s: start the station, which ends it, then scrap the unit", u.serial, u.run)
	}
	bodies, err := d.Revocation(ctx, u.model, u.uid, why)
	if err != nil {
		return nil, err
	}
	scrap := d.stamp(record.Body{
		Kind: record.KindScrap, Serial: u.serial, Model: u.model, UID: u.uid,
		Reason: why.Reason, Detail: why.Note, Approver: why.Approver,
		Releases: []record.Claim{{Kind: record.ClaimUID, Value: u.model + "/" + u.uid}},
	})
	if u.holds {
		scrap.Releases = append(scrap.Releases, record.Claim{Kind: record.ClaimSerial, Value: u.serial})
	}
	return d.withdraw(ctx, u, append(bodies, scrap))
}

// Revocation makes the revoked entries for all certificates of a board that
// were not revoked yet and have not ended; none where there are none. They are
// for the caller's own batch: what takes a board's key away (rework) revokes
// its certificates in the same breath.
func (d Desk) Revocation(ctx context.Context, model, uid string, why Why) ([]record.Body, error) {
	if _, err := issuer.RevocationReasonNamed(why.Reason); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	entries, err := d.Ledger.Reader().Unrevoked(ctx, model, uid, d.now())
	if err != nil {
		return nil, err
	}
	var bodies []record.Body
	for _, e := range entries {
		bodies = append(bodies, d.revoked(e.Body, why))
	}
	if len(bodies) > maxRevoked {
		return nil, refused("board %s/%s has %d certificates that have not ended; at most %d are revoked at once: revoke some with: station ca revoke --serial",
			model, uid, len(bodies), maxRevoked)
	}
	return bodies, nil
}

// maxRevoked leaves room in a batch of the ledger for what they are revoked for.
const maxRevoked = 48

// RevokeUnit revokes all certificates of a unit that have not ended. The unit
// keeps its names; its board gets no other certificate for the same key.
func (d Desk) RevokeUnit(ctx context.Context, unit UnitName, why Why) (*Withdrawn, error) {
	u, err := d.unit(ctx, unit)
	if err != nil {
		return nil, err
	}
	bodies, err := d.Revocation(ctx, u.model, u.uid, why)
	if err != nil {
		return nil, err
	}
	if len(bodies) == 0 {
		return nil, refused("unit %s has no certificate that could be revoked: it has none, or all are revoked or have ended", u.serial)
	}
	return d.withdraw(ctx, u, bodies)
}

// RevokeCertificate revokes one certificate by its serial number in hex: a
// unit's, live or replaced, or one made for a cloud's registration code. Where
// somebody else may have the key, the unit's other certificates for it that have
// not ended go with it.
func (d Desk) RevokeCertificate(ctx context.Context, serial string, why Why) (*Withdrawn, error) {
	if _, err := issuer.RevocationReasonNamed(why.Reason); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	serial = strings.ToLower(strings.ReplaceAll(serial, ":", ""))
	found, err := d.Ledger.Reader().EntriesOf(ctx, reader.Query{
		CertSerial: serial, Kinds: []string{record.KindIssued, record.KindRenewed, record.KindCAVerify, record.KindCA, record.KindRevoked},
	})
	if err != nil {
		return nil, err
	}
	// What a root signed, it must revoke itself; the intermediate certified the key that signs manifests.
	if slices.ContainsFunc(found, func(e record.Entry) bool { return e.Body.Kind == record.KindCA && e.Body.Action != "certified" }) {
		return nil, refused("certificate %.64s is the station's intermediate: the root revokes it (station root revoke)", serial)
	}
	if len(found) == 0 || found[0].Body.Kind == record.KindRevoked {
		return nil, refused("the ledger has no certificate with serial number %.64s", serial)
	}
	b := found[0].Body
	for _, e := range found {
		if e.Body.Kind == record.KindRevoked && e.Body.Cert == b.Cert {
			return nil, refused("certificate %s was revoked already, at %s for %s", serial, e.Body.Time, e.Body.Reason)
		}
	}
	bodies := []record.Body{d.revoked(b, why)}
	if why.Reason == keyCompromise && b.UID != "" {
		others, err := d.Ledger.Reader().Unrevoked(ctx, b.Model, b.UID, d.now())
		if err != nil {
			return nil, err
		}
		for _, e := range others {
			if e.Body.SPKI == b.SPKI && e.Body.Cert != b.Cert && len(bodies) < maxRevoked {
				bodies = append(bodies, d.revoked(e.Body, why))
			}
		}
	}
	return d.withdraw(ctx, &unitOnRecord{serial: b.Serial, model: b.Model, uid: b.UID}, bodies)
}

// keyCompromise is the reason that speaks against the key, and so against every
// certificate for it.
const keyCompromise = "keyCompromise"

// revoked is the entry that revokes the certificate of another entry.
func (d Desk) revoked(b record.Body, why Why) record.Body {
	return d.stamp(record.Body{
		Kind: record.KindRevoked, Serial: b.Serial, Model: b.Model, UID: b.UID, SPKI: b.SPKI,
		Cert: b.Cert, CertSerial: b.CertSerial, IssuerKey: b.IssuerKey,
		Reason: why.Reason, Detail: why.Note, Approver: why.Approver,
	})
}

// withdraw records a batch and waits until a checkpoint covers it.
//
// Commit point: before it, nothing has happened; after it, the next revocation
// list names the certificates, whatever becomes of this process.
func (d Desk) withdraw(ctx context.Context, u *unitOnRecord, bodies []record.Body) (*Withdrawn, error) {
	seqs, err := d.Ledger.Append(ctx, ledger.Batch{Bodies: bodies})
	if err != nil {
		return nil, err
	}
	w := &Withdrawn{Serial: u.serial, Model: u.model, UID: u.uid, Seq: seqs[len(seqs)-1]}
	for _, b := range bodies {
		if b.Kind == record.KindRevoked {
			w.Certificates = append(w.Certificates, b.CertSerial)
		}
	}
	return w, d.Ledger.Cover(ctx, w.Seq)
}

// UnitName names a unit: by its serial number or, where that is not enough, by
// its board's model and ID in hex as well. A serial alone is the unit that
// holds it, else the only one that ever had it.
type UnitName struct{ Serial, UID string }

// unitOnRecord is a unit as the ledger knows it.
type unitOnRecord struct {
	serial, model, uid string
	holds              bool   // the serial number is this unit's now
	run                string // a run without an end
	history            history
}

// unit finds a unit and reads its history.
func (d Desk) unit(ctx context.Context, name UnitName) (*unitOnRecord, error) {
	u, err := d.identify(ctx, name)
	if err != nil {
		return nil, err
	}
	entries, err := d.Ledger.Reader().EntriesOf(ctx, reader.Query{Model: u.model, UID: u.uid})
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		u.history.add(e.Body)
		switch {
		case e.Body.Kind == record.KindBegun:
			u.run = e.Body.Run
		case e.Body.Kind == record.KindEnd && e.Body.Run == u.run:
			u.run = ""
		}
	}
	return u, nil
}

// identify finds out which board a name means.
func (d Desk) identify(ctx context.Context, name UnitName) (*unitOnRecord, error) {
	r := d.Ledger.Reader()
	if name.Serial != "" {
		e, held, err := r.Holder(ctx, record.Claim{Kind: record.ClaimSerial, Value: name.Serial})
		switch {
		case err != nil:
			return nil, err
		case held && name.UID != "" && e.Body.UID != name.UID:
			// Another board has the label now; the one that is meant had it before.
		case held:
			return &unitOnRecord{serial: name.Serial, model: e.Body.Model, uid: e.Body.UID, holds: true}, nil
		}
	}
	if name.Serial == "" && name.UID == "" {
		return nil, refused("no unit is named")
	}
	entries, err := r.EntriesOf(ctx, reader.Query{Serial: name.Serial, UID: name.UID})
	if err != nil {
		return nil, err
	}
	var u *unitOnRecord
	for _, e := range entries {
		switch b := e.Body; {
		case b.Unit() == "":
		case u == nil:
			u = &unitOnRecord{serial: b.Serial, model: b.Model, uid: b.UID}
		case u.model != b.Model || u.uid != b.UID:
			return nil, refused("more than one board had serial number %q: name the one that is meant with --uid", name.Serial)
		case b.Serial != "":
			u.serial = b.Serial
		}
	}
	if u == nil {
		return nil, refused("the ledger knows no unit %q: look it up with: station ledger list", name.Serial+name.UID)
	}
	return u, d.holdsSerial(ctx, u)
}

// holdsSerial finds out whether the unit's serial number is its own now.
func (d Desk) holdsSerial(ctx context.Context, u *unitOnRecord) error {
	if u.serial == "" {
		return nil
	}
	e, held, err := d.Ledger.Reader().Holder(ctx, record.Claim{Kind: record.ClaimSerial, Value: u.serial})
	u.holds = held && e.Body.Model == u.model && e.Body.UID == u.uid
	return err
}

func (d Desk) now() time.Time {
	if d.Now != nil {
		return d.Now()
	}
	return time.Now()
}

// stamp fills what every entry carries.
func (d Desk) stamp(b record.Body) record.Body {
	b.Station, b.Operator, b.Software = d.Ledger.Origin().Station, d.Operator, d.Software
	b.Time = record.Timestamp(d.now())
	return b
}
