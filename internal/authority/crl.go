// SPDX-License-Identifier: Apache-2.0

package authority

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// MaxCRLDays is the longest time, in days, for which a revocation list may be
// the newest.
const MaxCRLDays = 3650

// CRLConfig is what a revocation list is made of.
type CRLConfig struct {
	Reader *reader.Reader // of the ledger that says what was revoked
	Issuer *issuer.Issuer // whose certificates; issuing or retired
	Days   int            // until the next list is due, 1 to [MaxCRLDays]
	Number int64          // the least number to give it; 0: one more than the last
	Now    time.Time      // zero: time.Now
}

// NewCRL makes the revocation list of an issuer from the ledger, and the entry
// that must be on record, with the list as its blob, before the list leaves.
// Nothing may be revoked between the call and that append.
//
// The list holds every certificate that was revoked, except those that had
// ended already when an earlier list named them (RFC 5280 3.3). Its number is
// the last one plus one. The entry's time is its thisUpdate.
func NewCRL(ctx context.Context, c CRLConfig) (*issuer.CRL, record.Body, error) {
	var none record.Body
	if c.Days < 1 || c.Days > MaxCRLDays {
		return nil, none, fmt.Errorf("revocation list for %d days; allowed: 1 to %d", c.Days, MaxCRLDays)
	}
	now := orNow(c.Now).UTC()
	last, found, err := c.Reader.LastCRL(ctx, c.Issuer.KeyID())
	if err != nil {
		return nil, none, err
	}
	terms := issuer.CRLTerms{Number: max(c.Number, last.Body.Number+1), ThisUpdate: now, NextUpdate: now.Add(time.Duration(c.Days) * day)}
	var made time.Time
	if found {
		if made, err = record.ParseTime(last.Body.Time); err != nil {
			return nil, none, err
		}
		if now.Before(made) {
			return nil, none, fmt.Errorf("the last revocation list is of %s: set the clock", made.Format(time.RFC3339))
		}
	}
	for v, err := range c.Reader.Revocations(ctx, c.Issuer.KeyID()) {
		if err != nil {
			return nil, none, err
		}
		if found && ended(v, last, made) {
			continue
		}
		at, err := record.ParseTime(v.Body.Time)
		if err != nil {
			return nil, none, err
		}
		terms.Revoked = append(terms.Revoked, issuer.Revoked{Serial: v.Body.CertSerial, Time: at, Reason: v.Body.Reason})
	}
	crl, err := c.Issuer.CRL(ctx, terms)
	if err != nil {
		return nil, none, err
	}
	return crl, record.Body{
		Kind: record.KindCRL, Time: record.Timestamp(now), Number: terms.Number, CRL: hex.EncodeToString(crl.SHA256[:]),
		IssuerKey: c.Issuer.KeyID(), NextUpdate: record.Timestamp(crl.Parsed.NextUpdate), Count: int64(len(terms.Revoked)),
	}, nil
}

// ended says whether a certificate was named by a list made after its end.
func ended(v reader.Revocation, last record.Entry, made time.Time) bool {
	named := reader.ID(last.Epoch, last.Seq) > reader.ID(v.Epoch, v.Seq)
	return named && !v.NotAfter.IsZero() && made.Truncate(time.Second).After(v.NotAfter)
}

// CRLDue says whether an issuer that was retired still needs revocation lists:
// until one was made after its last certificate ended.
func CRLDue(ctx context.Context, r *reader.Reader, issuerKey string) (bool, error) {
	end, err := r.LastEnd(ctx, issuerKey)
	if err != nil || end.IsZero() {
		return false, err
	}
	last, found, err := r.LastCRL(ctx, issuerKey)
	if err != nil || !found {
		return !found, err
	}
	made, err := record.ParseTime(last.Body.Time)
	return !made.Truncate(time.Second).After(end), err
}
