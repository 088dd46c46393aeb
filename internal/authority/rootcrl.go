// SPDX-License-Identifier: Apache-2.0

package authority

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"provisioning.example/station/internal/issuer"
)

// Revocation is what a root takes back.
type Revocation struct {
	Serial   string    // of an intermediate or a checkpoint key's certificate, in hex
	Reason   string    // as in RFC 5280 5.3.1; see [issuer.RevocationReasons]
	Operator string    // who asks
	Approver string    // who approves; somebody else
	Now      time.Time // zero: time.Now
}

// reasonSuperseded is the one reason that says nothing against the key itself.
const reasonSuperseded = "superseded"

// Revoke records that a certificate of this root is not to be trusted any
// more, and with it, where others may have the key, every other certificate for
// that key. There is no way back: [Root.Sign] signs the key no more, unless it
// was superseded. It takes effect where the list of [Root.CRL] arrives. All that
// was revoked is returned, the one that was named first. A certificate that is
// revoked already is an error, [ErrRevoked].
func (r *Root) Revoke(v Revocation) ([]*x509.Certificate, error) {
	reason, err := issuer.RevocationReasonNamed(v.Reason)
	if err != nil {
		return nil, fmt.Errorf("revoke: %w", err)
	}
	serial, ok := new(big.Int).SetString(strings.ToLower(strings.ReplaceAll(v.Serial, ":", "")), 16)
	if !ok {
		return nil, fmt.Errorf("revoke: serial number %.60q; allowed: hex, as root log shows it", v.Serial)
	}
	issued, err := r.issued()
	if err != nil {
		return nil, err
	}
	cert, err := issued.find(serial)
	if err != nil {
		return nil, fmt.Errorf("revoke: %w", err)
	}
	all := []*x509.Certificate{cert}
	if reason.Name == "keyCompromise" || reason.Name == "cACompromise" {
		for _, c := range issued.good {
			if !c.Equal(cert) && bytes.Equal(c.RawSubjectPublicKeyInfo, cert.RawSubjectPublicKeyInfo) {
				all = append(all, c)
			}
		}
	}
	var entries []RootEntry
	for _, c := range all {
		entries = append(entries, RootEntry{Kind: entryRevoked, Certificate: c, Reason: reason.Name, Operator: v.Operator, Approver: v.Approver})
	}
	if err := r.note(orNow(v.Now), entries...); err != nil {
		return nil, fmt.Errorf("revoke %q: %w", cert.Subject, err)
	}
	return all, nil
}

// Remaining are the certificates of the station of a certificate of this root
// that are still good, oldest first: those of intermediates and of checkpoint keys.
func (r *Root) Remaining(of *x509.Certificate) ([]*x509.Certificate, error) {
	issued, err := r.issued()
	if err != nil {
		return nil, err
	}
	var left []*x509.Certificate
	for _, c := range issued.good {
		if station := stationOf(of); station != "" && stationOf(c) == station {
			left = append(left, c)
		}
	}
	return left, nil
}

// stationOf reads the station, PLANT/STATION, out of the name of what a root
// signs: an intermediate's "PLANT/STATION CA ID", or a ledger's origin. Empty:
// the name is none of these.
func stationOf(c *x509.Certificate) string {
	if station, _, ok := strings.Cut(c.Subject.CommonName, " CA "); ok && c.IsCA {
		return station
	}
	origin, err := issuer.LedgerOrigin(c)
	if err != nil {
		return ""
	}
	return origin[:max(0, strings.LastIndexByte(origin, '/'))]
}

// issued is what a root signed for stations.
type issued struct {
	root    *x509.Certificate
	good    []*x509.Certificate // not revoked, oldest first
	revoked []RootEntry
}

func (r *Root) issued() (*issued, error) {
	entries, err := r.entries()
	if err != nil {
		return nil, err
	}
	s := &issued{root: r.cert}
	for _, e := range entries {
		switch e.Kind {
		case entryIntermediate, entryCheckpoint:
			s.good = append(s.good, e.Certificate)
		case entryRevoked:
			s.good = slices.DeleteFunc(s.good, e.Certificate.Equal)
			s.revoked = append(s.revoked, e)
		}
	}
	return s, nil
}

