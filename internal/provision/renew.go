// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// Renewal is how a device's request for another certificate was answered.
type Renewal struct {
	Serial, Model, UID string
	CertSerial         string
	NotAfter           time.Time
	Chain              [][]byte // DER, the certificate first, the root left out
	Kept               bool     // nothing was signed: the unit keeps the certificate it has
	Seq                int64    // the entry of the certificate
}

// RenewalTerms are what Renew works by.
type RenewalTerms struct {
	Issuer  *issuer.Issuer
	Profile func(name string) (*issuer.Profile, error) // by the name in a unit's entries
	Ended   bool                                       // certificates that have ended are renewed too
}

// Renew answers the request (PKCS#10, DER) of a unit that passed at this
// station and asks for another certificate for the same key. Bytes leave by
// the customer's own channel, for over-the-air delivery.
//
// A unit whose certificate is itself a renewal keeps it until its last third,
// if the request is the very one it was made for, or if another one would be
// of the same profile and issuer: asking twice gives one certificate.
//
// What the unit may not have is refused with [ErrRefused]; any other error is
// the station's, and nothing that left.
//
// Commit points, as in a run: issuing holds the whole TBS; after a crash behind
// it the same request signs exactly that TBS. renewed holds the certificate;
// only then it is returned, and from then on it is the unit's live one. The one
// before stays good until it ends, since nobody knows when the board takes the
// new one over.
func (d Desk) Renew(ctx context.Context, terms RenewalTerms, der []byte) (*Renewal, error) {
	req, err := issuer.ParseRenewal(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	live, err := d.renewable(ctx, req, terms.Ended)
	if err != nil {
		return nil, err
	}
	old, err := d.continues(ctx, live.Body, req)
	if err != nil {
		return nil, err
	}
	profile, err := terms.Profile(live.Body.Profile)
	if err != nil {
		return nil, err
	}
	if d.keeps(live.Body, req, profile, terms.Issuer) {
		return d.kept(ctx, terms.Issuer, live, old)
	}
	w := &renewing{d, terms.Issuer, profile, req, live.Body, old}
	return w.do(ctx)
}

// renewable finds the live certificate of a request's key, and says why it
// cannot be renewed.
func (d Desk) renewable(ctx context.Context, req *issuer.Request, ended bool) (record.Entry, error) {
	var none record.Entry
	key := req.SPKI()
	spki, r := hexOf(key[:]), d.Ledger.Reader()
	had, err := r.EntriesOf(ctx, reader.Query{SPKI: spki, Kinds: []string{record.KindIssued, record.KindRenewed}})
	if err != nil {
		return none, err
	}
	if len(had) == 0 {
		return none, refused("no unit of this station has key %s", spki)
	}
	last := had[len(had)-1].Body
	u, err := d.unit(ctx, UnitName{Serial: last.Serial, UID: last.UID})
	if err != nil {
		return none, err
	}
	live, found, err := r.Live(ctx, last.Model, last.UID)
	if err != nil {
		return none, err
	}
	end, err := record.ParseTime(last.NotAfter)
	switch {
	case err != nil:
		return none, err
	case u.history.scrapped:
		return none, refused("unit %s was scrapped", last.Serial)
	case !found && u.history.key != nil && u.history.revoked:
		return none, refused("certificate %s of unit %s was revoked", last.CertSerial, last.Serial)
	case !found || live.Body.SPKI != spki:
		return none, refused("unit %s does not have key %s any more: it was reworked, or made another", last.Serial, spki)
	case !u.history.passed:
		return none, refused("unit %s has not passed yet: finish it on the bench", last.Serial)
	case d.now().After(end) && !ended:
		return none, refused("the certificate of unit %s ended at %s; --ended renews such too", last.Serial, end.Format(time.DateTime))
	}
	return live, d.freshRandom(ctx, req)
}

// freshRandom refuses a request whose ECDSA signature has the r of another one:
// with the two, the key can be computed.
func (d Desk) freshRandom(ctx context.Context, req *issuer.Request) error {
	if req.R() == nil {
		return nil
	}
	entries, err := d.Ledger.Reader().EntriesOf(ctx, reader.Query{CSRR: hexOf(req.R())})
	if err != nil {
		return err
	}
	digest := digestHex(req.DER())
	for _, e := range entries {
		if e.Body.CSR != "" && e.Body.CSR != digest {
			return refused("the request's signature has the random number of another one, entry %d: the key is lost, revoke it as keyCompromise", e.Seq)
		}
	}
	return nil
}

// continues reads the live certificate and holds the request against it.
func (d Desk) continues(ctx context.Context, live record.Body, req *issuer.Request) (*x509.Certificate, error) {
	der, err := d.Ledger.Reader().Blob(ctx, live.Cert)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if err := req.Continues(cert); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return cert, nil
}

// keeps says whether the live certificate is answer enough.
func (d Desk) keeps(live record.Body, req *issuer.Request, p *issuer.Profile, by *issuer.Issuer) bool {
	digest := p.Digest()
	alike := live.ProfileDigest == hexOf(digest[:]) && live.IssuerKey == by.KeyID()
	begin, err := record.ParseTime(live.NotBefore)
	end, err2 := record.ParseTime(live.NotAfter)
	if live.Kind != record.KindRenewed || err != nil || err2 != nil || !alike && live.CSR != digestHex(req.DER()) {
		return false
	}
	return end.Sub(d.now()) > end.Sub(begin)/3
}

// kept answers with the certificate that is there.
func (d Desk) kept(ctx context.Context, by *issuer.Issuer, live record.Entry, cert *x509.Certificate) (*Renewal, error) {
	chain, err := chainOf(ctx, d.Ledger.Reader(), by, cert.Raw, live.Body.IssuerKey, reader.ID(live.Epoch, live.Seq))
	if err != nil {
		return nil, err
	}
	answer, err := renewalOf(live.Body, chain, live.Seq)
	if err == nil {
		answer.Kept = true
	}
	return answer, err
}

func renewalOf(b record.Body, chain [][]byte, seq int64) (*Renewal, error) {
	end, err := record.ParseTime(b.NotAfter)
	return &Renewal{Serial: b.Serial, Model: b.Model, UID: b.UID, CertSerial: b.CertSerial, NotAfter: end, Chain: chain, Seq: seq}, err
}

// renewing is a renewal under way.
type renewing struct {
	d       Desk
	by      *issuer.Issuer
	profile *issuer.Profile
	req     *issuer.Request
	live    record.Body
	old     *x509.Certificate // the live one
}

func (w *renewing) do(ctx context.Context) (*Renewal, error) {
	tbs, err := w.recorded(ctx)
	if err == nil && tbs == nil {
		tbs, err = w.record(ctx)
	}
	if err != nil {
		return nil, err
	}
	w.d.committed("issuing")
	cert, err := w.by.Sign(ctx, tbs, w.req.SPKI())
	if err != nil {
		return nil, fmt.Errorf("sign the certificate: %w", err)
	}
	w.d.committed("signed")
	b := w.body(record.KindRenewed)
	b.Cert, b.CertSerial, b.TBS, b.IssuerKey = digestHex(cert.DER), cert.Serial, digestHex(tbs), hexOf(cert.Parsed.AuthorityKeyId)
	b.NotBefore, b.NotAfter = record.Timestamp(cert.Parsed.NotBefore), record.Timestamp(cert.Parsed.NotAfter)
	seqs, err := w.d.Ledger.Append(ctx, ledger.Batch{Bodies: []record.Body{b}, Blobs: [][]byte{cert.DER}})
	if err != nil {
		return nil, err
	}
	w.d.committed("renewed")
	return renewalOf(b, w.by.Chain(cert.DER), seqs[0])
}

// recorded is the TBS that the same request left unsigned, if it may still be
// signed as it is.
func (w *renewing) recorded(ctx context.Context) ([]byte, error) {
	r, key := w.d.Ledger.Reader(), w.req.SPKI()
	entries, err := r.EntriesOf(ctx, reader.Query{SPKI: hexOf(key[:]), Kinds: []string{record.KindIssuing, record.KindRenewed}})
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	last, digest := entries[len(entries)-1].Body, w.profile.Digest()
	at, err := record.ParseTime(last.Time)
	if err != nil {
		return nil, err
	}
	if last.Kind != record.KindIssuing || last.Predecessor != w.live.Cert || last.CSR != digestHex(w.req.DER()) ||
		last.ProfileDigest != hexOf(digest[:]) || last.IssuerKey != w.by.KeyID() || w.d.now().Sub(at) > tbsLife {
		return nil, nil
	}
	tbs, err := r.Blob(ctx, last.TBS)
	if err != nil {
		return nil, err
	}
	if w.by.Fits(w.profile, tbs, key) != nil {
		return nil, nil // it is made anew
	}
	return tbs, nil
}

// record settles the certificate that will be signed and puts it on record.
func (w *renewing) record(ctx context.Context) ([]byte, error) {
	draft, err := w.by.Renew(w.profile, w.req, w.old)
	if errors.Is(err, issuer.ErrWindow) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	b := w.body(record.KindIssuing)
	b.TBS, b.CertSerial, b.IssuerKey = digestHex(draft.TBS()), draft.Serial(), draft.KeyID()
	b.NotBefore, b.NotAfter = record.Timestamp(draft.NotBefore()), record.Timestamp(draft.NotAfter())
	_, err = w.d.Ledger.Append(ctx, ledger.Batch{Bodies: []record.Body{b}, Blobs: [][]byte{draft.TBS(), w.req.DER()}})
	return draft.TBS(), err
}

// body is what both entries say: the unit as its live certificate's entry has
// it, and the request.
func (w *renewing) body(kind string) record.Body {
	l, digest := w.live, w.profile.Digest()
	return w.d.stamp(record.Body{
		Kind: kind, Serial: l.Serial, Model: l.Model, UID: l.UID, Order: l.Order, Product: l.Product,
		Profile: w.profile.Name(), ProfileDigest: hexOf(digest[:]), Alg: w.req.Alg(), SPKI: l.SPKI,
		CSR: digestHex(w.req.DER()), CSRR: hexOf(w.req.R()), CN: w.req.CN(), Predecessor: l.Cert,
	})
}

// committed tells a crash test that a commit point was passed, as [Station]'s does.
func (d Desk) committed(point string) {
	if d.testOnlyCommitted != nil {
		d.testOnlyCommitted(point)
	}
}
