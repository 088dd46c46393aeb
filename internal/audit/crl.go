// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"time"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/record"
)

// trust is what is remembered of certificates that are taken back or replaced while walking.
type trust struct {
	revoked  map[string]bool                   // certificates, by digest
	unlisted map[string]map[string]*revocation // by issuer key, then serial number: what its next list must name, or may still name
	lists    map[string]*listed                // by issuer key: its newest list
	scrapped map[string]bool                   // units
	replaced map[string][]string               // by unit: certificates that a renewal replaced, by digest
}

// revocation is a certificate that was revoked.
type revocation struct {
	epoch    int
	seq      int64
	time     time.Time
	reason   int // CRLReason
	notAfter time.Time
	named    bool // by a list
	done     bool // by a list made after the certificate's end: lists may leave it out from then on (RFC 5280 3.3)
}

// listed is a revocation list on record.
type listed struct {
	number int64
	made   time.Time
}

func newTrust() trust {
	return trust{map[string]bool{}, map[string]map[string]*revocation{}, map[string]*listed{}, map[string]bool{}, map[string][]string{}}
}

// revoke follows a revoked entry.
func (a *auditor) revoke(ctx context.Context, e record.Entry) {
	wrong := func(format string, args ...any) { a.wrong(e.Epoch, e.Seq, "revocation", format, args...) }
	b := e.Body
	a.report.Revocations++
	der, err := a.source.Blob(ctx, b.Cert)
	if err != nil || digestHex(der) != b.Cert {
		wrong("revokes certificate %s, which the ledger does not hold", b.Cert)
		return
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		wrong("revokes a certificate that does not parse: %v", err)
		return
	}
	if serial := hexSerial(cert); serial != b.CertSerial {
		wrong("revokes certificate %s under the serial number %s", serial, b.CertSerial)
	}
	key := hex.EncodeToString(cert.AuthorityKeyId)
	if b.IssuerKey != "" && b.IssuerKey != key {
		wrong("revokes a certificate of issuer %s, not %s", key, b.IssuerKey)
	}
	reason, err := issuer.RevocationReasonNamed(b.Reason)
	if err != nil {
		wrong("names no reason of RFC 5280: %v", err)
	}
	if a.trust.revoked[b.Cert] {
		wrong("revokes certificate %s a second time", b.CertSerial)
		return
	}
	a.trust.revoked[b.Cert] = true
	at, err := record.ParseTime(b.Time)
	if err != nil {
		return // record.Decode let it through: it cannot be
	}
	if a.trust.unlisted[key] == nil {
		a.trust.unlisted[key] = map[string]*revocation{}
	}
	a.trust.unlisted[key][string(cert.SerialNumber.Bytes())] = &revocation{
		epoch: e.Epoch, seq: e.Seq, time: at.Truncate(time.Second), reason: reason.Code, notAfter: cert.NotAfter,
	}
}

// scrap follows a scrap entry: what the unit had must be revoked, unless it has ended. Rework takes the key away, and so revokes too.
func (a *auditor) scrap(ctx context.Context, e record.Entry) {
	b := e.Body
	unit := b.Unit()
	if b.Kind == record.KindScrap {
		if a.trust.scrapped[unit] {
			a.wrong(e.Epoch, e.Seq, "life", "scraps unit %s a second time", unit)
		}
		a.trust.scrapped[unit] = true
	}
	had := a.trust.replaced[unit]
	for _, spki := range a.life.units[unit] {
		if live := a.life.keys[spki]; live != "" && !slices.Contains(had, live) {
			had = append(had, live)
		}
	}
	delete(a.trust.replaced, unit)
	for _, digest := range had {
		if a.trust.revoked[digest] {
			continue
		}
		der, err := a.source.Blob(ctx, digest)
		if err != nil {
			continue // found wrong where it was issued
		}
		cert, err := x509.ParseCertificate(der)
		if err == nil && record.Timestamp(cert.NotAfter) >= b.Time {
			a.wrong(e.Epoch, e.Seq, "revocation", "takes unit %s out although its certificate %s was not revoked", unit, hexSerial(cert))
		}
	}
}

// alive judges an entry that gives a unit something: a unit that was scrapped gets nothing any more.
func (a *auditor) alive(e record.Entry) {
	if a.trust.scrapped[e.Body.Unit()] {
		a.wrong(e.Epoch, e.Seq, "life", "is of unit %s, which was scrapped", e.Body.Unit())
	}
}

