// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// history is what the ledger knows of one unit, folded from its entries.
type history struct {
	serial    string       // of the live key, "" when there is none
	key       *record.Body // the live key
	issuing   *record.Body // its last TBS on record
	issued    *record.Body // its live certificate
	proven    *record.Body // that the key was proven and rehearsed with that certificate
	at        int64        // the place of issued in the ledger
	revoked   bool         // the live key's certificate was revoked, and not to make room for another key
	passed    bool
	scrapped  bool
	attempts  int
	given     string       // the last serial on record for the board
	passedFor string       // the order of the last pass
	last      *record.Body // the last certificate the board ever got, live or not
	reworked  string       // SPKI of the key that a rework took, until the board makes another
}

// history reads a unit's history over all epochs.
func (st *Station) history(ctx context.Context, model, uid string) (history, error) {
	entries, err := st.cfg.Reader.EntriesOf(ctx, reader.Query{Model: model, UID: uid})
	if err != nil {
		return history{}, &fault{"F-RECORD-04", fmt.Errorf("read the history of board %s: %w", uid, err)}
	}
	var h history
	for _, e := range entries {
		h.add(e.Body)
		if e.Body.Kind == record.KindIssued || e.Body.Kind == record.KindRenewed {
			h.at = reader.ID(e.Epoch, e.Seq)
		}
	}
	return h, nil
}

// add folds one entry, in ledger order.
func (h *history) add(b record.Body) {
	if b.Serial != "" {
		h.given = b.Serial
	}
	switch b.Kind {
	case record.KindBegun:
		h.attempts++
	case record.KindKey:
		h.serial, h.key, h.issuing, h.issued, h.proven, h.revoked = b.Serial, &b, nil, nil, nil, false
		h.reworked = ""
	case record.KindIssuing:
		if b.Predecessor == "" { // else a renewal, which is no run's business
			h.serial, h.issuing = b.Serial, &b
		}
	case record.KindIssued, record.KindRenewed:
		h.serial, h.issued, h.last = b.Serial, &b, &b
	case record.KindProven:
		h.proven = &b
	case record.KindRevoked:
		if h.issued != nil && h.issued.Cert == b.Cert {
			h.issuing, h.issued, h.proven, h.revoked = nil, nil, nil, true
		}
	case record.KindEnd:
		if b.Outcome == record.Passed {
			h.passed, h.passedFor = true, b.Order
		}
	case record.KindRework:
		*h = history{attempts: h.attempts, given: h.given, last: h.last, reworked: b.SPKI}
	case record.KindScrap:
		h.scrapped = true
	}
}

// toBeSigned tells whether a certificate exists or may come to exist.
func (h *history) toBeSigned() bool { return h.issuing != nil || h.issued != nil }

// plan decides what is left to do, from the board's state and the ledger's.
//
//	blank               a new key
//	keyed, key known    go on with that key, and with its TBS or certificate
//	keyed, unknown      replace the key: it was never certified here
//	installed, locked   go on when key and certificate are known, else refuse
//	installed, reworked replace the key
//
// A unit that passed, or whose board was about to be locked, gets no new key
// without rework: a board that comes with another key, or none, is a clone or
// was wiped. A locked board must have been proven by this line before.
func (r *run) plan() error {
	h, i := r.history, r.info
	known := h.key != nil && i.SPKI != nil && hexOf(i.SPKI[:]) == h.key.SPKI
	r.came, r.keep = i.State, known
	switch {
	case h.scrapped:
		return &fault{"F-CONNECT-14", errors.New("the ledger holds a scrap entry for this board")}
	case (h.passed || h.proven != nil) && !known:
		return &fault{"F-CONNECT-11", fmt.Errorf("the ledger holds a proven unit with this board ID, but the board is %s with another key or none", i.State)}
	case known && h.revoked:
		return &fault{"F-CONNECT-17", errors.New("the ledger holds a revoked entry for the certificate of the board's key")}
	case known && h.issued != nil && h.issued.Kind == record.KindRenewed:
		return &fault{"F-CONNECT-18", fmt.Errorf("certificate %s was delivered past the bench", h.issued.CertSerial)}
	case i.State < enroll.Installed:
		return nil
	case i.SPKI != nil && hexOf(i.SPKI[:]) == h.reworked:
		if i.State == enroll.Locked {
			return &fault{"F-CONNECT-23", errors.New("the ledger holds a rework entry for this board, but the board is still locked")}
		}
		return nil // keygen replaces the key
	case !known || h.issued == nil:
		return &fault{"F-CONNECT-05", fmt.Errorf("the board is %s with a key that is not in the ledger", i.State)}
	case i.State == enroll.Locked && (h.proven == nil || h.proven.Cert != h.issued.Cert):
		return &fault{"F-CONNECT-10", errors.New("the board is locked, but the ledger holds no proof of it")}
	}
	return nil
}

