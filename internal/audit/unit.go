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
	"iter"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/record/dossier"
)

// UnitReport is the result of judging a unit's file: what is in it is in the ledger. That nothing was left out it cannot say.
type UnitReport struct {
	*Report
	Unit   string   `json:"unit"`
	Ledger []string `json:"ledger"` // the checkpoints that the entries are under, as "ulm/st-07/1 (4711 entries)"
	Last   string   `json:"last"`   // kind of the last entry, and how it ended
}

// Verdict is the report in one line.
func (r *UnitReport) Verdict() string {
	content := fmt.Sprintf("%d entries of unit %s, %d certificates, %d receipts, last: %s", r.Entries, r.Unit, r.Certificates, r.Receipts, r.Last)
	switch {
	case !r.OK():
		return fmt.Sprintf("NOT VALID: %d findings in %s; first: %s", r.Wrong, content, r.Findings[0])
	case r.Proven:
		content = prefix("included", r.Grade()) + content
	default:
		content = "self-consistent, origin not proven: " + content
	}
	for i, l := range r.Ledger {
		content += []string{"; in ", ", "}[min(i, 1)] + l
	}
	if !r.ChainsProven {
		content += "; no root given, certificate chains not proven"
	}
	if r.Revocations > 0 {
		content += fmt.Sprintf("; REVOKED: %d of the unit's certificates", r.Revocations)
	}
	for _, c := range r.RevokedAuthorities {
		content += "; REVOKED: " + c
	}
	return record.Plain(content+"; whether the ledger holds more about it, this file cannot tell", maxSaid)
}

// unitSource hands an auditor what a unit's file has: its entries are not a ledger.
type unitSource struct{ *dossier.Dossier }

func (s unitSource) Blob(_ context.Context, digest string) ([]byte, error) {
	return s.Dossier.Blob(digest)
}

var errPart = errors.New("audit: a unit's file is not a ledger")

func (unitSource) Raw(context.Context, int, int64) iter.Seq2[record.Entry, error] {
	return func(yield func(record.Entry, error) bool) { yield(record.Entry{}, errPart) }
}

func (unitSource) Checkpoints(context.Context) iter.Seq2[record.StoredCheckpoint, error] {
	return func(yield func(record.StoredCheckpoint, error) bool) { yield(record.StoredCheckpoint{}, errPart) }
}

// unitAuditor judges one unit's file.
type unitAuditor struct {
	*auditor
	d           *dossier.Dossier
	report      *UnitReport
	checkpoints map[int]record.Checkpoint // by epoch
	notes       map[int][]byte
	issued      map[string]bool // certificates that an entry here issued
}

// VerifyUnit judges a unit's file: every entry is proven to be in the ledger, is about the unit, and its certificates, requests and
// receipts are what it says they are. An error means that it could not be judged.
func VerifyUnit(ctx context.Context, d *dossier.Dossier, anchors Anchors) (*UnitReport, error) {
	a := &auditor{source: unitSource{d}}
	if err := a.prepare(anchors); err != nil {
		return nil, err
	}
	u := &unitAuditor{
		auditor: a, d: d, report: &UnitReport{Report: &a.report, Unit: d.Manifest.Unit},
		checkpoints: map[int]record.Checkpoint{}, notes: map[int][]byte{}, issued: map[string]bool{},
	}
	for _, e := range d.Entries {
		if e.Body.Kind == record.KindCA {
			a.authority(ctx, e.Entry) // so that chains are complete before a certificate is judged
		}
	}
	for _, held := range a.certs.issuers {
		for _, c := range held {
			a.evidence.installed = append(a.evidence.installed, installed{cert: c})
		}
	}
	for _, e := range d.Entries {
		u.entry(ctx, e)
	}
	u.strangers()
	u.manifest()
	a.judgeRevoked()
	a.report.ChainsProven = anchors.Root != nil && !a.found("certificate")
	a.report.Proven = a.report.Proven && a.report.Entries > 0 && !a.found("proof") && !a.found("manifest")
	return u.report, ctx.Err()
}

