// SPDX-License-Identifier: Apache-2.0

// Package audit tells whether a ledger is what it claims to be. It needs no database, TPM or cgo: it reads a [Source],
// hashes everything again, checks every signature, rebuilds what is derived and follows the life of every unit.
//
// What a ledger says of itself proves nothing about who wrote it: that takes an [Anchors] value from elsewhere.
package audit

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/record"
)

// Source is a ledger at one moment: a snapshot of the database, or a bundle. The order of what it yields is by epoch, then number.
type Source interface {
	Raw(ctx context.Context, epoch int, seq int64) iter.Seq2[record.Entry, error]
	Checkpoints(ctx context.Context) iter.Seq2[record.StoredCheckpoint, error]
	Blob(ctx context.Context, digest string) ([]byte, error)
}

// Derived is what a [Source] hands out besides if it stores what follows from the entries: it is rebuilt and compared.
type Derived interface {
	Nodes(ctx context.Context, epoch int) iter.Seq2[record.StoredNode, error]
	Claims(ctx context.Context) iter.Seq2[record.HeldClaim, error]
}

// Anchors is what the auditor knows from elsewhere. The zero value knows nothing.
type Anchors struct {
	// Root is the root certificate. The issuers found in the ledger and in Issuers must chain to it.
	Root    *x509.Certificate
	Issuers []*x509.Certificate

	// Keys are checkpoint keys, one for each epoch that is to be proven. Certificates are certificates of checkpoint keys:
	// one counts if Root issued it; it names the origin it speaks for.
	Keys         []*record.Verifier
	Certificates []*x509.Certificate

	// Lists are revocation lists of the root and of issuers below it, beside those in the ledger. Trust says whom the auditor
	// believes about TPMs; empty: what the root said of them is believed.
	Lists []*x509.RevocationList
	Trust ceremony.Trust

	// Nonce is what the auditor challenged the ledger's TPM with: an answer to another one, or none, is a finding. nil: they did not.
	Nonce []byte

	// Known are signed checkpoints seen earlier, on a bundle or a proof. The ledger must contain what they cover.
	Known [][]byte
}

// Finding is one thing that is wrong.
type Finding struct {
	Epoch int    `json:"epoch"`
	Seq   int64  `json:"entry"` // its number, 0 where the finding is not about one
	Area  string `json:"area"`  // entry, tree, checkpoint, seal, challenge, blob, claim, life, request, certificate, revocation, receipt, evidence, manifest or anchor
	What  string `json:"what"`
}

// maxSaid bounds a line for people, in bytes.
const maxSaid = 1 << 16

// String is for people: nothing that a ledger says is sent to their terminal as it is.
func (f Finding) String() string {
	text := f.Area + ": " + f.What
	if f.Seq != 0 {
		text = fmt.Sprintf("%s: entry %d of epoch %d %s", f.Area, f.Seq, f.Epoch, f.What)
	}
	return record.Plain(text, maxSaid)
}

// maxFindings bounds a report: a ledger that is wrong everywhere need not be listed.
const maxFindings = 1000

