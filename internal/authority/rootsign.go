// SPDX-License-Identifier: Apache-2.0

package authority

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"provisioning.example/station/internal/issuer"
)

// Terms are how long a station may issue.
type Terms struct {
	Window  time.Duration // in which it issues; 0: 365 days
	Longest time.Duration // lifetime of the longest profile it uses; 0: 365 days
	Now     time.Time     // zero: time.Now
}

// Answer is what goes back to the station.
type Answer struct {
	PEM          []byte            // intermediate, checkpoint key's certificate if asked for, root
	Intermediate *x509.Certificate //
	Checkpoint   *x509.Certificate // nil: none was asked for
	TPM          string            // what is known about the keys: [NotProven]
}

// Sign signs the intermediate of a station and, if the request has one, the
// certificate of its checkpoint key. Both are in the root's record and in its
// folder, on the disk, before Sign returns.
//
// The intermediate lives as long as the window and the longest profile
// together, so that no device's certificate outlives it; it issues devices
// only (pathLen 0).
func (r *Root) Sign(q *StationRequest, t Terms) (*Answer, error) {
	now := orNow(t.Now)
	notBefore, notAfter, err := r.validity(t, now)
	if err != nil {
		return nil, fmt.Errorf("sign %q: %w", q.ca.Subject, err)
	}
	a := &Answer{TPM: NotProven}
	a.Intermediate, err = r.certify(&x509.Certificate{
		SerialNumber: newSerial(), RawSubject: q.ca.RawSubject, NotBefore: notBefore, NotAfter: notAfter,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}, q.ca.PublicKey)
	if err != nil {
		return nil, err
	}
	entries := []RootEntry{{Kind: "intermediate", Certificate: a.Intermediate, TPM: a.TPM}}
	if q.checkpoint != nil {
		// It lives as long as the root: what a ledger recorded must be
		// verifiable when the intermediates of its time have long run out.
		a.Checkpoint, err = r.certify(&x509.Certificate{
			SerialNumber: newSerial(), RawSubject: q.checkpoint.RawSubject, NotBefore: notBefore, NotAfter: r.cert.NotAfter,
			KeyUsage: x509.KeyUsageDigitalSignature,
			URIs:     []*url.URL{issuer.LedgerURI(q.origin.String())},
		}, q.checkpoint.PublicKey)
		if err != nil {
			return nil, err
		}
		entries = append(entries, RootEntry{Kind: "checkpoint", Certificate: a.Checkpoint, Origin: q.origin.String(), TPM: a.TPM})
	}
	a.PEM = answerPEM(a, r.cert)
	if err := os.MkdirAll(filepath.Join(r.dir, issuedDir), 0o700); err != nil {
		return nil, fmt.Errorf("sign %q: %w", q.ca.Subject, err)
	}
	// From here on the certificates exist; they leave only when they are on record.
	if err := r.note(now, entries...); err != nil {
		return nil, fmt.Errorf("sign %q: %w", q.ca.Subject, err)
	}
	path := filepath.Join(r.dir, issuedDir, fmt.Sprintf("%x.pem", a.Intermediate.SerialNumber))
	if err := writeNew(path, a.PEM, 0o644); err != nil {
		return nil, fmt.Errorf("sign %q: %w", q.ca.Subject, err)
	}
	return a, nil
}

func (r *Root) validity(t Terms, now time.Time) (notBefore, notAfter time.Time, err error) {
	if t.Window == 0 {
		t.Window = 365 * day
	}
	if t.Longest == 0 {
		t.Longest = 365 * day
	}
	if t.Window < day || t.Longest < day {
		return now, now, errors.New("window and longest profile must be a day or more")
	}
	if now.Before(r.cert.NotBefore) {
		return now, now, fmt.Errorf("it is %s, the root begins at %s: set the clock",
			now.Format(time.RFC3339), r.cert.NotBefore.Format(time.RFC3339))
	}
	notBefore = now.Add(-clockAllowance)
	if notBefore.Before(r.cert.NotBefore) {
		notBefore = r.cert.NotBefore
	}
	notAfter = now.Add(t.Window + t.Longest - time.Second)
	if notAfter.After(r.cert.NotAfter) {
		return now, now, fmt.Errorf("the intermediate would live until %s, its root ends at %s: choose a shorter window, or make a new root",
			notAfter.Format(time.RFC3339), r.cert.NotAfter.Format(time.RFC3339))
	}
	return notBefore, notAfter, nil
}

func answerPEM(a *Answer, root *x509.Certificate) []byte {
	text := appendCertificate(nil, a.Intermediate)
	if a.Checkpoint != nil {
		text = appendCertificate(text, a.Checkpoint)
	}
	return appendCertificate(text, root)
}

// appendCertificate writes a certificate with its subject above it.
func appendCertificate(dst []byte, c *x509.Certificate) []byte {
	dst = fmt.Appendf(dst, "# %s, until %s\n", c.Subject, c.NotAfter.UTC().Format(time.RFC3339))
	return appendPEM(dst, labelCertificate, c.Raw)
}
