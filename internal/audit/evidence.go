// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/record"
)

// evidence is what the ca entries tell: which intermediates were installed, what the root says of their TPM and by which
// files, and what was revoked since.
type evidence struct {
	root  *x509.Certificate
	trust ceremony.Trust

	installed   []installed
	checkpoints []*x509.Certificate // of checkpoint keys, issued by root
	exchanges   []exchange
	chips       []*chip           // that sealed an epoch
	vouched     map[chipName]bool // chips the root vouches for
	lists       []*x509.RevocationList
	last        map[string]place // by the issuer's key: its last certificate
}

type place struct {
	epoch int
	seq   int64
	time  string
}

type installed struct {
	place
	cert *x509.Certificate
}

// knows says whether an intermediate was installed before: the same again changes nothing.
func (e *evidence) knows(digest string) bool {
	return slices.ContainsFunc(e.installed, func(i installed) bool { return digestHex(i.cert.Raw) == digest })
}

// exchange is one answered challenge, with what was read of it.
type exchange struct {
	place
	request   *ceremony.Request
	challenge *ceremony.Challenge
	answer    *ceremony.Answer
}

// maxEvidence bounds what is remembered: a station is certified a few times in its life.
const maxEvidence = 1000

func newEvidence(a Anchors) evidence {
	e := evidence{root: a.Root, trust: a.Trust, last: map[string]place{}, vouched: map[chipName]bool{}, lists: slices.Clone(a.Lists)}
	for _, c := range a.Certificates {
		e.addCheckpoint(c)
	}
	return e
}

// addCheckpoint takes a checkpoint key's certificate if the root issued it: what it says of the TPM is the root's word.
func (e *evidence) addCheckpoint(c *x509.Certificate) {
	if e.root != nil && c.CheckSignatureFrom(e.root) == nil && len(e.checkpoints) < maxEvidence {
		e.checkpoints = append(e.checkpoints, c)
	}
}

// signed remembers which certificate was an issuer's last one.
func (e *evidence) signed(entry record.Entry) {
	e.last[entry.Body.IssuerKey] = place{entry.Epoch, entry.Seq, entry.Body.Time}
}

// gather takes what a ca entry holds.
func (a *auditor) gather(ctx context.Context, e record.Entry) {
	b, at := e.Body, place{e.Epoch, e.Seq, e.Body.Time}
	if b.CheckpointCert != "" {
		if c := parsed(a, ctx, e, "checkpoint_cert_sha256", b.CheckpointCert, x509.ParseCertificate); c != nil {
			a.evidence.addCheckpoint(c)
		}
	}
	if b.CRL != "" && len(a.evidence.lists) < maxEvidence {
		if l := parsed(a, ctx, e, "crl_sha256", b.CRL, x509.ParseRevocationList); l != nil {
			a.evidence.lists = append(a.evidence.lists, l)
		}
	}
	if b.Action == "installed" && b.Cert != "" && len(a.evidence.installed) < maxEvidence && !a.evidence.knows(b.Cert) {
		if der, err := a.source.Blob(ctx, b.Cert); err == nil {
			if c, err := x509.ParseCertificate(der); err == nil {
				a.evidence.installed = append(a.evidence.installed, installed{at, c})
			}
		}
	}
	if b.Action != "answered" {
		if b.Request != "" {
			a.blob(ctx, e, "request_sha256", b.Request)
		}
		return
	}
	x := exchange{
		place:     at,
		request:   parsed(a, ctx, e, "request_sha256", b.Request, ceremony.ParseRequest),
		challenge: parsed(a, ctx, e, "challenge_sha256", b.Challenge, ceremony.ParseChallenge),
		answer:    parsed(a, ctx, e, "answer_sha256", b.Answer, ceremony.ParseAnswer),
	}
	if x.request != nil && x.challenge != nil && x.answer != nil && len(a.evidence.exchanges) < maxEvidence {
		a.evidence.exchanges = append(a.evidence.exchanges, x)
	}
}

// parsed fetches what an entry names and reads it; nil, and a finding, where that fails.
func parsed[T any](a *auditor, ctx context.Context, e record.Entry, field, digest string, parse func([]byte) (*T, error)) *T {
	raw := a.blob(ctx, e, field, digest)
	if raw == nil {
		return nil
	}
	t, err := parse(raw)
	if err != nil {
		a.wrong(e.Epoch, e.Seq, "evidence", "names %s, which does not read: %v", field, err)
		return nil
	}
	return t
}

