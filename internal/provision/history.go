// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"errors"
	"fmt"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// past is what the ledger knows of one unit, folded from its entries.
type past struct {
	serial   string       // of the live key, "" when there is none
	key      *record.Body // the live key
	issuing  *record.Body // its last TBS on record
	issued   *record.Body // its live certificate
	passed   bool
	scrapped bool
	attempts int
}

// past reads a unit's history over all epochs.
func (st *Station) past(ctx context.Context, model, uid string) (past, error) {
	entries, err := st.cfg.Reader.EntriesOf(ctx, reader.Query{Model: model, UID: uid})
	if err != nil {
		return past{}, fmt.Errorf("read the history of board %s: %w", uid, err)
	}
	var p past
	for _, e := range entries {
		p.add(e.Body)
	}
	return p, nil
}

// add folds one entry, in ledger order.
func (p *past) add(b record.Body) {
	switch b.Kind {
	case record.KindBegun:
		p.attempts++
	case record.KindKey:
		p.serial, p.key, p.issuing, p.issued = b.Serial, &b, nil, nil
	case record.KindIssuing:
		p.serial, p.issuing = b.Serial, &b
	case record.KindIssued, record.KindRenewed:
		p.serial, p.issued = b.Serial, &b
	case record.KindRevoked:
		if p.issued != nil && p.issued.Cert == b.Cert {
			p.issued = nil
		}
	case record.KindEnd:
		p.passed = p.passed || b.Outcome == record.Passed
	case record.KindRework:
		*p = past{attempts: p.attempts}
	case record.KindScrap:
		p.scrapped = true
	}
}

// plan decides what is left to do, from the board's state and the ledger's.
//
//	blank               a new key; refused when the unit passed before
//	keyed, key known    go on with that key, and with its TBS or certificate
//	keyed, unknown      replace the key: it was never certified here
//	installed, locked   go on when key and certificate are known, else refuse
func (r *run) plan() error {
	p, i := r.past, r.info
	known := p.key != nil && i.SPKI != nil && hexOf(i.SPKI[:]) == p.key.SPKI
	switch {
	case p.scrapped:
		return &fault{"F-CONNECT-14", errors.New("the ledger holds a scrap entry for this board")}
	case i.State == enroll.Blank && p.passed:
		return &fault{"F-CONNECT-11", errors.New("the ledger holds a pass for this board ID, but the board is blank")}
	case i.State == enroll.Blank:
		r.keep = false
	case i.State == enroll.Keyed:
		r.keep = known
	case !known || p.issued == nil:
		return &fault{"F-CONNECT-05", fmt.Errorf("the board is %s with a key that is not in the ledger", i.State)}
	default:
		r.keep = true
	}
	return nil
}

// chooseSerial settles the unit's serial: scanned or listed, else the one on
// record for the board's key, else the board's ID.
func (r *run) chooseSerial() error {
	if r.past.issued != nil {
		if r.serial != "" && r.serial != r.past.serial {
			return &fault{"F-CONNECT-06", fmt.Errorf("given %q, on record %q", r.serial, r.past.serial)}
		}
		r.serial = r.past.serial
	}
	if r.st.cfg.Units != nil {
		row, err := r.st.cfg.Units.take(r.slot, r.uid(), r.serial)
		if err != nil {
			return &fault{"F-CONNECT-15", err}
		}
		r.serial, r.vars = row.Serial, row.Vars
	}
	if r.serial == "" {
		r.serial = r.uid()
	}
	r.st.showUnit(r)
	return nil
}

// adopt takes the certificate this key already has, from the ledger.
func (r *run) adopt(ctx context.Context) error {
	der, err := r.st.cfg.Reader.Blob(ctx, r.past.issued.Cert)
	if err != nil {
		return fmt.Errorf("read certificate %s: %w", r.past.issued.CertSerial, err)
	}
	r.setCert(der, r.past.issued.CertSerial)
	return nil
}

func (r *run) setCert(der []byte, serial string) {
	r.cert, r.certSerial, r.chain = der, serial, nil
	for _, c := range r.st.cfg.Issuer.Chain(der) {
		r.chain = append(r.chain, c...)
	}
}