// Report is the result of an audit. Its names in JSON stay as they are; docs/ledger.md says what they mean.
type Report struct {
	Origins      []string `json:"origins"` // one for each epoch
	Entries      int64    `json:"entries"`
	Checkpoints  int64    `json:"checkpoints"`
	Uncovered    int64    `json:"uncovered"` // entries after the newest checkpoint
	Certificates int64    `json:"certificates"`
	Receipts     int64    `json:"receipts"`
	Passed       int64    `json:"passed"`        // runs
	Open         int64    `json:"open"`          // runs without an end
	Proven       bool     `json:"origin_proven"` // every checkpoint was signed by a key that the anchors vouch for
	ChainsProven bool     `json:"chains_proven"` // every certificate chains to the anchors' root
	TPMProven    bool     `json:"tpm_proven"`    // the root vouches for the TPM of every intermediate, and the evidence it saw says so
	TPMChecked   bool     `json:"tpm_checked"`   // and the anchors' own trust in vendors or endorsement keys was put in the root's place
	TPM          []string `json:"tpm"`           // what is known of the TPM, for each intermediate that was installed
	Revocations  int64    `json:"revocations"`   // certificates of units that were revoked
	Lists        int64    `json:"lists"`         // revocation lists
	Seals        int64    `json:"seals"`         // by the TPM's counter
	Certified    int64    `json:"certified"`     // of these, with the TPM's own signed word
	Unvouched    int64    `json:"unvouched"`     // of these, by a TPM that the root does not vouch for
	Unsealed     int64    `json:"unsealed"`      // entries after the last seal: what a roll-back could hide from who has only this ledger
	Unlisted     int64    `json:"unlisted"`      // revoked certificates that no list names yet
	Corrections  int64    `json:"corrections"`   // of entries: what each of these should have said
	Signoffs     int64    `json:"signoffs"`      // by people, counted again
	Wrong        int64    `json:"wrong"`         // findings, counted

	Findings []Finding `json:"findings"` // the first [maxFindings] of them

	// RevokedAuthorities names intermediates and checkpoint keys that somebody above them revoked.
	RevokedAuthorities []string `json:"revoked"`

	Epochs    []Extent  `json:"epochs"`
	Included  []string  `json:"included"`  // what is only shown to be in the ledger, and not whole
	Challenge *Answered `json:"challenge"` // nil: there is no answer, or it does not hold

	tpm        string // what is known of the newest intermediate's TPM
	challenged bool   // the auditor asked for an answer
	trusting   bool   // the auditor brought their own trust in TPMs
}

// OK reports whether nothing is wrong.
func (r *Report) OK() bool { return r.Wrong == 0 }

// Verdict is the report in one line.
func (r *Report) Verdict() string {
	content := fmt.Sprintf("%d entries, %d checkpoints, %d certificates, %d receipts, %d passed, %d open", r.Entries, r.Checkpoints, r.Certificates, r.Receipts, r.Passed, r.Open)
	switch {
	case !r.OK():
		return fmt.Sprintf("NOT VALID: %d findings in %s; first: %s", r.Wrong, content, r.Findings[0])
	case !r.Proven:
		content = "self-consistent, origin not proven: " + content
	default:
		content = prefix("valid", r.Grade()) + content
	}
	if !r.ChainsProven {
		content += "; no root given, certificate chains not proven"
	}
	if r.Uncovered > 0 {
		content += fmt.Sprintf("; the last %d entries are not covered by a checkpoint yet", r.Uncovered)
	}
	if r.Seals > 0 {
		content += fmt.Sprintf("; %d seals, %d certified by the TPM", r.Seals, r.Certified)
		if r.Unvouched > 0 {
			content += fmt.Sprintf(" (%d of these by one that no root vouches for)", r.Unvouched)
		}
		content += fmt.Sprintf(", %d entries after the last", r.Unsealed)
	}
	switch {
	case r.TPMProven:
		content += "; " + r.tpm
	case len(r.TPM) > 0:
		content += "; " + ceremony.NotProven
	}
	if r.TPMChecked {
		content += ", its endorsement key checked against what you trust"
	}
	content += r.Challenge.words()
	if r.Unlisted > 0 {
		content += fmt.Sprintf("; %d revoked certificates are on no list yet", r.Unlisted)
	}
	for _, c := range r.RevokedAuthorities {
		content += "; REVOKED: " + c
	}
	return record.Plain(content, maxSaid)
}

// auditor is one audit. The goroutine that walks owns everything but the report's findings.
type auditor struct {
	source    Source
	keys      map[record.Origin]*record.Verifier
	known     []record.Checkpoint
	certs     *certificates
	claims    record.ClaimSet
	life      life
	judgement judgement
	triage    triage
	trust     trust
	pool      pool
	nonce     []byte

	evidence evidence

	mu     sync.Mutex // guards the report's counters and findings, which the pool writes too
	report Report
}

