// SPDX-License-Identifier: Apache-2.0

package authority

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/issuer"
)

// Installation is what is to be installed, and the keys it must be for.
type Installation struct {
	// Certificates is PEM, in any order: the intermediate, whatever stands
	// between it and the root, the root, perhaps the checkpoint key's
	// certificate, perhaps revocation lists of the issuers above. Files may
	// simply stand one after another.
	Certificates []byte
	CA           crypto.PublicKey
	Checkpoint   crypto.PublicKey
	Replace      bool      // an intermediate that is installed is retired
	Now          time.Time // zero: time.Now
}

// Installed is a station's authority: certificates whose chain holds.
type Installed struct {
	Chain      []*x509.Certificate // intermediate first, root last
	Checkpoint *x509.Certificate   // of the checkpoint key; nil: the root certified none
	Origin     string              // of the ledger Checkpoint speaks for
	Proof      *ceremony.Proof     // what the root found out about the TPM; nil: nothing
	// CRLs are the newest revocation lists of the chain's issuers that the
	// station was given, at most one of each.
	CRLs []*x509.RevocationList
}

// TPM is what is known about the keys, in words.
func (i *Installed) TPM() string { return i.Proof.String() }

// Intermediate is the issuing certificate.
func (i *Installed) Intermediate() *x509.Certificate { return i.Chain[0] }

// Root is where the chain ends.
func (i *Installed) Root() *x509.Certificate { return i.Chain[len(i.Chain)-1] }

// Simulated says whether the intermediate's name says that its TPM is simulated.
func (i *Installed) Simulated() bool { return isSimulated(i.Chain[0].Subject.CommonName) }

