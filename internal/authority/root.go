// SPDX-License-Identifier: Apache-2.0

package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/issuer"
)

// Files in a root's folder.
const (
	rootKeyFile  = "root.key"
	rootCertFile = "root.pem"
	rootLogFile  = "record.jsonl"
	rootLockFile = "lock"
	issuedDir    = "issued"
)

// clockAllowance is how far certificates of the root are backdated: the clock
// of an offline machine and that of a station were set by hand.
const clockAllowance = 24 * time.Hour

const day = 24 * time.Hour

// noEnd stands for no expiry at all (RFC 5280 4.1.2.5).
var noEnd = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// RootConfig is what a new root is made of.
type RootConfig struct {
	Subject pkix.Name
	Years   int            // of validity, 1 to 50; 0: 20
	Forever bool           // without an end, as device identities without one need (IEEE 802.1AR)
	Curve   elliptic.Curve // P-256 or P-384; nil: P-256, which every board can verify
	Now     time.Time      // zero: time.Now
}

// ErrInUse means that another process works with the root's folder.
var ErrInUse = errors.New("in use by another process: wait until it has ended")

// Root is the offline root: its key, in this process's memory, and its folder,
// which is locked: one process at a time uses it. A Root is for one goroutine.
type Root struct {
	dir  string
	cert *x509.Certificate
	key  crypto.Signer
	lock *os.File
}

// Close lets others use the folder.
func (r *Root) Close() error { return r.lock.Close() }

// Certificate returns the root's certificate.
func (r *Root) Certificate() *x509.Certificate { return r.cert }

// CertificatePEM is the root's certificate as a file.
func (r *Root) CertificatePEM() []byte { return appendPEM(nil, labelCertificate, r.cert.Raw) }

// CreateRoot makes a root in a folder that is not there yet or is empty: an
// encrypted key file, the certificate, and the record of all it signs. The
// folder appears complete or not at all. The caller closes the root.
func CreateRoot(dir string, c RootConfig, passphrase []byte) (*Root, error) {
	r, err := newRoot(c)
	if err != nil {
		return nil, fmt.Errorf("create root: %w", err)
	}
	sealed, err := sealKey(r.key, passphrase)
	if err != nil {
		return nil, fmt.Errorf("create root: %w", err)
	}
	if found, err := os.ReadDir(dir); err == nil && len(found) > 0 {
		return nil, fmt.Errorf("create root: %s %w", dir, ErrExists)
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, fmt.Errorf("create root: %w", err)
	}
	if r.dir, err = os.MkdirTemp(parent, ".root-*"); err != nil {
		return nil, fmt.Errorf("create root: %w", err)
	}
	defer os.RemoveAll(r.dir) // gone already if all went well
	if err := r.write(sealed, orNow(c.Now)); err != nil {
		return nil, fmt.Errorf("create root: %w", err)
	}
	made := r.dir
	if err := moveInto(made, dir); err != nil {
		return nil, fmt.Errorf("create root: %w", err)
	}
	lock, err := lockFile(filepath.Join(dir, rootLockFile))
	if err != nil {
		return nil, fmt.Errorf("create root: %w", err)
	}
	return &Root{dir: dir, cert: r.cert, key: r.key, lock: lock}, nil
}

// write fills the folder of a new root.
func (r *Root) write(sealed []byte, now time.Time) error {
	if err := os.Mkdir(filepath.Join(r.dir, issuedDir), 0o700); err != nil {
		return err
	}
	if err := writeNew(filepath.Join(r.dir, rootKeyFile), sealed, 0o600); err != nil {
		return err
	}
	if err := writeNew(filepath.Join(r.dir, rootCertFile), r.CertificatePEM(), 0o644); err != nil {
		return err
	}
	return r.note(now, RootEntry{Kind: "root", Certificate: r.cert})
}

// moveInto gives a finished folder its name, which may be that of an empty one.
func moveInto(made, dir string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(made, dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(filepath.Clean(dir)))
}

