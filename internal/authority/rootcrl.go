// SPDX-License-Identifier: Apache-2.0

package authority

import (
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

// Revoke records that a certificate of this root is not to be trusted any
// more. There is no way back. It takes effect where the list of [Root.CRL]
// arrives. A certificate that is revoked already is an error, [ErrRevoked].
func (r *Root) Revoke(v Revocation) (*x509.Certificate, error) {
	reason, err := issuer.RevocationReasonNamed(v.Reason)
	if err != nil {
		return nil, fmt.Errorf("revoke: %w", err)
	}
	serial, ok := new(big.Int).SetString(strings.ToLower(v.Serial), 16)
	if !ok {
		return nil, fmt.Errorf("revoke: serial number %.60q; allowed: hex, as root log shows it", v.Serial)
	}
	entries, err := r.entries()
	if err != nil {
		return nil, err
	}
	var cert *x509.Certificate
	for _, e := range entries {
		if e.Certificate == nil || e.Certificate.SerialNumber.Cmp(serial) != 0 {
			continue
		}
		switch e.Kind {
		case entryRevoked:
			return nil, fmt.Errorf("revoke: %w: %q, since %s", ErrRevoked, e.Certificate.Subject, e.Time.Format(time.RFC3339))
		case entryRoot:
			return nil, errors.New("revoke: a root cannot revoke itself: take it out of the verifiers")
		}
		cert = e.Certificate
	}
	if cert == nil {
		return nil, fmt.Errorf("revoke: this root signed no certificate with serial number %x", serial)
	}
	err = r.note(orNow(v.Now), RootEntry{
		Kind: entryRevoked, Certificate: cert, Reason: reason.Name, Operator: v.Operator, Approver: v.Approver,
	})
	if err != nil {
		return nil, fmt.Errorf("revoke %q: %w", cert.Subject, err)
	}
	return cert, nil
}

// CRL signs the list of everything the root revoked (RFC 5280 5). Its number is
// one more than that of the list before; it is due again after lifetime, 0 for
// 180 days: a root is offline. The list is on record before it is returned.
func (r *Root) CRL(lifetime time.Duration, now time.Time) (*x509.RevocationList, error) {
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