// Install checks what came back from the root against the station's keys and
// its request and writes it into the ca folder as one file, in one step. What
// is refused leaves everything as it was.
//
// Installing the same again changes nothing; another intermediate where one is
// installed gives [ErrExists], unless Replace is set: then the old one is kept
// as retired-SERIAL.pem.
func Install(dir string, in Installation) (*Installed, error) {
	request, err := ReadRequest(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("install: there is no %s in %s: make a request first", requestFile, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("install: %w", err)
	}
	certs, lists, err := parseInstalled(in.Certificates)
	if err != nil {
		return nil, fmt.Errorf("install: %w", err)
	}
	installed, err := match(certs, request, in)
	if err == nil {
		err = installed.takeLists(dir, lists)
	}
	if err != nil {
		return nil, fmt.Errorf("install: %w", err)
	}
	if err := installed.write(dir, in.Replace); err != nil {
		return nil, fmt.Errorf("install: %w", err)
	}
	return installed, nil
}

// match finds the intermediate and the checkpoint key's certificate by their
// keys and holds them against request and root.
func match(certs []*x509.Certificate, q *ceremony.Request, in Installation) (*Installed, error) {
	now := orNow(in.Now)
	spki, err := ceremony.SPKI(in.CA)
	if err != nil {
		return nil, err
	}
	if spki != q.SPKI() {
		return nil, fmt.Errorf("the request in the folder is for another key than the TPM's: %x, not %x", q.SPKI(), spki)
	}
	intermediate, err := certified(certs, spki)
	if err != nil {
		return nil, fmt.Errorf("the intermediate's key: %w", err)
	}
	if intermediate == nil {
		return nil, fmt.Errorf("no certificate is for this station's key %x", spki)
	}
	// Compared as text: a root may write the same name in another string type.
	if intermediate.Subject.String() != q.Subject().String() {
		return nil, fmt.Errorf("the certificate names %q, the request %q", intermediate.Subject, q.Subject())
	}
	if err := checkIntermediate(intermediate); err != nil {
		return nil, err
	}
	installed := &Installed{}
	if installed.Chain, err = chainOf(intermediate, certs, now); err != nil {
		return nil, err
	}
	if q.CheckpointCSR() == nil {
		return installed, nil
	}
	return installed, installed.matchCheckpoint(certs, q, in, now)
}

// matchCheckpoint looks for the checkpoint key's certificate. A root that only
// openssl touches made none.
func (i *Installed) matchCheckpoint(certs []*x509.Certificate, q *ceremony.Request, in Installation, now time.Time) error {
	spki, err := ceremony.SPKI(in.Checkpoint)
	if err != nil {
		return err
	}
	if spki != q.CheckpointSPKI() {
		return fmt.Errorf("the request in the folder is for another checkpoint key than the TPM's: %x, not %x", q.CheckpointSPKI(), spki)
	}
	cert, err := certified(certs, spki)
	if err != nil || cert == nil {
		return err
	}
	if err := i.setCheckpoint(cert, now); err != nil {
		return err
	}
	if origin, _ := q.Origin(); i.Origin != origin.String() {
		return fmt.Errorf("the checkpoint key's certificate is for ledger %s, the request for %s", i.Origin, origin)
	}
	return nil
}

// setCheckpoint checks that the root itself certified the checkpoint key.
func (i *Installed) setCheckpoint(cert *x509.Certificate, now time.Time) error {
	origin, err := issuer.LedgerOrigin(cert)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(i.Root())
	options := x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	if _, err := cert.Verify(options); err != nil {
		return fmt.Errorf("the checkpoint key's certificate does not hold: %w", err)
	}
	proof, err := ceremony.ProofIn(cert)
	if err != nil {
		return fmt.Errorf("the checkpoint key's certificate: %w", err)
	}
	// A proof of an earlier ceremony says nothing about this intermediate.
	if ca, err := ceremony.SPKI(i.Intermediate().PublicKey); err == nil && proof != nil && proof.CA == ca {
		i.Proof = proof
	}
	i.Checkpoint, i.Origin = cert, origin
	return nil
}

// certified finds the one certificate for a key.
func certified(certs []*x509.Certificate, spki [32]byte) (found *x509.Certificate, err error) {
	for _, c := range certs {
		digest, err := ceremony.SPKI(c.PublicKey)
		if err != nil {
			return nil, err
		}
		if digest != spki {
			continue
		}
		if found != nil && !found.Equal(c) {
			return nil, errors.New("there are two certificates for it: give only the one to be installed")
		}
		found = c
	}
	return found, nil
}

// checkIntermediate holds a certificate against what the design asks of an
// intermediate, whoever signed it (RFC 5280 4.2.1).
func checkIntermediate(c *x509.Certificate) error {
	const usage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	switch {
	case !c.BasicConstraintsValid || !c.IsCA:
		return fmt.Errorf("%q is not an issuer: it must be made with the extensions of %s", c.Subject, extensionsFile)
	case c.MaxPathLen != 0 || !c.MaxPathLenZero:
		return fmt.Errorf("%q may have issuers below it: it must be made with pathlen:0, as in %s", c.Subject, extensionsFile)
	case c.KeyUsage&usage != usage:
		return fmt.Errorf("%q lacks keyUsage keyCertSign or cRLSign: it must be made with the extensions of %s", c.Subject, extensionsFile)
	case len(c.SubjectKeyId) == 0:
		return fmt.Errorf("%q has no subjectKeyIdentifier: it must be made with the extensions of %s", c.Subject, extensionsFile)
	}
	return ceremony.CheckCurve(c.PublicKey)
}

// chainOf orders and verifies the chain from the intermediate to the root.
// Devices are TLS clients, so no certificate above may exclude that use.
func chainOf(intermediate *x509.Certificate, certs []*x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	found := false
	for _, c := range certs {
		if isRoot(c) {
			roots.AddCert(c)
			found = true
		} else {
			between.AddCert(c)
		}
	}
	if !found {
		return nil, errors.New("the root's certificate is missing: add its file")
	}
	chains, err := intermediate.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, fmt.Errorf("the intermediate does not chain to the root: %w", err)
	}
	// A board takes the leaf and what is below the root.
	if most := issuer.MaxChain; len(chains[0]) > most {
		return nil, fmt.Errorf("chain of %d certificates above the device; allowed: %d", len(chains[0]), most)
	}
	return chains[0], nil
}

