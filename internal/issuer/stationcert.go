// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The issuer signs two certificates that are not a device's. Neither may serve
// as one, nor as the other:
//
//	                     keyUsage           extendedKeyUsage   subjectAltName
//	a device             digitalSignature   its profile's      its profile's
//	a cloud's proof      contentCommitment  documentSigning    none
//	the manifest key     digitalSignature   documentSigning    manifest:PLANT/STATION

// documentSigning is id-kp-documentSigning (RFC 9336 3): neither a TLS client
// nor a TLS server nor an issuer. No profile can write extendedKeyUsage, so no
// device's certificate has it.
var documentSigning = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 36}

// manifestScheme is the scheme of the URI by which the certificate of a
// manifest key names its station.
const manifestScheme = "manifest"

// Bounds of a proof's life: long enough to be carried to the cloud on a stick,
// short enough that nobody keeps it.
const (
	MinVerificationLife = time.Hour
	MaxVerificationLife = 30 * 24 * time.Hour
)

// clockAllowance is how far the clock of who verifies may be behind.
const clockAllowance = time.Hour

// CheckVerificationCode says whether a text can be a cloud's registration code:
// AWS IoT gives 64 hex digits, Azure 48; a common name has at most 64 characters
// (RFC 5280 A.1).
func CheckVerificationCode(code string) error {
	if code == "" || len(code) > 64 || strings.ContainsFunc(code, func(r rune) bool { return !isLetterOrDigit(r) && r != '-' && r != '_' }) {
		return fmt.Errorf("registration code %q; allowed: 1 to 64 characters A-Z, a-z, 0-9, - and _, as the cloud shows it", clip(code))
	}
	return nil
}

// Verification makes the certificate by which a cloud sees that this issuer's
// key is ours: its common name is the code the cloud gave. The certificate is
// for public, a key that need not exist any longer.
//
// Errors: [ErrWindow] when the issuer ends before the certificate would.
func (i *Issuer) Verification(ctx context.Context, code string, public crypto.PublicKey, life time.Duration) (*Certificate, error) {
	if err := CheckVerificationCode(code); err != nil {
		return nil, err
	}
	if life < MinVerificationLife || life > MaxVerificationLife {
		return nil, fmt.Errorf("verification certificate for %s; allowed: %s to %s", life, MinVerificationLife, MaxVerificationLife)
	}
	now := i.now().UTC().Truncate(time.Second)
	return i.certifyOwn(ctx, &x509.Certificate{
		Subject: pkix.Name{CommonName: code}, KeyUsage: x509.KeyUsageContentCommitment,
		NotBefore: now.Add(-clockAllowance), NotAfter: now.Add(life - time.Second),
	}, public)
}

// ManifestKey makes the certificate of the key with which a station signs
// manifests. It lives as long as the issuer.
func (i *Issuer) ManifestKey(ctx context.Context, station string, public crypto.PublicKey) (*Certificate, error) {
	return i.certifyOwn(ctx, &x509.Certificate{
		Subject: pkix.Name{CommonName: station + " manifests"}, KeyUsage: x509.KeyUsageDigitalSignature,
		URIs:      []*url.URL{{Scheme: manifestScheme, Opaque: station}},
		NotBefore: i.now().UTC().Truncate(time.Second).Add(-clockAllowance), NotAfter: i.chain[0].NotAfter,
	}, public)
}

// ManifestStation reads the station, PLANT/STATION, out of the certificate of a
// manifest key, and refuses every other certificate. The caller verifies the
// chain.
func ManifestStation(c *x509.Certificate) (string, error) {
	if c.IsCA || c.KeyUsage != x509.KeyUsageDigitalSignature || len(c.ExtKeyUsage) > 0 || len(c.UnknownExtKeyUsage) != 1 ||
		!c.UnknownExtKeyUsage[0].Equal(documentSigning) || len(c.URIs) != 1 || c.URIs[0].Scheme != manifestScheme || c.URIs[0].Opaque == "" {
		return "", errors.New("this is not the certificate of a manifest key")
	}
	return c.URIs[0].Opaque, nil
}

// IsVerification says whether a certificate can be nothing but a cloud's proof:
// no device, no manifest key, no issuer.
func IsVerification(c *x509.Certificate) bool {
	return !c.IsCA && c.KeyUsage == x509.KeyUsageContentCommitment && len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 1 &&
		c.UnknownExtKeyUsage[0].Equal(documentSigning) && len(c.URIs)+len(c.DNSNames)+len(c.EmailAddresses)+len(c.IPAddresses) == 0
}

// certifyOwn makes one of the two. As with a device's, the bytes to be signed
// are made and looked at with a throw-away key before the issuer's is touched.
func (i *Issuer) certifyOwn(ctx context.Context, t *x509.Certificate, public crypto.PublicKey) (*Certificate, error) {
	what := fmt.Sprintf("certificate for %q", t.Subject.CommonName)
	tbs, err := i.ownContents(t, public)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	h := i.scheme.hash.New()
	h.Write(tbs)
	signature, err := i.signDigest(ctx, h.Sum(nil))
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", what, err)
	}
	der, err := i.assemble(tbs, signature)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", what, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err == nil {
		err = i.lintOwn(cert)
	}
	if err == nil {
		err = cert.CheckSignatureFrom(i.chain[0])
	}
	if err == nil {
		err = i.Verify(cert)
	}
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", what, err)
	}
	return &Certificate{DER: der, Parsed: cert, Serial: serialText(cert.SerialNumber), SHA256: sha256.Sum256(der)}, nil
}