// judgeEvidence finds out again what the root found out: for every intermediate that was installed, whether the root
// vouches for its TPM and whether the files it saw say so.
func (a *auditor) judgeEvidence() {
	v := &a.evidence
	a.report.TPMProven = len(v.installed) > 0
	for _, i := range v.installed {
		proof, err := v.prove(i.cert)
		if err != nil {
			a.wrong(i.epoch, i.seq, "evidence", "installed an intermediate whose TPM the root calls proven, but %v", err)
			proof = nil
		}
		a.report.TPMProven = a.report.TPMProven && proof != nil
		a.report.TPM = append(a.report.TPM, fmt.Sprintf("%s: %s", i.cert.Subject, proof))
		a.report.tpm = proof.String()
	}
	for _, c := range v.chips {
		if !v.vouched[c.name] {
			a.report.Unvouched += *c.words
		}
	}
	a.report.TPMChecked = a.report.TPMProven && a.report.trusting
	if c := a.report.Challenge; c != nil {
		c.Proven = v.vouched[c.chip.name]
	}
	a.judgeRevoked()
}

// prove looks for the root's word about the TPM of an intermediate and checks the evidence for it. Without a word of the
// root nothing is proven, and nothing is wrong either.
func (v *evidence) prove(cert *x509.Certificate) (*ceremony.Proof, error) {
	spki, err := ceremony.SPKI(cert.PublicKey)
	if err != nil {
		return nil, err
	}
	var said *ceremony.Proof
	for _, c := range v.checkpoints {
		p, err := ceremony.ProofIn(c)
		if err != nil {
			return nil, err
		}
		if p == nil || p.CA != spki {
			continue
		}
		// A restore keeps the intermediate's key, and takes another counter: what the root said before that is good for the epoch before.
		// It need not be in the ledger any more.
		if said != nil {
			_ = v.vouch(said)
		}
		said = p
	}
	if said == nil {
		return nil, nil
	}
	if err := v.vouch(said); err != nil {
		return nil, err
	}
	return said, nil
}

// vouch finds the evidence for the root's word, and believes the chip that it is about.
func (v *evidence) vouch(said *ceremony.Proof) error {
	for _, x := range v.exchanges {
		if ceremony.Digest(x.request.Digest(), x.challenge.Digest(), x.answer.Digest()) != said.Evidence {
			continue
		}
		if err := ceremony.Check(said, x.request, x.challenge, x.answer, v.root, v.trust); err != nil {
			return fmt.Errorf("the evidence in entry %d of epoch %d does not show it: %w", x.seq, x.epoch, err)
		}
		if c := chipOf(x); c != nil {
			v.vouched[c.name] = true
		}
		return nil
	}
	return fmt.Errorf("the ledger does not hold the evidence %x that it saw", said.Evidence)
}

// judgeRevoked looks every authority of the ledger up in the lists of those above it.
func (a *auditor) judgeRevoked() {
	v := &a.evidence
	certs := slices.Clone(v.checkpoints)
	for _, i := range v.installed {
		certs = append(certs, i.cert)
	}
	seen, good := map[string]bool{}, map[string]bool{} // certificates named; keys that still have a certificate
	type taken struct {
		cert *x509.Certificate
		at   time.Time
	}
	var back []taken
	for _, c := range certs {
		at, reason, found := v.revoked(c, a.certs.above(c))
		if !found {
			good[string(c.SubjectKeyId)] = true
			continue
		}
		if !seen[string(c.Raw)] {
			seen[string(c.Raw)] = true
			back = append(back, taken{c, at})
			a.report.RevokedAuthorities = append(a.report.RevokedAuthorities,
				fmt.Sprintf("%s, serial %s, since %s, reason %s", c.Subject, hexSerial(c), at.UTC().Format(time.RFC3339), reasonName(reason)))
		}
	}
	for _, t := range back {
		last, issued := v.last[hex.EncodeToString(t.cert.SubjectKeyId)]
		when, err := record.ParseTime(last.time)
		if issued && err == nil && t.cert.IsCA && !good[string(t.cert.SubjectKeyId)] && !when.Before(t.at) {
			a.wrong(last.epoch, last.seq, "certificate", "is signed by %s after that was revoked at %s", t.cert.Subject, t.at.UTC().Format(time.RFC3339))
		}
	}
}

func reasonName(code int) string {
	for _, r := range issuer.RevocationReasons() {
		if r.Code == code {
			return r.Name
		}
	}
	return fmt.Sprintf("code %d", code)
}

// revoked looks a certificate up in the lists that by signed.
func (v *evidence) revoked(c, by *x509.Certificate) (at time.Time, reason int, found bool) {
	if by == nil {
		return at, 0, false
	}
	for _, l := range v.lists {
		if !bytes.Equal(l.RawIssuer, by.RawSubject) || l.CheckSignatureFrom(by) != nil {
			continue
		}
		for _, e := range l.RevokedCertificateEntries {
			if e.SerialNumber.Cmp(c.SerialNumber) == 0 {
				return e.RevocationTime, e.ReasonCode, true
			}
		}
	}
	return at, 0, false
}

// above is the certificate that issued c, among the issuers and the root; nil if it is not known.
func (c *certificates) above(cert *x509.Certificate) *x509.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.root != nil && cert.CheckSignatureFrom(c.root) == nil {
		return c.root
	}
	for _, by := range c.issuers[hex.EncodeToString(cert.AuthorityKeyId)] {
		if cert.CheckSignatureFrom(by) == nil {
			return by
		}
	}
	return nil
}