func (u *unitAuditor) entry(ctx context.Context, e dossier.Proven) {
	u.report.Entries++
	u.proof(e)
	b := e.Body
	u.report.Last = b.Kind
	if b.Outcome != "" {
		u.report.Last += " " + b.Outcome
	}
	switch b.Kind {
	case record.KindIssuing:
		u.blob(ctx, e.Entry, "tbs_sha256", b.TBS)
		u.request(e.Entry, u.blob(ctx, e.Entry, "csr_sha256", b.CSR))
	case record.KindIssued, record.KindRenewed:
		u.report.Certificates++
		u.issued[b.Cert] = true
		u.evidence.signed(e.Entry)
		tbs := u.blob(ctx, e.Entry, "tbs_sha256", b.TBS)
		if der := u.blob(ctx, e.Entry, "cert_sha256", b.Cert); der != nil {
			u.certificate(e.Entry, der, tbs)
		}
	case record.KindRevoked:
		u.revoke(ctx, e.Entry)
	case record.KindEnd:
		if b.Console != "" {
			u.blob(ctx, e.Entry, "console_sha256", b.Console)
		}
		if b.Outcome == record.Passed && !u.issued[b.Cert] {
			u.wrong(e.Epoch, e.Seq, "life", "passed with a certificate that no entry here issued")
		}
		if b.Receipt != nil {
			u.report.Receipts++
			if der := u.blob(ctx, e.Entry, "cert_sha256", b.Cert); der != nil {
				u.receipt(e.Entry, der)
			}
		}
	}
}

// proof checks that an entry is in the tree of its epoch, and that the tree's root is signed.
func (u *unitAuditor) proof(e dossier.Proven) {
	wrong := func(format string, args ...any) { u.wrong(e.Epoch, e.Seq, "proof", format, args...) }
	if u.notes[e.Epoch] == nil {
		u.checkpoint(e, wrong)
	}
	if !bytes.Equal(u.notes[e.Epoch], e.Proof.Checkpoint) {
		wrong("is under another checkpoint than those before it")
	}
	c, ok := u.checkpoints[e.Epoch]
	switch {
	case !ok:
	case e.Body.Station != c.Origin.Station:
		wrong("is of station %s in the ledger of %s", e.Body.Station, c.Origin)
	case e.Proof.Index >= c.Size || tlog.CheckRecord(e.Proof.Hashes, c.Size, c.Root, e.Proof.Index, e.Leaf) != nil:
		wrong("is NOT INCLUDED in the ledger: its proof does not lead to the root of the tree")
	}
}

// checkpoint judges the checkpoint of an epoch, by its first entry here.
func (u *unitAuditor) checkpoint(e dossier.Proven, wrong func(string, ...any)) {
	u.notes[e.Epoch] = e.Proof.Checkpoint
	c, err := record.ReadCheckpoint(e.Proof.Checkpoint)
	switch {
	case err != nil:
		wrong("has a %v", err)
		return
	case c.Origin.Epoch != e.Epoch || c.Origin.Station != u.d.Manifest.Station:
		wrong("has a checkpoint of %s", c.Origin)
		return
	}
	u.checkpoints[e.Epoch] = c
	u.report.Checkpoints++
	u.report.Origins = append(u.report.Origins, c.Origin.String())
	u.report.Ledger = append(u.report.Ledger, fmt.Sprintf("%s (%d entries)", c.Origin, c.Size))
	u.report.Included = append(u.report.Included, fmt.Sprintf("what is here of unit %s, in %s as it was with %d entries", u.report.Unit, c.Origin, c.Size))
	v := u.keys[c.Origin]
	if v == nil {
		u.auditor.report.Proven = false
		return
	}
	if _, err := v.Open(e.Proof.Checkpoint); err != nil {
		wrong("has a checkpoint that is not signed by the key of %s: %v", c.Origin, err)
	}
}

// request checks the certificate request that an issuing entry names: the unit signed it with the key that was certified.
func (u *unitAuditor) request(e record.Entry, der []byte) {
	if der == nil {
		return
	}
	r, err := x509.ParseCertificateRequest(der)
	if err == nil {
		err = r.CheckSignature()
	}
	if err != nil {
		u.wrong(e.Epoch, e.Seq, "certificate", "stores a request that does not hold: %v", err)
		return
	}
	if sum := sha256.Sum256(r.RawSubjectPublicKeyInfo); hex.EncodeToString(sum[:]) != e.Body.SPKI {
		u.wrong(e.Epoch, e.Seq, "certificate", "stores a request for another key")
	}
}

// strangers finds entries that nothing ties to the unit: by serial, board, run or certificate, step by step.
func (u *unitAuditor) strangers() {
	known := map[string]bool{"serial " + u.d.Manifest.Unit: true}
	rest := slices.DeleteFunc(slices.Clone(u.d.Entries), func(e dossier.Proven) bool { return e.Body.Kind == record.KindCA })
	for found := true; found; {
		before := len(rest)
		rest = slices.DeleteFunc(rest, func(e dossier.Proven) bool {
			ties := ties(e.Body)
			if !slices.ContainsFunc(ties, func(t string) bool { return known[t] }) {
				return false
			}
			for _, t := range ties {
				known[t] = true
			}
			return true
		})
		found = len(rest) < before
	}
	for _, e := range rest {
		u.wrong(e.Epoch, e.Seq, "entry", "is not about unit %s", u.d.Manifest.Unit)
	}
}

