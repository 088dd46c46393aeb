// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/go-tpm/tpm2"
)

const (
	// maxCertificates and maxCertificate bound what a TPM may bring: its
	// endorsement key's certificate and the chain above it.
	maxCertificates = 16
	maxCertificate  = 8 << 10
)

// ParseCertificates reads an endorsement key's certificate, which comes first,
// and the chain above it, each in DER without padding. An empty set is
// ErrNoCertificate.
func ParseCertificates(set [][]byte) (ek *x509.Certificate, chain []*x509.Certificate, err error) {
	if len(set) == 0 {
		return nil, nil, ErrNoCertificate
	}
	if len(set) > maxCertificates {
		return nil, nil, refuse(ErrCertificate, "%d certificates, at most %d are taken", len(set), maxCertificates)
	}
	var list []*x509.Certificate
	for i, der := range set {
		if len(der) > maxCertificate {
			return nil, nil, refuse(ErrCertificate, "certificate %d has %d bytes, at most %d are taken", i+1, len(der), maxCertificate)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, nil, refuse(ErrCertificate, "certificate %d: %w", i+1, err)
		}
		list = append(list, c)
	}
	return list[0], list[1:], nil
}

// CheckEK demands that somebody we trust vouches for the endorsement key ek: a
// vendor, whose root among vendors the certificate leads to at the time now, or
// we ourselves, who wrote the key's Pin down. The certificate may be nil; if
// there is one it must be that of ek even if the key is pinned.
func CheckEK(cert *x509.Certificate, ek *Public, intermediates []*x509.Certificate, vendors *x509.CertPool, pins [][32]byte, now time.Time) error {
	if err := checkEKTemplate(ek); err != nil {
		return err
	}
	if cert != nil && !certifies(cert, ek) {
		return refuse(ErrOtherEK, "serial number %x, subject %q", cert.SerialNumber, cert.Subject)
	}
	if slices.Contains(pins, ek.Pin()) {
		return nil
	}
	switch {
	case vendors == nil && len(pins) == 0:
		return ErrNoTrust
	case vendors == nil:
		return refuse(ErrPin, "its SHA-256 is %x", ek.Pin())
	case cert == nil:
		return ErrNoCertificate
	}
	return chain(cert, intermediates, vendors, now)
}

// Pin is the SHA-256 of the key's SubjectPublicKeyInfo.
func (p *Public) Pin() [32]byte { return sha256.Sum256(p.spki) }

// certifies compares keys. Some vendors name an RSA key as one for OAEP, which
// crypto/x509 does not read; then the bits decide.
func certifies(cert *x509.Certificate, ek *Public) bool {
	if cert.PublicKey != nil {
		der, err := x509.MarshalPKIXPublicKey(cert.PublicKey)
		return err == nil && bytes.Equal(der, ek.spki)
	}
	type keyInfo struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	var has, want keyInfo
	oaep := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 7}
	rest, err := asn1.Unmarshal(cert.RawSubjectPublicKeyInfo, &has)
	if err != nil || len(rest) != 0 || !has.Algorithm.Algorithm.Equal(oaep) {
		return false
	}
	if _, err := asn1.Unmarshal(ek.spki, &want); err != nil {
		return false
	}
	return ek.area.Type == tpm2.TPMAlgRSA && bytes.Equal(has.Key.Bytes, want.Key.Bytes)
}

// chain verifies the way to a vendor's root.
func chain(cert *x509.Certificate, intermediates []*x509.Certificate, vendors *x509.CertPool, now time.Time) error {
	if cert.IsCA {
		return refuse(ErrVendor, "the certificate is that of an authority")
	}
	if err := checkUsage(cert); err != nil {
		return err
	}
	pool := x509.NewCertPool()
	for _, c := range intermediates {
		pool.AddCert(understood(c))
	}
	_, err := understood(cert).Verify(x509.VerifyOptions{
		Roots: vendors, Intermediates: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return refuse(ErrVendor, "issuer %q: %w", cert.Issuer, err)
	}
	return nil
}

// checkUsage keeps out what a vendor certifies besides, whose key may lie in
// software: a certificate that says what it is for must say that it is for an
// endorsement key (tcg-kp-EKCertificate, section 3.2.16), one that says how its
// key is used, that it takes secrets (section 3.2.13). Old chips' say neither.
func checkUsage(cert *x509.Certificate) error {
	endorses := asn1.ObjectIdentifier{2, 23, 133, 8, 1}
	if len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) > 0 && !slices.ContainsFunc(cert.UnknownExtKeyUsage, endorses.Equal) {
		return refuse(ErrUsage, "its extendedKeyUsage does not name %s", endorses)
	}
	if cert.KeyUsage != 0 && cert.KeyUsage&(x509.KeyUsageKeyEncipherment|x509.KeyUsageKeyAgreement) == 0 {
		return refuse(ErrUsage, "its keyUsage is neither keyEncipherment nor keyAgreement")
	}
	return nil
}

// understood is the certificate without the critical extensions that
// crypto/x509 does not read and the EK profile demands: the alternative name,
// which is a directoryName with the TPM's maker and model (section 3.2.9).
func understood(cert *x509.Certificate) *x509.Certificate {
	alternativeName := asn1.ObjectIdentifier{2, 5, 29, 17}
	c := *cert
	c.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(cert.UnhandledCriticalExtensions), alternativeName.Equal)
	return &c
}

// maxSecret is the longest secret of a credential: the size of a SHA-256.
const maxSecret = 32

// MakeCredential seals secret, 1 to 32 bytes, so that only the TPM with the
// endorsement key ek opens it, and only while it also holds the key with the
// Name of ak (Part 1, section 24). blob is the content of a TPM2B_ID_OBJECT,
// encSecret that of a TPM2B_ENCRYPTED_SECRET.
func MakeCredential(rand io.Reader, ek, ak *Public, secret []byte) (blob, encSecret []byte, err error) {
	if len(secret) == 0 || len(secret) > maxSecret {
		return nil, nil, fmt.Errorf("seal a challenge: a secret of %d bytes, 1 to %d are possible", len(secret), maxSecret)
	}
	if err := checkEKTemplate(ek); err != nil {
		return nil, nil, err
	}
	key, err := tpm2.ImportEncapsulationKey(&ek.area)
	if err != nil {
		return nil, nil, fmt.Errorf("seal a challenge: %w", err)
	}
	name := ak.Name()
	blob, encSecret, err = tpm2.CreateCredential(rand, key, name[:], secret)
	if err != nil {
		return nil, nil, fmt.Errorf("seal a challenge: %w", err)
	}
	return blob, encSecret, nil
}