func newRoot(c RootConfig) (*Root, error) {
	if c.Years == 0 {
		c.Years = 20
	}
	if c.Years < 1 || c.Years > 50 {
		return nil, fmt.Errorf("%d years; allowed: 1 to 50", c.Years)
	}
	if c.Subject.CommonName == "" || len(c.Subject.CommonName) > 64 {
		return nil, errors.New("the subject needs a common name of 1 to 64 bytes")
	}
	if c.Curve == nil {
		c.Curve = elliptic.P256()
	}
	key, err := ecdsa.GenerateKey(c.Curve, rand.Reader)
	if err != nil {
		return nil, err
	}
	if err := ceremony.CheckCurve(key.Public()); err != nil {
		return nil, err
	}
	now := orNow(c.Now)
	cert := &x509.Certificate{
		SerialNumber: newSerial(), Subject: c.Subject,
		NotBefore: now.Add(-clockAllowance), NotAfter: now.AddDate(c.Years, 0, 0).Add(-time.Second),
		// RFC 5280 4.2.1.3, 4.2.1.9; without pathLen, as the TLS profile for devices has it.
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true, IsCA: true,
	}
	if c.Forever {
		cert.NotAfter = noEnd
	}
	r := &Root{key: key, cert: cert}
	r.cert, err = r.certify(cert, key.Public())
	return r, err
}

// OpenRoot opens the folder of a root. The key may also be one that openssl
// made and encrypted (see keyfile.go), beside its certificate.
// A wrong passphrase gives [ErrPassphrase], a folder that another process uses
// [ErrInUse]. The caller closes the root.
func OpenRoot(dir string, passphrase []byte) (*Root, error) {
	// A lock is made where a root is, not where somebody mistyped its folder.
	if _, err := os.Stat(filepath.Join(dir, rootCertFile)); err != nil {
		return nil, fmt.Errorf("open root: %w", err)
	}
	lock, err := lockFile(filepath.Join(dir, rootLockFile))
	if err != nil {
		return nil, fmt.Errorf("open root: %w", err)
	}
	r, err := openRoot(dir, passphrase)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	r.lock = lock
	return r, nil
}

func openRoot(dir string, passphrase []byte) (*Root, error) {
	text, err := readFile(filepath.Join(dir, rootCertFile))
	if err != nil {
		return nil, fmt.Errorf("open root: %w", err)
	}
	certs, err := parseCertificates(text)
	if err != nil {
		return nil, fmt.Errorf("open root: %s: %w", filepath.Join(dir, rootCertFile), err)
	}
	if len(certs) != 1 {
		return nil, fmt.Errorf("open root: %s holds %d certificates; allowed: the root's", filepath.Join(dir, rootCertFile), len(certs))
	}
	if text, err = readFile(filepath.Join(dir, rootKeyFile)); err != nil {
		return nil, fmt.Errorf("open root: %w", err)
	}
	key, err := openKey(text, passphrase)
	if err != nil {
		return nil, fmt.Errorf("open root: %s: %w", filepath.Join(dir, rootKeyFile), err)
	}
	r := &Root{dir: dir, cert: certs[0], key: key}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(r.cert.PublicKey) {
		return nil, fmt.Errorf("open root: %s is not the key of %s", rootKeyFile, rootCertFile)
	}
	if !isRoot(r.cert) {
		return nil, fmt.Errorf("open root: %q is no root: it must be CA:TRUE, may sign certificates, and be signed by itself", r.cert.Subject)
	}
	return r, nil
}

// certify signs a certificate with the root's key and reads it back.
func (r *Root) certify(c *x509.Certificate, public crypto.PublicKey) (*x509.Certificate, error) {
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("certify %q: %w", c.Subject, err)
	}
	c.SubjectKeyId = issuer.KeyIdentifier(spki)
	der, err := x509.CreateCertificate(rand.Reader, c, r.cert, public, r.key)
	if err != nil {
		return nil, fmt.Errorf("certify %q: %w", c.Subject, err)
	}
	return x509.ParseCertificate(der)
}

// newSerial draws a serial number as [issuer.Issuer] does: 16 bytes, positive.
func newSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:])
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

func orNow(t time.Time) time.Time {
	if t.IsZero() {
		t = time.Now()
	}
	return t.UTC().Truncate(time.Second)
}

// isRoot says whether a certificate is an issuer that issued itself. The
// command that most roots are made with, `openssl req -x509`, gives them no
// keyUsage, which RFC 5280 6.1.4 (n) forgives.
func isRoot(c *x509.Certificate) bool {
	return c.BasicConstraintsValid && c.IsCA && (c.KeyUsage == 0 || c.KeyUsage&x509.KeyUsageCertSign != 0) &&
		string(c.RawIssuer) == string(c.RawSubject) && c.CheckSignatureFrom(c) == nil
}
