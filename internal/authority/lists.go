// SPDX-License-Identifier: Apache-2.0

package authority

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"provisioning.example/station/internal/issuer"
)

// listsFile holds the revocation lists of the issuers above the station.
const listsFile = "revoked.pem"

var (
	// ErrRevoked: an issuer took back a certificate of the chain.
	ErrRevoked = errors.New("the intermediate is revoked")
	// ErrWindow: the time to issue is over.
	ErrWindow = errors.New("the issuing window has ended")
)

// InstallLists takes newer revocation lists of the issuers of what is installed
// already. One that was not signed by an issuer of the chain, or is older than
// what the station has, is refused.
func InstallLists(dir string, text []byte) (*Installed, error) {
	i, err := Load(dir)
	if err != nil {
		return nil, err
	}
	certs, lists, err := parseInstalled(text)
	if err == nil && len(certs) > 0 {
		err = errors.New("there are certificates beside the revocation lists")
	}
	if err == nil {
		err = i.takeLists(dir, lists)
	}
	if err == nil {
		err = i.writeLists(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("install revocation lists: %w", err)
	}
	return i, nil
}

// OnlyLists says whether a file holds revocation lists and nothing else.
func OnlyLists(text []byte) bool {
	certs, lists, err := parseInstalled(text)
	return err == nil && len(certs) == 0 && len(lists) > 0
}

// takeLists adds lists to those in the folder. Of each issuer the newest stays.
func (i *Installed) takeLists(dir string, lists []*x509.RevocationList) error {
	if err := i.readLists(dir); err != nil {
		return err
	}
	for _, l := range lists {
		if _, err := i.signer(l); err != nil {
			return err
		}
		at := slices.IndexFunc(i.CRLs, func(o *x509.RevocationList) bool { return sameIssuer(o, l) })
		if at < 0 {
			i.CRLs = append(i.CRLs, l)
			continue
		}
		have := i.CRLs[at]
		switch order := l.Number.Cmp(have.Number); {
		case order < 0:
			return fmt.Errorf("list %d of %q is older than the one that is installed, %d", l.Number, l.Issuer, have.Number)
		case order == 0 && !bytes.Equal(l.Raw, have.Raw):
			return fmt.Errorf("there are two lists %d of %q", l.Number, l.Issuer)
		}
		i.CRLs[at] = l
	}
	return nil
}

func sameIssuer(a, b *x509.RevocationList) bool {
	return bytes.Equal(a.RawIssuer, b.RawIssuer) && bytes.Equal(a.AuthorityKeyId, b.AuthorityKeyId)
}

// signer finds the certificate of the chain, above the intermediate, whose key
// signed a list.
func (i *Installed) signer(l *x509.RevocationList) (*x509.Certificate, error) {
	if l.Number == nil {
		return nil, fmt.Errorf("the list of %q has no number", l.Issuer)
	}
	// A list of changes, or of some certificates only, says so in a critical
	// extension: it must not stand for all (RFC 5280 5.2).
	if slices.ContainsFunc(l.Extensions, func(e pkix.Extension) bool { return e.Critical }) {
		return nil, fmt.Errorf("list %d of %q is not a complete list: it has a critical extension; have a full one made", l.Number, l.Issuer)
	}
	for _, c := range i.Chain[1:] {
		if bytes.Equal(l.RawIssuer, c.RawSubject) && l.CheckSignatureFrom(c) == nil {
			return c, nil
		}
	}
	return nil, fmt.Errorf("the list of %q is not signed by an issuer of this station", l.Issuer)
}

// readLists reads what the folder holds, and forgets lists of issuers that are
// not in the chain any more.
func (i *Installed) readLists(dir string) error {
	path := filepath.Join(dir, listsFile)
	text, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	certs, lists, err := parseInstalled(text)
	if err == nil && len(certs) > 0 {
		err = errors.New("it holds certificates")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	i.CRLs = slices.DeleteFunc(lists, func(l *x509.RevocationList) bool {
		_, err := i.signer(l)
		return err != nil
	})
	return nil
}

func (i *Installed) writeLists(dir string) error {
	if len(i.CRLs) == 0 {
		return nil
	}
	var text []byte
	for _, l := range i.CRLs {
		text = append(text, EncodeCRL(l)...)
	}
	return writeOver(filepath.Join(dir, listsFile), text, 0o644)
}

// Revoked looks the chain and the checkpoint key's certificate up in the
// lists. The error is [ErrRevoked] and says which certificate, since when, why.
func (i *Installed) Revoked() error {
	for _, l := range i.CRLs {
		by, err := i.signer(l)
		if err != nil {
			return err
		}
		for _, c := range append(slices.Clone(i.Chain), i.Checkpoint) {
			if c == nil || !bytes.Equal(c.RawIssuer, by.RawSubject) {
				continue
			}
			if e, found := revokedIn(l, c); found {
				return fmt.Errorf("%w: %q, serial %x, since %s, reason %s", ErrRevoked, c.Subject, c.SerialNumber,
					e.RevocationTime.UTC().Format(time.RFC3339), reasonName(e.ReasonCode))
			}
		}
	}
	return nil
}

func reasonName(code int) string {
	for _, r := range issuer.RevocationReasons() {
		if r.Code == code {
			return r.Name
		}
	}
	return fmt.Sprintf("code %d", code)
}

// Fit says why the intermediate may not issue now: [ErrRevoked], or [ErrWindow]
// if its certificate names a window.
func (i *Installed) Fit(now time.Time) error {
	if err := i.Revoked(); err != nil {
		return err
	}
	until, ok, err := windowOf(i.Intermediate())
	if err == nil && ok && now.After(until) {
		err = fmt.Errorf("%w at %s: have the root sign a new intermediate", ErrWindow, until.Format(time.RFC3339))
	}
	return err
}
