// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"

	"provisioning.example/station/internal/record"
)

// certificates are the issuers known so far, by subject key id in hex. One key may have several certificates: a root can certify it anew.
type certificates struct {
	root *x509.Certificate

	mu      sync.Mutex // guards what follows: the walker adds, the pool asks
	issuers map[string][]*x509.Certificate
	found   map[string]paths               // by the id of their first issuer
	signed  map[[2]*x509.Certificate]error // what came out of each check: the second may have signed the first
	checks  int                            // signatures that were checked
}

// paths is what was found for an issuer's key.
type paths struct {
	paths [][]*x509.Certificate
	err   error
}

// maxSameKey bounds the certificates of one key that are remembered. All of them may have signed all others of another key, and a
// ledger brings its own.
const maxSameKey = 16

func newCertificates(root *x509.Certificate, issuers []*x509.Certificate) *certificates {
	c := &certificates{root: root, issuers: map[string][]*x509.Certificate{}, found: map[string]paths{}, signed: map[[2]*x509.Certificate]error{}}
	for _, i := range issuers {
		c.add(i)
	}
	return c
}

func (c *certificates) add(issuer *x509.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := hex.EncodeToString(issuer.SubjectKeyId)
	if len(c.issuers[id]) < maxSameKey && !slices.ContainsFunc(c.issuers[id], issuer.Equal) {
		c.issuers[id] = append(c.issuers[id], issuer)
		clear(c.found)
	}
}

// maxPath bounds the issuers between a unit's certificate and the root.
const maxPath = 3

// paths returns, for each certificate of an issuer's key, the issuers from that one to the last below the root, each checked against
// the next, and against the root where one is given. It is an error when there is none that holds; then the first that does not, if
// any, is returned with it.
func (c *certificates) paths(id string) ([][]*x509.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, known := c.found[id]; known {
		return p.paths, p.err
	}
	first := errors.New("its issuer is neither in the ledger nor given")
	var held, broken [][]*x509.Certificate
	for n, issuer := range c.issuers[id] {
		path, err := c.path([]*x509.Certificate{issuer})
		if err == nil {
			held = append(held, path)
			continue
		}
		if broken = append(broken, path); n == 0 {
			first = err
		}
	}
	if len(held) == 0 {
		c.found[id] = paths{broken, first}
		return broken, first
	}
	c.found[id] = paths{held, nil}
	return held, nil
}

// issued checks whether by signed cert, once. c.mu is held.
func (c *certificates) issued(cert, by *x509.Certificate) error {
	pair := [2]*x509.Certificate{cert, by}
	err, known := c.signed[pair]
	if !known {
		c.checks++
		err = cert.CheckSignatureFrom(by)
		c.signed[pair] = err
	}
	return err
}

// path goes on from the last issuer of a path up to the root. c.mu is held.
func (c *certificates) path(path []*x509.Certificate) ([]*x509.Certificate, error) {
	last := path[len(path)-1]
	above := slices.DeleteFunc(slices.Clone(c.issuers[hex.EncodeToString(last.AuthorityKeyId)]), last.Equal)
	switch {
	case c.root != nil && c.issued(last, c.root) == nil, c.root == nil && len(above) == 0:
		return path, nil
	case len(above) == 0 || len(path) == maxPath:
		return path, fmt.Errorf("issuer %s does not chain to the given root", last.Subject)
	}
	var first error
	for _, next := range above {
		err := c.issued(last, next)
		if err != nil {
			err = fmt.Errorf("issuer %s was not issued by %s: %w", last.Subject, next.Subject, err)
		} else {
			var whole []*x509.Certificate
			if whole, err = c.path(append(slices.Clone(path), next)); err == nil {
				return whole, nil
			}
		}
		if first == nil {
			first = err
		}
	}
	return path, first
}

// authority takes an intermediate that a ca entry stores. An entry may name one that is not stored.
func (a *auditor) authority(ctx context.Context, e record.Entry) {
	if e.Body.Cert == "" {
		return
	}
	der, err := a.source.Blob(ctx, e.Body.Cert)
	if err != nil {
		return
	}
	if sum := sha256.Sum256(der); hex.EncodeToString(sum[:]) != e.Body.Cert {
		a.wrong(e.Epoch, e.Seq, "blob", "names cert_sha256 %s, but what is stored under it was changed", e.Body.Cert)
		return
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.wrong(e.Epoch, e.Seq, "certificate", "is of an issuer that does not parse: %v", err)
		return
	}
	a.certs.add(cert)
}