// Verify audits a source. An error means that the audit could not be done (the source does not read, the context ended);
// everything that is wrong with the ledger is in the report.
func Verify(ctx context.Context, source Source, anchors Anchors) (*Report, error) {
	a := &auditor{source: source}
	if err := a.prepare(anchors); err != nil {
		return nil, err
	}
	return a.verify(ctx, anchors)
}

func (a *auditor) verify(ctx context.Context, anchors Anchors) (*Report, error) {
	a.pool.start(ctx)
	err := errors.Join(a.walk(ctx), ctx.Err())
	a.pool.wait()
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	a.judgeEvidence()
	a.report.ChainsProven = anchors.Root != nil && !a.found("certificate")
	a.report.Proven = a.report.Proven && len(a.report.Origins) > 0 && !a.found("checkpoint")
	slices.SortStableFunc(a.report.Findings, func(x, y Finding) int {
		return cmp.Or(cmp.Compare(x.Epoch, y.Epoch), cmp.Compare(x.Seq, y.Seq), cmp.Compare(x.Area, y.Area))
	})
	return &a.report, nil
}

func (a *auditor) wrong(epoch int, seq int64, area, format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.report.Wrong++
	if len(a.report.Findings) < maxFindings {
		a.report.Findings = append(a.report.Findings, Finding{epoch, seq, area, fmt.Sprintf(format, args...)})
	}
}

// found tells whether something is wrong there. Of more findings than are listed, some may be.
func (a *auditor) found(area string) bool {
	return a.report.Wrong > maxFindings || slices.ContainsFunc(a.report.Findings, func(f Finding) bool { return f.Area == area })
}

// prepare sorts the anchors. An anchor that cannot be used is a mistake of the caller's, not of the ledger.
func (a *auditor) prepare(anchors Anchors) error {
	a.report = Report{
		Proven: true, Origins: []string{}, TPM: []string{}, Findings: []Finding{}, RevokedAuthorities: []string{}, Epochs: []Extent{}, Included: []string{},
		challenged: anchors.Nonce != nil, trusting: len(anchors.Trust.Vendors)+len(anchors.Trust.Pins) > 0,
	}
	a.keys = map[record.Origin]*record.Verifier{}
	for _, v := range anchors.Keys {
		a.keys[v.Origin()] = v
	}
	a.certs = newCertificates(anchors.Root, anchors.Issuers)
	a.nonce = anchors.Nonce
	a.trust = newTrust()
	a.evidence = newEvidence(anchors)
	for _, c := range anchors.Certificates {
		if anchors.Root == nil {
			return errors.New("audit: a checkpoint key's certificate proves nothing without its root")
		}
		if err := c.CheckSignatureFrom(anchors.Root); err != nil {
			return fmt.Errorf("audit: checkpoint key's certificate %s was not issued by the given root: %w", c.Subject, err)
		}
		name, err := issuer.LedgerOrigin(c)
		if err != nil {
			return fmt.Errorf("audit: checkpoint key's certificate: %w", err)
		}
		origin, err := record.ParseOrigin(name)
		if err != nil {
			return fmt.Errorf("audit: checkpoint key's certificate: %w", err)
		}
		v, err := record.NewVerifier(origin, c.PublicKey)
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		if given := a.keys[origin]; given != nil && !bytes.Equal(c.RawSubjectPublicKeyInfo, given.SPKI()) {
			return fmt.Errorf("audit: given key and certificate of %s differ", origin)
		}
		a.keys[origin] = v
	}
	return a.prepareKnown(anchors.Known)
}

func (a *auditor) prepareKnown(known [][]byte) error {
	for _, note := range known {
		c, err := record.ReadCheckpoint(note)
		if err != nil {
			return fmt.Errorf("audit: known %w", err)
		}
		if v := a.keys[c.Origin]; v != nil {
			if _, err := v.Open(note); err != nil {
				return fmt.Errorf("audit: known %w", err)
			}
		}
		a.known = append(a.known, c)
	}
	slices.SortFunc(a.known, func(x, y record.Checkpoint) int {
		return cmp.Or(cmp.Compare(x.Origin.Epoch, y.Origin.Epoch), cmp.Compare(x.Size, y.Size))
	})
	return nil
}