// tbsLife is how long a TBS may wait on record for its signature; an older one
// is made anew, so that no unit starts its life with a part of it spent.
const tbsLife = 24 * time.Hour

// unsigned tells whether the key's TBS on record is to be signed as it is: of
// this serial and profile, recent, and of this very issuer.
func (r *run) unsigned() bool {
	i := r.history.issuing
	if i == nil || i.Serial != r.serial {
		return false
	}
	at, err := record.ParseTime(i.Time)
	d := r.st.cfg.Profile.Digest()
	return err == nil && time.Since(at) < tbsLife && i.ProfileDigest == hexOf(d[:]) && i.IssuerKey == r.st.cfg.Issuer.KeyID()
}

// chooseSerial settles the unit's serial: scanned, listed or counted, else the
// one on record for the board's key, else the board's ID. Once a certificate with a
// serial is on record, or about to be, another one is refused.
func (r *run) chooseSerial(ctx context.Context) error {
	fixed := r.keep && r.history.toBeSigned()
	if fixed {
		if r.serial != "" && r.serial != r.history.serial {
			return &fault{"F-CONNECT-06", fmt.Errorf("given %q, on record %q", r.serial, r.history.serial)}
		}
		r.serial = r.history.serial
	}
	switch {
	case r.work.units != nil:
		row, err := r.work.units.take(r.slot, r.uid(), r.serial)
		if err != nil {
			return &fault{"F-CONNECT-15", err}
		}
		r.serial, r.vars = row.Serial, row.Vars
	case fixed:
	case r.work.source == SerialRange:
		var err error
		if r.serial, err = r.nextNumber(ctx); err != nil {
			return err
		}
	case r.work.order != nil && r.serial != "" && !r.work.order.Accepts(r.serial):
		return &fault{"F-CONNECT-25", fmt.Errorf("%q is no label of order %s, which wants %s", r.serial, r.work.name(), r.work.order.Pattern())}
	}
	if r.serial == "" {
		r.serial = r.uid()
	}
	r.st.showUnit(r)
	return nil
}

// subject is what the profile makes of the unit's names. A serial or ID that
// does not fit costs this unit its run, not the line.
func (st *Station) subject(u issuer.Unit) (cn, sn string, err error) {
	if cn, err = st.cfg.Profile.SubjectCN(u); err == nil {
		sn, err = st.cfg.Profile.SubjectSN(u)
	}
	if err != nil {
		return "", "", &fault{"F-CONNECT-16", err}
	}
	return cn, sn, nil
}

// adopt takes the certificate this key already has, from the ledger.
func (r *run) adopt(ctx context.Context) error {
	der, err := r.st.cfg.Reader.Blob(ctx, r.history.issued.Cert)
	if err != nil {
		return &fault{"F-RECORD-04", fmt.Errorf("read certificate %s: %w", r.history.issued.CertSerial, err)}
	}
	chain, err := chainOf(ctx, r.st.cfg.Reader, r.st.cfg.Issuer, der, r.history.issued.IssuerKey, r.history.at)
	if err != nil {
		return err
	}
	r.setChain(chain, r.history.issued.CertSerial)
	return nil
}

// setChain takes over what the board is given: the certificate first.
func (r *run) setChain(chain [][]byte, serial string) {
	r.cert, r.certSerial, r.links = chain[0], serial, chain
	r.chain = bytes.Join(chain, nil)
}
