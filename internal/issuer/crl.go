// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// MaxCRL is the longest revocation list in bytes that is made or read: some
// 300 000 certificates.
const MaxCRL = 16 << 20

// RevocationReason is why a certificate is not to be trusted any more.
type RevocationReason struct {
	Name string // as in RFC 5280 5.3.1; the ledger's word for it too
	Code int    // CRLReason
	Doc  string // when to use it
}

// RevocationReasons is the table of reasons this station revokes for: those of
// RFC 5280 5.3.1 that a device's certificate can have and that cannot be taken
// back (certificateHold, removeFromCRL), attribute authorities left out.
func RevocationReasons() []RevocationReason {
	return []RevocationReason{
		{"keyCompromise", 1, "somebody else may have the private key, or the board was lost or stolen"},
		{"cACompromise", 2, "somebody else may have the key of the intermediate"},
		{"affiliationChanged", 3, "the name in the certificate is not the unit's any more"},
		{"superseded", 4, "another certificate takes its place"},
		{"cessationOfOperation", 5, "the unit is not used any more"},
		{"privilegeWithdrawn", 9, "the unit may not do any more what the certificate lets it do"},
		{"unspecified", 0, "none of the others"},
	}
}

// RevocationReasonNamed finds a reason by its name. The error lists the names.
func RevocationReasonNamed(name string) (RevocationReason, error) {
	all := RevocationReasons()
	names := make([]string, len(all))
	for i, r := range all {
		if r.Name == name {
			return r, nil
		}
		names[i] = r.Name
	}
	return RevocationReason{}, fmt.Errorf("%q is not a reason to revoke; allowed: %s", clip(name), strings.Join(names, ", "))
}

// Revoked is one line of a revocation list.
type Revoked struct {
	Serial string    // of the certificate: lower-case hex, whole bytes
	Time   time.Time // when it was revoked; seconds count
	Reason string    // name of a [RevocationReason]
}

// CRLTerms is what a revocation list says.
type CRLTerms struct {
	Number                 int64 // from 1, greater than that of every list before (RFC 5280 5.2.3)
	ThisUpdate, NextUpdate time.Time
	Revoked                []Revoked
}

// CRL is a signed revocation list that was parsed again and verified.
type CRL struct {
	DER    []byte
	SHA256 [32]byte
	Parsed *x509.RevocationList
}

// CRL signs a revocation list (RFC 5280 5) for this issuer: version 2, with
// authorityKeyIdentifier and cRLNumber. Like a certificate's, its contents are
// made and looked at with a throw-away key before the issuer's is touched.
func (i *Issuer) CRL(ctx context.Context, terms CRLTerms) (*CRL, error) {
	tbs, err := i.crlContents(terms)
	if err != nil {
		return nil, fmt.Errorf("revocation list %d: %w", terms.Number, err)
	}
	h := i.scheme.hash.New()
	h.Write(tbs)
	digest := h.Sum(nil)
	signature, err := i.signDigest(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("sign revocation list %d: %w", terms.Number, err)
	}
	if !ecdsa.VerifyASN1(i.signer.Public().(*ecdsa.PublicKey), digest, signature) {
		return nil, fmt.Errorf("sign revocation list %d: the key returned a signature that does not verify", terms.Number)
	}
	der, err := i.assemble(tbs, signature)
	if err != nil {
		return nil, fmt.Errorf("sign revocation list %d: %w", terms.Number, err)
	}
	list, err := ParseCRL(der)
	if err == nil {
		err = list.CheckSignatureFrom(i.chain[0])
	}
	if err == nil && len(list.RevokedCertificateEntries) != len(terms.Revoked) {
		err = fmt.Errorf("it lists %d certificates, not %d", len(list.RevokedCertificateEntries), len(terms.Revoked))
	}
	if err != nil {
		return nil, fmt.Errorf("check revocation list %d: %w", terms.Number, err)
	}
	return &CRL{DER: der, SHA256: sha256.Sum256(der), Parsed: list}, nil
}

