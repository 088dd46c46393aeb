// SPDX-License-Identifier: Apache-2.0

package export

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// Status is what has become of a certificate. Only a live one is registered
// anywhere; all of them are on the allow-list.
type Status string

// The statuses. Where several hold, the later one here is told.
const (
	Live      Status = "live"       // issued, the unit passed, nothing happened since
	NotPassed Status = "not passed" // issued, but the unit has not passed (yet)
	Expired   Status = "expired"
	Replaced  Status = "replaced" // the unit has a newer one
	Reworked  Status = "reworked" // the board was unlocked: its key is gone
	Scrapped  Status = "scrapped"
	Revoked   Status = "revoked"
)

// unit is a unit by one of its certificates.
type unit struct {
	entry  record.Entry // issued or renewed, its body decoded
	leaf   *x509.Certificate
	issuer *x509.Certificate
	status Status
	reason string // why it was revoked or scrapped
}

func (u *unit) name() string     { return u.leaf.Subject.CommonName }
func (u *unit) id() string       { return u.entry.Body.Cert } // SHA-256 of the DER, hex: AWS IoT's certificateId
func (u *unit) certPEM() string  { return certPEM(u.leaf) }
func (u *unit) issuedBy() string { return certPEM(u.issuer) }

func certPEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// units goes through the certificates of a ledger.
type units struct {
	ledger  *reader.Reader
	now     time.Time
	issuers map[string]*x509.Certificate // by subjectKeyIdentifier, hex
}

// newUnits finds every intermediate the ledger knows, retired ones included.
func newUnits(ctx context.Context, ledger *reader.Reader, chain []*x509.Certificate, now time.Time) (*units, error) {
	w := &units{ledger: ledger, now: now, issuers: map[string]*x509.Certificate{}}
	add := func(c *x509.Certificate) { w.issuers[hex.EncodeToString(c.SubjectKeyId)] = c }
	for e, err := range ledger.RawOf(ctx, reader.Query{Kinds: []string{record.KindCA}}) {
		if err != nil {
			return nil, err
		}
		if e.Body, err = decode(e.Raw); err != nil {
			return nil, damaged(e, err)
		}
		if e.Body.Action != "installed" {
			continue
		}
		c, err := w.certificate(ctx, e)
		if errors.Is(err, reader.ErrNoBlob) {
			continue // it is named only; what it issued will be missed
		}
		if err != nil {
			return nil, err
		}
		add(c)
	}
	if len(chain) > 0 {
		add(chain[0])
	}
	return w, nil
}

// each calls do for every certificate of the selection, those made on the bench first, then renewed ones.
func (w *units) each(ctx context.Context, s Selection, do func(*unit) error) error {
	for _, kind := range []string{record.KindIssued, record.KindRenewed} {
		q := reader.Query{Kinds: []string{kind}, Order: s.Order, Serial: s.Serial}
		for e, err := range w.ledger.RawOf(ctx, q) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			if e.Body, err = decode(e.Raw); err != nil {
				return damaged(e, err)
			}
			if !s.takes(&e.Body) {
				continue
			}
			u, err := w.unit(ctx, e)
			if err != nil {
				return err
			}
			if err := do(u); err != nil {
				return err
			}
		}
	}
	return nil
}

// unit reads a certificate and finds out what has become of it. What leaves is
// checked: the bytes are those of the entry, and its issuer signed them.
func (w *units) unit(ctx context.Context, e record.Entry) (*unit, error) {
	leaf, err := w.certificate(ctx, e)
	if err != nil {
		return nil, err
	}
	u := &unit{entry: e, leaf: leaf, issuer: w.issuers[e.Body.IssuerKey]}
	if u.issuer == nil {
		return nil, damaged(e, fmt.Errorf("its issuer %s is not in the ledger", e.Body.IssuerKey))
	}
	if err := leaf.CheckSignatureFrom(u.issuer); err != nil {
		return nil, damaged(e, fmt.Errorf("%s did not sign its certificate: %w", u.issuer.Subject, err))
	}
	return u, w.follow(ctx, u)
}

func (w *units) certificate(ctx context.Context, e record.Entry) (*x509.Certificate, error) {
	der, err := w.ledger.Blob(ctx, e.Body.Cert)
	if err != nil {
		return nil, damaged(e, err)
	}
	if sum := sha256.Sum256(der); hex.EncodeToString(sum[:]) != e.Body.Cert {
		return nil, damaged(e, fmt.Errorf("what is stored under %s was changed", e.Body.Cert))
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, damaged(e, err)
	}
	return c, nil
}

func damaged(e record.Entry, err error) error {
	return fmt.Errorf("entry %d of epoch %d: %w", e.Seq, e.Epoch, err)
}

// lifeKinds are the entries that say what became of a board's certificates.
var lifeKinds = []string{record.KindIssued, record.KindRenewed, record.KindEnd, record.KindRework, record.KindScrap}

// follow sets the status by all that happened to the board and the certificate.
func (w *units) follow(ctx context.Context, u *unit) error {
	l := life{unit: u, passed: map[string]bool{}}
	b := u.entry.Body
	for _, q := range []reader.Query{
		{Model: b.Model, UID: b.UID, Kinds: lifeKinds},
		// A scrap entry may know no board, a revocation neither board nor serial.
		{Serial: b.Serial, Kinds: []string{record.KindScrap}},
		{Cert: b.Cert, Kinds: []string{record.KindRevoked}},
	} {
		for e, err := range w.ledger.RawOf(ctx, q) {
			if err != nil {
				return err
			}
			if e.Body, err = decode(e.Raw); err != nil {
				return damaged(e, err)
			}
			l.see(e)
		}
	}
	if !l.passed[b.Cert] {
		l.is(NotPassed)
	}
	if w.now.After(u.leaf.NotAfter) {
		l.is(Expired)
	}
	return nil
}

// life is what is known of one certificate so far.
type life struct {
	*unit
	passed map[string]bool // certificates with which the board passed
}

// rank orders statuses: a higher one is told instead of a lower one.
var rank = map[Status]int{Live: 1, NotPassed: 2, Expired: 3, Replaced: 4, Reworked: 5, Scrapped: 6, Revoked: 7}

func (l *life) is(s Status) {
	if rank[s] > rank[l.status] {
		l.status = s
	}
}

func (l *life) see(e record.Entry) {
	l.is(Live)
	b, own := e.Body, l.entry.Body
	after := reader.ID(e.Epoch, e.Seq) > reader.ID(l.entry.Epoch, l.entry.Seq)
	switch b.Kind {
	case record.KindRenewed:
		// Nobody tries a board when its certificate is renewed: it has passed if it had.
		l.passed[b.Cert] = l.passed[b.Cert] || l.passed[b.Predecessor]
		if after && b.Predecessor == own.Cert {
			l.is(Replaced)
		}
	case record.KindIssued:
		if after && b.Cert != own.Cert {
			l.is(Replaced)
		}
	case record.KindEnd:
		if b.Outcome == record.Passed {
			l.passed[b.Cert] = true
		}
	case record.KindRework:
		if after {
			l.is(Reworked)
		}
	case record.KindScrap:
		if after {
			l.is(Scrapped)
			l.reason = b.Reason
		}
	case record.KindRevoked:
		l.is(Revoked)
		l.reason = b.Reason
	}
}