// find looks for a certificate that can be revoked.
func (s *issued) find(serial *big.Int) (*x509.Certificate, error) {
	for _, e := range s.revoked {
		if e.Certificate.SerialNumber.Cmp(serial) == 0 {
			return nil, fmt.Errorf("%w: %q, since %s", ErrRevoked, e.Certificate.Subject, e.Time.Format(time.RFC3339))
		}
	}
	for _, c := range s.good {
		if c.SerialNumber.Cmp(serial) == 0 {
			return c, nil
		}
	}
	if s.root.SerialNumber.Cmp(serial) == 0 {
		return nil, errors.New("a root cannot revoke itself: take it out of the verifiers")
	}
	return nil, fmt.Errorf("this root signed no certificate with serial number %x", serial)
}

// CRL is [Root.CRLFrom] with the next number.
func (r *Root) CRL(lifetime time.Duration, now time.Time) (*x509.RevocationList, error) {
	return r.CRLFrom(0, lifetime, now)
}

// CRLFrom signs the list of everything the root revoked (RFC 5280 5). Its number
// is one more than that of the list before, and least or more: a root that
// another program kept, or whose record is an old copy, has signed lists that
// the record does not know. It is due again after lifetime, 0 for 180 days: a
// root is offline. The list is on record before it is returned.
func (r *Root) CRLFrom(least int64, lifetime time.Duration, now time.Time) (*x509.RevocationList, error) {
	now = orNow(now)
	if lifetime == 0 {
		lifetime = 180 * day
	}
	if lifetime < day || lifetime > 3660*day {
		return nil, errors.New("revocation list: it must be good for a day to ten years")
	}
	entries, err := r.entries()
	if err != nil {
		return nil, err
	}
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.Add(lifetime)}
	for _, e := range entries {
		switch e.Kind {
		case entryCRL:
			template.Number.Add(e.CRL.Number, big.NewInt(1))
		case entryRevoked:
			reason, err := issuer.RevocationReasonNamed(e.Reason)
			if err != nil {
				return nil, fmt.Errorf("revocation list: entry %d of the record: %w", e.Seq, err)
			}
			template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{
				SerialNumber: e.Certificate.SerialNumber, RevocationTime: e.Time, ReasonCode: reason.Code,
			})
		}
	}
	if from := big.NewInt(least); template.Number.Cmp(from) < 0 {
		template.Number = from
	}
	list, err := r.signList(template)
	if err != nil {
		return nil, fmt.Errorf("revocation list: %w", err)
	}
	if err := r.note(now, RootEntry{Kind: entryCRL, CRL: list}); err != nil {
		return nil, fmt.Errorf("revocation list: %w", err)
	}
	return list, nil
}

// signList signs and reads back. A root without any keyUsage may sign lists
// (RFC 5280 6.3.3 (f)), which crypto/x509 does not know.
func (r *Root) signList(template *x509.RevocationList) (*x509.RevocationList, error) {
	by := *r.cert
	if by.KeyUsage == 0 {
		by.KeyUsage = x509.KeyUsageCRLSign
	}
	if by.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return nil, fmt.Errorf("%q may not sign one: its keyUsage lacks cRLSign", by.Subject)
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, &by, r.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseRevocationList(der)
}

// EncodeCRL is a list as a file.
func EncodeCRL(l *x509.RevocationList) []byte {
	text := fmt.Appendf(nil, "# revocation list %x of %s, next by %s\n", l.Number, l.Issuer, l.NextUpdate.UTC().Format(time.RFC3339))
	return appendPEM(text, labelCRL, l.Raw)
}

// revokedIn finds a certificate in a list of its issuer.
func revokedIn(l *x509.RevocationList, c *x509.Certificate) (x509.RevocationListEntry, bool) {
	i := slices.IndexFunc(l.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool {
		return e.SerialNumber.Cmp(c.SerialNumber) == 0
	})
	if i < 0 {
		return x509.RevocationListEntry{}, false
	}
	return l.RevokedCertificateEntries[i], true
}