func (i *Issuer) ownContents(t *x509.Certificate, public crypto.PublicKey) ([]byte, error) {
	if err := checkStrength(public); err != nil {
		return nil, err
	}
	for _, c := range i.chain {
		if t.NotBefore.Before(c.NotBefore) {
			t.NotBefore = c.NotBefore
		}
		if t.NotAfter.After(c.NotAfter) {
			return nil, fmt.Errorf("%w: it would live until %s, its issuer %q ends at %s: renew the intermediate",
				ErrWindow, t.NotAfter.Format(time.RFC3339), c.Subject, c.NotAfter.Format(time.RFC3339))
		}
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	if t.SerialNumber, err = i.serial(); err != nil {
		return nil, err
	}
	t.SubjectKeyId, t.SignatureAlgorithm = KeyIdentifier(spki), i.scheme.algorithm
	t.UnknownExtKeyUsage = []asn1.ObjectIdentifier{documentSigning}
	parent := &x509.Certificate{RawSubject: i.chain[0].RawSubject, SubjectKeyId: i.chain[0].SubjectKeyId, PublicKey: i.lintKey.Public()}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, public, i.lintKey)
	if err != nil {
		return nil, err
	}
	draft, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return draft.RawTBSCertificate, i.lintOwn(draft)
}

// lintOwn refuses whatever could serve as a device's certificate or an issuer's.
func (i *Issuer) lintOwn(c *x509.Certificate) error {
	l := &linted{Certificate: c, issuer: i, spki: sha256.Sum256(c.RawSubjectPublicKeyInfo)}
	for _, r := range rules {
		// Of the rules for devices all hold but those about the use of the key.
		if !r.holds(l) && !strings.HasPrefix(r.what, "keyUsage ") && !strings.HasPrefix(r.what, "no extended key usage ") {
			return fmt.Errorf("lint: broken rule: %s (%s)", r.what, r.source)
		}
	}
	if c.KeyUsage&^(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) != 0 || l.extension(2, 5, 29, 15) != critical {
		return errors.New("lint: broken rule: keyUsage that signs, critical, nothing that issues (RFC 5280 4.2.1.3)")
	}
	if len(c.ExtKeyUsage) != 0 || !slices.EqualFunc(c.UnknownExtKeyUsage, []asn1.ObjectIdentifier{documentSigning}, asn1.ObjectIdentifier.Equal) {
		return errors.New("lint: broken rule: extendedKeyUsage documentSigning and nothing else (RFC 9336 3)")
	}
	return nil
}

// ParseVerificationRequest reads the certification request, PEM, of somebody who
// brings the key for a cloud's proof himself, as AWS IoT describes it. Only the
// key is taken from it; the common name must be the code.
func ParseVerificationRequest(text []byte, code string) (crypto.PublicKey, error) {
	if err := CheckVerificationCode(code); err != nil {
		return nil, err
	}
	if len(text) > 2*MaxRequest {
		return nil, fmt.Errorf("request of %d bytes; allowed: up to %d", len(text), 2*MaxRequest)
	}
	block, rest := pem.Decode(text)
	if block == nil || !strings.HasSuffix(block.Type, "CERTIFICATE REQUEST") || strings.Contains(string(rest), "-----BEGIN") {
		return nil, errors.New("not one PEM block CERTIFICATE REQUEST; make it with: openssl req -new -key KEY -subj /CN=CODE")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("the request is not signed by its own key: %w", err)
	}
	if csr.Subject.CommonName != code {
		return nil, fmt.Errorf("the request is for %q, the code is %q", clip(csr.Subject.CommonName), code)
	}
	if !slices.ContainsFunc(algorithms, func(a algorithm) bool { return a.name != "EdDSA" && a.fits(csr.PublicKey) }) {
		return nil, fmt.Errorf("the request is for a %s; allowed: P-256, P-384, RSA of %d to %d bits", keyKind(csr.PublicKey), minRSA, maxRSA)
	}
	return csr.PublicKey, checkStrength(csr.PublicKey)
}

// CheckThingName says whether a common name can be the name of a thing of AWS
// IoT (ThingName of its API: [a-zA-Z0-9:_-]{1,128}).
func CheckThingName(s string) error {
	if s == "" || len(s) > 128 {
		return fmt.Errorf("thing name of %d characters; allowed by AWS IoT: 1 to 128", len(s))
	}
	return thingName.check(s)
}

// CheckRegistrationID says whether a common name can be a registration ID of
// Azure's Device Provisioning Service, and so a device ID.
func CheckRegistrationID(s string) error {
	if s == "" || len(s) > 128 {
		return fmt.Errorf("registration ID of %d characters; allowed by Azure DPS: 1 to 128", len(s))
	}
	return checkRegistrationID(s)
}