// crlContents makes the TBSCertList.
func (i *Issuer) crlContents(terms CRLTerms) ([]byte, error) {
	if terms.Number < 1 {
		return nil, errors.New("numbers begin at 1")
	}
	if i.chain[0].KeyUsage&x509.KeyUsageCRLSign == 0 {
		return nil, fmt.Errorf("%q may not sign revocation lists: it lacks keyUsage cRLSign; have it signed anew", i.chain[0].Subject)
	}
	template := &x509.RevocationList{
		SignatureAlgorithm: i.scheme.algorithm, Number: big.NewInt(terms.Number),
		ThisUpdate: terms.ThisUpdate.UTC().Truncate(time.Second), NextUpdate: terms.NextUpdate.UTC().Truncate(time.Second),
		RevokedCertificateEntries: make([]x509.RevocationListEntry, len(terms.Revoked)),
	}
	for n, r := range terms.Revoked {
		reason, err := RevocationReasonNamed(r.Reason)
		if err != nil {
			return nil, fmt.Errorf("certificate %s: %w", clip(r.Serial), err)
		}
		serial, err := hex.DecodeString(r.Serial)
		if err != nil || len(serial) == 0 || len(serial) > 20 {
			return nil, fmt.Errorf("%q is not a serial number in hex", clip(r.Serial))
		}
		template.RevokedCertificateEntries[n] = x509.RevocationListEntry{
			SerialNumber: new(big.Int).SetBytes(serial), RevocationTime: r.Time.UTC().Truncate(time.Second), ReasonCode: reason.Code,
		}
	}
	parent := &x509.Certificate{
		RawSubject: i.chain[0].RawSubject, SubjectKeyId: i.chain[0].SubjectKeyId,
		PublicKey: i.lintKey.Public(), KeyUsage: x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, parent, i.lintKey)
	if err != nil {
		return nil, err
	}
	list, err := ParseCRL(der)
	if err != nil {
		return nil, err
	}
	return list.RawTBSRevocationList, nil
}

var (
	oidAuthorityKeyIdentifier = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidCRLNumber              = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidReasonCode             = asn1.ObjectIdentifier{2, 5, 29, 21}
)

// ParseCRL reads a revocation list of the one form that [Issuer.CRL] makes:
// complete (no delta, no distribution point), numbered, each certificate once.
// Its signature is not looked at.
func ParseCRL(der []byte) (*x509.RevocationList, error) {
	if len(der) == 0 || len(der) > MaxCRL {
		return nil, fmt.Errorf("revocation list of %d bytes; allowed: 1 to %d", len(der), MaxCRL)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("revocation list does not parse: %w", err)
	}
	if !bytes.Equal(list.Raw, der) {
		return nil, errors.New("revocation list with something behind it")
	}
	for _, e := range list.Extensions {
		if !e.Id.Equal(oidAuthorityKeyIdentifier) && !e.Id.Equal(oidCRLNumber) {
			return nil, fmt.Errorf("revocation list with extension %s; allowed: authorityKeyIdentifier and cRLNumber", e.Id)
		}
	}
	switch {
	case len(list.Extensions) != 2 || len(list.AuthorityKeyId) == 0 || list.Number == nil:
		return nil, errors.New("revocation list without authorityKeyIdentifier or cRLNumber (RFC 5280 5.2)")
	case list.Number.Sign() <= 0 || !list.Number.IsInt64():
		return nil, fmt.Errorf("revocation list with number %s", list.Number)
	case !list.NextUpdate.After(list.ThisUpdate):
		return nil, errors.New("revocation list without nextUpdate behind thisUpdate (RFC 5280 5.1.2.5)")
	}
	return list, checkRevoked(list.RevokedCertificateEntries)
}

// checkRevoked wants every certificate once and nothing said of it but why.
func checkRevoked(entries []x509.RevocationListEntry) error {
	seen := make(map[string]bool, len(entries))
	for _, e := range entries {
		serial := string(e.SerialNumber.Bytes())
		if e.SerialNumber.Sign() <= 0 || len(serial) > 20 || seen[serial] {
			return fmt.Errorf("revocation list with serial number %x twice, or out of range", e.SerialNumber)
		}
		seen[serial] = true
		known := slices.ContainsFunc(RevocationReasons(), func(r RevocationReason) bool { return r.Code == e.ReasonCode })
		extra := slices.ContainsFunc(e.Extensions, func(x pkix.Extension) bool { return !x.Id.Equal(oidReasonCode) })
		if !known || extra || len(e.Extensions) > 1 {
			return fmt.Errorf("revocation list says more, or another reason, of certificate %x than this station does", e.SerialNumber)
		}
	}
	return nil
}