// renew follows a renewed entry before its certificate takes the other's place: it replaces the live certificate of its key, and keeps
// the unit's name and key.
func (a *auditor) renew(ctx context.Context, e record.Entry, der []byte) {
	wrong := func(format string, args ...any) { a.wrong(e.Epoch, e.Seq, "life", format, args...) }
	b := e.Body
	live := a.life.keys[b.SPKI]
	if live == "" {
		wrong("renews a certificate that is not live: key %s has none, or it was revoked", b.SPKI)
	}
	if b.Predecessor != live || live == "" {
		return // certify says so
	}
	a.trust.replaced[b.Unit()] = append(a.trust.replaced[b.Unit()], live)
	old, err := a.source.Blob(ctx, live)
	if err != nil || der == nil {
		return // found wrong where it was issued
	}
	a.pool.do(func() {
		was, err := x509.ParseCertificate(old)
		if err != nil {
			return // as above
		}
		now, err := x509.ParseCertificate(der)
		if err == nil && !bytes.Equal(was.RawSubject, now.RawSubject) {
			a.wrong(e.Epoch, e.Seq, "certificate", "renews a certificate of %q for %q", was.Subject, now.Subject)
		}
	})
}

// list follows a crl entry: the list is the issuer's, greater in number than the one before, and names what was revoked, nothing else.
func (a *auditor) list(ctx context.Context, e record.Entry) {
	b := e.Body
	a.report.Lists++
	der := a.blob(ctx, e, "crl_sha256", b.CRL)
	if der == nil {
		return
	}
	wrong := func(format string, args ...any) { a.wrong(e.Epoch, e.Seq, "revocation", format, args...) }
	list, err := issuer.ParseCRL(der)
	if err != nil {
		wrong("stores a list that is not one this program makes: %v", err)
		return
	}
	a.listHead(e, list, wrong)
	named := make(map[string]bool, len(list.RevokedCertificateEntries))
	known := a.trust.unlisted[b.IssuerKey]
	for _, c := range list.RevokedCertificateEntries {
		serial := string(c.SerialNumber.Bytes())
		named[serial] = true
		r := known[serial]
		switch {
		case r == nil:
			wrong("has a list that names certificate %x, which was not revoked before", serial)
		case !c.RevocationTime.Equal(r.time) || c.ReasonCode != r.reason:
			wrong("has a list that names certificate %x as revoked at %s for reason %d; entry %d says %s and %d",
				serial, c.RevocationTime, c.ReasonCode, r.seq, r.time, r.reason)
		}
	}
	for serial, r := range known {
		switch {
		case named[serial]:
			r.named, r.done = true, r.done || list.ThisUpdate.After(r.notAfter)
		case r.done:
			delete(known, serial)
		default:
			wrong("has a list that does not name certificate %x, revoked by entry %d of epoch %d", serial, r.seq, r.epoch)
		}
	}
	a.pool.do(func() { a.listSignature(list, wrong, b.IssuerKey) })
}

// listHead compares a list with its entry and the one before.
func (a *auditor) listHead(e record.Entry, list *x509.RevocationList, wrong func(string, ...any)) {
	b := e.Body
	if n := list.Number.Int64(); n != b.Number {
		wrong("stores list %d, not %d", n, b.Number)
	}
	if n := int64(len(list.RevokedCertificateEntries)); n != b.Count {
		wrong("stores a list of %d certificates, not %d", n, b.Count)
	}
	if key := hex.EncodeToString(list.AuthorityKeyId); key != b.IssuerKey {
		wrong("stores a list of issuer %s, not %s", key, b.IssuerKey)
	}
	at, err := record.ParseTime(b.Time)
	if err != nil || !list.ThisUpdate.Equal(at.Truncate(time.Second)) || record.Timestamp(list.NextUpdate) != b.NextUpdate {
		wrong("stores a list of %s, due again at %s: not what the entry says", list.ThisUpdate, list.NextUpdate)
	}
	last := a.trust.lists[b.IssuerKey]
	if last != nil && b.Number <= last.number {
		wrong("has number %d after list %d of the same issuer", b.Number, last.number)
	}
	if last != nil && list.ThisUpdate.Before(last.made) {
		wrong("has a list of %s after one of %s", list.ThisUpdate, last.made)
	}
	a.trust.lists[b.IssuerKey] = &listed{b.Number, list.ThisUpdate}
}

// listSignature checks who signed a list. It runs in the pool.
func (a *auditor) listSignature(list *x509.RevocationList, wrong func(string, ...any), issuerKey string) {
	paths, err := a.certs.paths(issuerKey)
	if len(paths) == 0 && a.certs.root == nil {
		return // nothing to compare with: the verdict says that chains are not proven
	}
	if err != nil {
		wrong("stores a list whose issuer is not proven: %v", err)
		return
	}
	signed := slices.ContainsFunc(paths, func(path []*x509.Certificate) bool {
		return bytes.Equal(list.RawIssuer, path[0].RawSubject) && list.CheckSignatureFrom(path[0]) == nil
	})
	if !signed {
		wrong("stores a list that %s did not sign", paths[0][0].Subject)
	}
}

// finishTrust counts the revocations that no list names yet.
func (a *auditor) finishTrust() {
	for _, of := range a.trust.unlisted {
		for _, r := range of {
			if !r.named {
				a.report.Unlisted++
			}
		}
	}
}
