// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"crypto/x509"
	"errors"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// unit is all that the ledger knows of the unit of an entry, over all epochs;
// of an entry that is not about a unit, that entry alone.
type unit struct {
	entry   record.Entry   // that was asked for
	entries []record.Entry // oldest first
	certs   []certificate  // newest first
	proof   proofState     // of entry
}

// certificate is one that the unit was given.
type certificate struct {
	issued   record.Entry
	x509     *x509.Certificate // nil: it does not read, and problem says why
	problem  string
	revoked  *record.Entry
	replaced *record.Entry // the newer certificate's, or what took the unit out
}

// proofState is what holds an entry: the tree, a signed checkpoint, a seal.
type proofState struct {
	included bool   // its place in the tree was computed anew and fits
	problem  string // or why that could not be done
	covering record.StoredCheckpoint
	covered  bool
	seal     record.Entry
	sealed   bool
}

// maxCerts bounds how many certificates of a unit are read.
const maxCerts = 16

// loadUnit reads the unit of an entry. It may take a while.
func loadUnit(ctx context.Context, r *reader.Reader, at record.Place) (*unit, error) {
	var err error
	if at.Epoch == 0 {
		if at.Epoch, _, err = r.Last(ctx); err != nil {
			return nil, err
		}
	}
	u := &unit{}
	if u.entry, err = r.Entry(ctx, at.Epoch, at.Seq); err != nil {
		return nil, err
	}
	u.entries = []record.Entry{u.entry}
	if q := unitOf(u.entry.Body); q.Serial+q.UID+q.Run != "" {
		if u.entries, err = r.Timeline(ctx, q); err != nil {
			return nil, err
		}
	}
	if err := u.readCertificates(ctx, r); err != nil {
		return nil, err
	}
	return u, u.readProof(ctx, r)
}

// unitOf is the question for the unit of an entry; without values it has none.
func unitOf(b record.Body) reader.Query {
	switch {
	case b.Unit() != "":
		return reader.Query{Model: b.Model, UID: b.UID}
	case b.Serial != "":
		return reader.Query{Serial: b.Serial}
	}
	return reader.Query{Run: b.Run}
}

func (u *unit) readCertificates(ctx context.Context, r *reader.Reader) error {
	for i := len(u.entries) - 1; i >= 0 && len(u.certs) < maxCerts; i-- {
		e := u.entries[i]
		if e.Body.Kind != record.KindIssued && e.Body.Kind != record.KindRenewed {
			continue
		}
		c := certificate{issued: e, replaced: u.replacing(i)}
		for j := range u.entries {
			if v := u.entries[j]; v.Body.Kind == record.KindRevoked && v.Body.Cert == e.Body.Cert {
				c.revoked = &v
				break
			}
		}
		der, err := r.Blob(ctx, e.Body.Cert)
		if err == nil {
			c.x509, err = x509.ParseCertificate(der)
		} else if !errors.Is(err, reader.ErrNoBlob) {
			return err
		}
		if err != nil {
			c.problem = err.Error()
		}
		u.certs = append(u.certs, c)
	}
	return nil
}

// replacing is the entry that took the place of the certificate of entry i.
func (u *unit) replacing(i int) *record.Entry {
	for _, e := range u.entries[i+1:] {
		switch e.Body.Kind {
		case record.KindIssued, record.KindRenewed, record.KindRework, record.KindScrap:
			return &e
		}
	}
	return nil
}

func (u *unit) readProof(ctx context.Context, r *reader.Reader) (err error) {
	e, p := u.entry, &u.proof
	if p.covering, p.covered, err = r.Covering(ctx, e.Epoch, e.Seq); err != nil {
		return err
	}
	if p.seal, p.sealed, err = r.Sealing(ctx, e.Epoch, e.Seq); err != nil {
		return err
	}
	if p.covered {
		err = includes(ctx, r, e)
		p.included = err == nil
		if err != nil {
			p.problem = err.Error()
		}
	}
	return ctx.Err()
}

// includes computes anew that an entry stands in the tree under the newest
// checkpoint of its epoch. Who signed that, it does not ask.
func includes(ctx context.Context, r *reader.Reader, e record.Entry) error {
	p, err := r.Proof(ctx, e.Epoch, e.Seq)
	if err != nil {
		return err
	}
	c, err := record.ReadCheckpoint(p.Checkpoint)
	if err != nil {
		return err
	}
	return p.Includes(c, e.Raw)
}

// last is the newest entry of one of the kinds, nil if there is none.
func (u *unit) last(kinds ...string) *record.Entry {
	for i := len(u.entries) - 1; i >= 0; i-- {
		for _, k := range kinds {
			if u.entries[i].Body.Kind == k {
				return &u.entries[i]
			}
		}
	}
	return nil
}

// isUnit tells whether there is a unit at all.
func (u *unit) isUnit() bool {
	q := unitOf(u.entry.Body)
	return q.Serial+q.UID+q.Run != ""
}