// write puts the certificates into the folder, and the lists beside them.
func (i *Installed) write(dir string, replace bool) error {
	var text []byte
	for _, c := range i.Chain {
		text = appendCertificate(text, c)
	}
	if i.Checkpoint != nil {
		text = appendCertificate(text, i.Checkpoint)
	}
	if err := i.writeChain(dir, text, replace); err != nil {
		return err
	}
	return i.writeLists(dir)
}

func (i *Installed) writeChain(dir string, text []byte, replace bool) error {
	path := filepath.Join(dir, installedFile)
	err := writeNew(path, text, 0o644)
	if !errors.Is(err, ErrExists) {
		return err
	}
	old, oldErr := readFile(path)
	if oldErr != nil {
		return oldErr
	}
	if bytes.Equal(old, text) {
		return nil
	}
	if !replace {
		return err
	}
	return i.retire(dir, path, text)
}

// retire keeps the installed file under another name before a new one takes
// its place. After a crash in between, the old one is simply still installed.
func (i *Installed) retire(dir, path string, text []byte) error {
	was, err := Load(dir)
	if err != nil {
		return err
	}
	retired := filepath.Join(dir, fmt.Sprintf("retired-%x.pem", was.Intermediate().SerialNumber))
	if err := os.Link(path, retired); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return writeOver(path, text, 0o644)
}

// Load reads what is installed in a ca folder and checks that it holds
// together. Dates are the issuer's business. Nothing installed gives
// [ErrNotInstalled].
func Load(dir string) (*Installed, error) {
	i, err := load(filepath.Join(dir, installedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotInstalled
	}
	if err != nil {
		return nil, err
	}
	return i, i.readLists(dir)
}

// load reads one file that [Install] wrote.
func load(path string) (*Installed, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	certs, err := parseCertificates(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	first := certs[0]
	if err := checkIntermediate(first); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	// The chain held when it was installed; it is looked at in a second in
	// which all of it was valid.
	i := &Installed{}
	if i.Chain, err = chainOf(first, certs, first.NotBefore); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	rest := slices.DeleteFunc(certs, func(c *x509.Certificate) bool { return c.IsCA })
	if len(rest) > 1 {
		return nil, fmt.Errorf("%s: %d certificates are not issuers; allowed: the checkpoint key's", path, len(rest))
	}
	if len(rest) == 1 {
		if err := i.setCheckpoint(rest[0], rest[0].NotBefore); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return i, nil
}

// parseCertificates reads a file of certificates and nothing else.
func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	certs, lists, err := parseInstalled(text)
	if err == nil && len(lists) > 0 {
		err = fmt.Errorf("read certificates: PEM block %q; allowed: %s", labelCRL, labelCertificate)
	}
	if err != nil {
		return nil, err
	}
	return certs, nil
}

// parseInstalled reads a file of certificates, which may hold revocation lists
// too.
func parseInstalled(text []byte) (certs []*x509.Certificate, lists []*x509.RevocationList, err error) {
	found, err := ceremony.Blocks(text)
	if err != nil {
		return nil, nil, fmt.Errorf("read certificates: %w", err)
	}
	for _, b := range found {
		switch b.Type {
		case labelCertificate:
			c, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				return nil, nil, fmt.Errorf("read certificates: %w", err)
			}
			certs = append(certs, c)
		case labelCRL:
			l, err := x509.ParseRevocationList(b.Bytes)
			if err != nil {
				return nil, nil, fmt.Errorf("read certificates: revocation list: %w", err)
			}
			lists = append(lists, l)
		default:
			return nil, nil, fmt.Errorf("read certificates: PEM block %.40q; allowed: %s, %s", b.Type, labelCertificate, labelCRL)
		}
	}
	if len(certs) == 0 && len(lists) == 0 {
		return nil, nil, errors.New("read certificates: there is none")
	}
	return certs, lists, nil
}