// certificate compares a certificate with its entry and the recorded TBS bytes, and checks who signed it.
func (a *auditor) certificate(e record.Entry, der, tbs []byte) {
	wrong := func(format string, args ...any) { a.wrong(e.Epoch, e.Seq, "certificate", format, args...) }
	b := e.Body
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		wrong("stores a certificate that does not parse: %v", err)
		return
	}
	if tbs != nil && !bytes.Equal(cert.RawTBSCertificate, tbs) {
		wrong("stores a certificate over other bytes than the recorded ones")
	}
	if spki := sha256.Sum256(cert.RawSubjectPublicKeyInfo); hex.EncodeToString(spki[:]) != b.SPKI {
		wrong("stores a certificate for another key")
	}
	if serial := hexSerial(cert); serial != b.CertSerial {
		wrong("stores a certificate with serial number %s, not %s", serial, b.CertSerial)
	}
	if b.CN != "" && cert.Subject.CommonName != b.CN {
		wrong("stores a certificate for the name %q, not %q", cert.Subject.CommonName, b.CN)
	}
	if record.Timestamp(cert.NotBefore) != b.NotBefore || record.Timestamp(cert.NotAfter) != b.NotAfter {
		wrong("stores a certificate with another validity: %s to %s", cert.NotBefore, cert.NotAfter)
	}
	if id := hex.EncodeToString(cert.AuthorityKeyId); id != b.IssuerKey {
		wrong("stores a certificate of issuer %s, not %s", id, b.IssuerKey)
	}
	paths, err := a.certs.paths(b.IssuerKey)
	if len(paths) == 0 && a.certs.root == nil {
		return // nothing to compare with: the verdict says that chains are not proven
	}
	if err != nil {
		wrong("stores a certificate whose chain is not proven: %v", err)
		return
	}
	signers := slices.DeleteFunc(slices.Clone(paths), func(path []*x509.Certificate) bool { return cert.CheckSignatureFrom(path[0]) != nil })
	if len(signers) == 0 {
		wrong("stores a certificate that %s did not sign: %v", paths[0][0].Subject, cert.CheckSignatureFrom(paths[0][0]))
		return
	}
	if !slices.ContainsFunc(signers, func(path []*x509.Certificate) bool { return !cert.NotAfter.After(path[0].NotAfter) }) {
		wrong("stores a certificate that outlives its issuer")
	}
}

// hexSerial is a serial number as whole bytes.
func hexSerial(cert *x509.Certificate) string { return hex.EncodeToString(cert.SerialNumber.Bytes()) }

// lockedState is the state of a board that is done (protocol, states).
const lockedState = 3

// receipt checks the board's own signature, and that it is about this unit and what the entry says was written.
func (a *auditor) receipt(e record.Entry, der []byte) {
	wrong := func(format string, args ...any) { a.wrong(e.Epoch, e.Seq, "receipt", format, args...) }
	b, r := e.Body, e.Body.Receipt
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		wrong("cannot be checked: the certificate does not parse: %v", err)
		return
	}
	if err := r.Verify(cert.PublicKey); err != nil {
		wrong("has a %v", err)
	}
	for _, f := range []struct{ name, have, want string }{
		{"uid", r.UID, b.UID},
		{"anchors digest", r.Anchors, b.Anchors},
		{"rework digest", r.Rework, b.Rework},
		{"chain digest", r.Chain, b.ChainReadBack},
	} {
		if f.have != f.want {
			wrong("has a receipt over %s %q, not %q", f.name, f.have, f.want)
		}
	}
	if b.Lock && r.State != lockedState {
		wrong("has a receipt of a board in state %d, which its product wants locked", r.State)
	}
	if root := a.certs.root; root != nil && r.Root != "" {
		if sum := sha256.Sum256(root.Raw); hex.EncodeToString(sum[:]) != r.Root {
			wrong("has a receipt of a board that pins another root")
		}
	}
	paths, err := a.certs.paths(hex.EncodeToString(cert.AuthorityKeyId))
	if err != nil || a.certs.root == nil {
		return
	}
	holds := func(path []*x509.Certificate) bool {
		// The chain object: leaf first, root left out (protocol, objects).
		chain := sha256.New()
		chain.Write(der)
		for _, issuer := range path {
			chain.Write(issuer.Raw)
		}
		return hex.EncodeToString(chain.Sum(nil)) == r.Chain
	}
	if !slices.ContainsFunc(paths, holds) {
		wrong("has a receipt over another chain than the unit's certificate and its issuers")
	}
}
