// SPDX-License-Identifier: Apache-2.0

package authority

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/issuer"
)

// Terms are how long a station may issue, and for what.
type Terms struct {
	Window      time.Duration // in which it issues; 0: 365 days
	Longest     time.Duration // lifetime of the longest profile it uses; 0: 365 days
	Forever     bool          // the intermediate has no end; the root must have none either
	Now         time.Time     // zero: time.Now
	Constraints Constraints

	// Answer is the station's to a challenge of this root; nil: none, and the
	// certificates say nothing about the TPM.
	Answer *ceremony.Answer
}

// Signed is what goes back to the station.
type Signed struct {
	PEM          []byte            // intermediate, checkpoint key's certificate if asked for, root
	Intermediate *x509.Certificate //
	Checkpoint   *x509.Certificate // nil: none was asked for
	Proof        *ceremony.Proof   // what was found out about the TPM; nil: nothing
	File         string            // where the root keeps PEM
}

// TPM is what is known about the keys, in words.
func (s *Signed) TPM() string { return s.Proof.String() }

// Sign signs the intermediate of a station and, if the request has one, the
// certificate of its checkpoint key. Both are in the root's record and in its
// folder, on the disk, before Sign returns. With an answer, the challenge is
// recorded as used before anything is signed.
//
// The intermediate lives as long as the window and the longest profile
// together, so that no device's certificate outlives it; it issues devices
// only (pathLen 0).
func (r *Root) Sign(q *ceremony.Request, t Terms) (*Signed, error) {
	s, err := r.sign(q, t, orNow(t.Now))
	if err != nil {
		return nil, fmt.Errorf("sign %q: %w", q.Subject(), err)
	}
	return s, nil
}

func (r *Root) sign(q *ceremony.Request, t Terms, now time.Time) (*Signed, error) {
	if err := r.mayCertify(q); err != nil {
		return nil, err
	}
	notBefore, notAfter, err := r.validity(&t, now)
	if err != nil {
		return nil, err
	}
	window, err := windowExtension(notBefore, now.Add(t.Window))
	if err != nil {
		return nil, err
	}
	ca := &x509.Certificate{
		SerialNumber: newSerial(), RawSubject: q.CSR().RawSubject, NotBefore: notBefore, NotAfter: notAfter,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		ExtraExtensions: []pkix.Extension{window},
	}
	if err := t.Constraints.put(ca); err != nil {
		return nil, err
	}
	s := &Signed{}
	if t.Answer != nil {
		if s.Proof, err = r.judge(q, t.Answer, now); err != nil {
			return nil, err
		}
		if err := r.close(t.Answer, now); err != nil {
			return nil, err
		}
	}
	if s.Intermediate, err = r.certify(ca, q.CSR().PublicKey); err != nil {
		return nil, err
	}
	if q.CheckpointCSR() != nil {
		if s.Checkpoint, err = r.certifyCheckpoint(q, s.Proof, notBefore); err != nil {
			return nil, err
		}
	}
	s.PEM = s.encode(r.cert)
	return s, r.keep(s, q, now)
}

// ErrTakenBack: a root certifies no key again that it took back, unless for a
// certificate that took the other's place.
var ErrTakenBack = errors.New("it was taken back")

// mayCertify refuses a request whose keys were taken back, and one for the name
// of the root, which would look like a root's.
func (r *Root) mayCertify(q *ceremony.Request) error {
	if q.Subject().String() == r.cert.Subject.String() {
		return errors.New("this is the root's own name: a station has another")
	}
	issued, err := r.issued()
	if err != nil {
		return err
	}
	for _, e := range issued.revoked {
		if e.Reason == reasonSuperseded {
			continue
		}
		spki, err := ceremony.SPKI(e.Certificate.PublicKey)
		if err != nil {
			return err
		}
		if spki == q.SPKI() || q.CheckpointCSR() != nil && spki == q.CheckpointSPKI() {
			return fmt.Errorf("the key %x: %w: %q, serial %x, at %s for %s; the station needs a new key: station ca rotate, or station handover",
				spki, ErrTakenBack, e.Certificate.Subject, e.Certificate.SerialNumber, e.Time.Format(time.RFC3339), e.Reason)
		}
	}
	return nil
}

// certifyCheckpoint makes the anchor by which a ledger is trusted. It lives as
// long as the root: what a ledger recorded must be verifiable when the
// intermediates of its time have long run out.
func (r *Root) certifyCheckpoint(q *ceremony.Request, proof *ceremony.Proof, notBefore time.Time) (*x509.Certificate, error) {
	origin, _ := q.Origin()
	uris := []*url.URL{issuer.LedgerURI(origin.String())}
	if proof != nil {
		uris = append(uris, proof.URI())
	}
	return r.certify(&x509.Certificate{
		SerialNumber: newSerial(), RawSubject: q.CheckpointCSR().RawSubject, NotBefore: notBefore, NotAfter: r.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, UnknownExtKeyUsage: issuer.LedgerUsage(), URIs: uris,
	}, q.CheckpointCSR().PublicKey)
}

// keep records what was signed and puts it into the root's folder. Until then
// the certificates exist in memory only: they leave when they are on record.
func (r *Root) keep(s *Signed, q *ceremony.Request, now time.Time) error {
	if err := os.MkdirAll(filepath.Join(r.dir, issuedDir), 0o700); err != nil {
		return err
	}
	entries := []RootEntry{{Kind: entryIntermediate, Certificate: s.Intermediate, TPM: s.TPM()}}
	if s.Checkpoint != nil {
		origin, _ := q.Origin()
		entries = append(entries, RootEntry{Kind: entryCheckpoint, Certificate: s.Checkpoint, Origin: origin.String(), TPM: s.TPM()})
	}
	if err := r.note(now, entries...); err != nil {
		return err
	}
	s.File = filepath.Join(r.dir, issuedDir, fmt.Sprintf("%x.pem", s.Intermediate.SerialNumber))
	return writeNew(s.File, s.PEM, 0o644)
}

// validity fills in the terms and says how long the intermediate lives.
func (r *Root) validity(t *Terms, now time.Time) (notBefore, notAfter time.Time, err error) {
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
	if t.Forever {
		notAfter = noEnd
	}
	if notAfter.After(r.cert.NotAfter) {
		return now, now, fmt.Errorf("the intermediate would live until %s, its root ends at %s: choose a shorter window, or make a new root",
			notAfter.Format(time.RFC3339), r.cert.NotAfter.Format(time.RFC3339))
	}
	return notBefore, notAfter, nil
}

func (s *Signed) encode(root *x509.Certificate) []byte {
	text := appendCertificate(nil, s.Intermediate)
	if s.Checkpoint != nil {
		text = fmt.Appendf(text, "# %s\n", s.TPM())
		text = appendCertificate(text, s.Checkpoint)
	}
	return appendCertificate(text, root)
}

// appendCertificate writes a certificate with its subject above it.
func appendCertificate(dst []byte, c *x509.Certificate) []byte {
	dst = fmt.Appendf(dst, "# %s, until %s\n", c.Subject, c.NotAfter.UTC().Format(time.RFC3339))
	return appendPEM(dst, labelCertificate, c.Raw)
}