func ties(b record.Body) (all []string) {
	for name, value := range map[string]string{"serial ": b.Serial, "board ": b.Unit(), "run ": b.Run, "certificate ": b.Cert} {
		if value != "" {
			all = append(all, name+value)
		}
	}
	return all
}

// manifest checks that the ledger recorded this file, after all that is in it.
func (u *unitAuditor) manifest() {
	c, err := record.ReadCheckpoint(u.d.Proof.Checkpoint)
	if err != nil {
		u.wrong(0, 0, "manifest", "was recorded under a %v", err)
		return
	}
	last := u.d.Entries[len(u.d.Entries)-1]
	if c.Origin.Station != u.d.Manifest.Station || c.Origin.Epoch < last.Epoch || c.Origin.Epoch == last.Epoch && u.d.Proof.Index < last.Seq {
		u.wrong(c.Origin.Epoch, 0, "manifest", "was recorded as entry %d of %s, which is not after what it lists", u.d.Proof.Index+1, c.Origin)
	}
	u.recorded(c, u.d.Entry, u.d.Proof, "manifest")
}

// recorded checks that an export entry is in the ledger.
func (a *auditor) recorded(c record.Checkpoint, entry []byte, proof record.Proof, area string) {
	v := a.keys[c.Origin]
	if v == nil {
		a.report.Proven = false
		if proof.Index >= c.Size || tlog.CheckRecord(proof.Hashes, c.Size, c.Root, proof.Index, record.Leaf(entry)) != nil {
			a.wrong(c.Origin.Epoch, proof.Index+1, area, "is NOT INCLUDED in the ledger")
		}
		return
	}
	if _, err := proof.Verify(v, entry); err != nil {
		a.wrong(c.Origin.Epoch, proof.Index+1, area, "was not recorded by the ledger of %s: %v", c.Origin, err)
	}
}

// Found is what is wrong, as far as it is listed, and how much more there is.
func (r *Report) Found() (findings []Finding, more int64) {
	return r.Findings, r.Wrong - int64(len(r.Findings))
}

// VerifyExport judges a file that was exported with its proof: digest is the SHA-256 of the file, lower-case hex, entry the export
// entry that names it. An error means that it could not be judged.
func VerifyExport(digest string, entry []byte, proof record.Proof, anchors Anchors) (*ExportReport, error) {
	a := &auditor{}
	if err := a.prepare(anchors); err != nil {
		return nil, err
	}
	r := &ExportReport{Report: &a.report}
	a.report.Entries, a.report.Checkpoints = 1, 1
	body, err := record.Decode(entry)
	if err != nil {
		a.wrong(0, proof.Index+1, "entry", "is not one this program writes: %v", err)
		return r, nil
	}
	c, err := record.ReadCheckpoint(proof.Checkpoint)
	if err != nil {
		a.wrong(0, proof.Index+1, "proof", "has a %v", err)
		return r, nil
	}
	a.report.Origins = []string{c.Origin.String()}
	r.What = fmt.Sprintf("%s of %d entries, exported by %s on %s as entry %d of %s", body.Format, body.Count, body.Operator, body.Time, proof.Index+1, c.Origin)
	if body.Filter != "" {
		r.What += ", selection " + body.Filter
	}
	if body.Kind != record.KindExport || body.FileDigest != digest {
		a.wrong(c.Origin.Epoch, proof.Index+1, "file", "does not speak of this file: it was changed, or is another one")
	}
	if body.Station != c.Origin.Station {
		a.wrong(c.Origin.Epoch, proof.Index+1, "entry", "is of station %s in the ledger of %s", body.Station, c.Origin)
	}
	a.report.Included = append(a.report.Included, fmt.Sprintf("the export entry, as number %d of %s with %d entries; whether the file has all that it should, only a bundle shows", proof.Index+1, c.Origin, c.Size))
	a.recorded(c, entry, proof, "proof")
	a.report.Proven = a.report.Proven && a.report.OK()
	return r, nil
}

// ExportReport is the result of judging an exported file.
type ExportReport struct {
	*Report
	What string `json:"what"`
}

// Verdict is the report in one line.
func (r *ExportReport) Verdict() string {
	switch {
	case !r.OK():
		return fmt.Sprintf("NOT VALID: %d findings; first: %s", r.Wrong, r.Findings[0])
	case r.Proven:
		return "recorded, origin proven: " + r.What
	}
	return "self-consistent, origin not proven: " + r.What
}
