// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/record"
)

// body starts an entry of this run with all that is known of the unit.
func (r *run) body(kind string) record.Body {
	c := r.st.cfg
	b := record.Body{
		Kind: kind, Run: r.id, Serial: r.serial, UID: r.uid(), Model: record.Plain(r.info.Model, 64),
		Slot: r.slot, Port: r.port, USB: r.usb, Order: r.work.name(), Attempt: r.attempt,
		Product: c.Product.Name(), ProductDigest: hexOf(c.Product.digest[:]),
		Profile: c.Profile.Name(), ConfigDigest: c.ConfigDigest,
		Hardware: record.Plain(r.info.HW, 64), FirmwareVersion: record.Plain(r.info.FW, 64),
		Anchors: digestHex(c.Product.anchors), Rework: digestHex(c.ReworkKeys), Lock: *c.Product.cfg.Lock,
	}
	d := c.Profile.Digest()
	b.ProfileDigest = hexOf(d[:])
	if r.info.UID != nil {
		prot := int(r.info.Prot)
		b.Prot = &prot
	}
	if r.spki != ([32]byte{}) {
		b.SPKI = hexOf(r.spki[:])
	}
	if r.flashing {
		b.Firmware, b.FirmwareDigest, b.FirmwareReported = record.Plain(c.Product.image.Name(), 128), r.fileDigest(), r.running
	}
	return r.st.stamp(b)
}

// append writes entries of this run; the first brings the begun entry along,
// in the same transaction.
func (r *run) append(ctx context.Context, b ledger.Batch) error {
	_, err := r.appendSeq(ctx, b)
	return err
}

// appendSeq is append, and tells the last entry's sequence number.
func (r *run) appendSeq(ctx context.Context, b ledger.Batch) (int64, error) {
	if !r.begun {
		begun := r.body(record.KindBegun)
		begun.Time = b.Bodies[0].Time // it rides with the first of them
		b.Bodies = slices.Insert(b.Bodies, 0, begun)
	}
	seqs, err := r.st.record(ctx, b)
	if err != nil {
		return 0, err
	}
	r.begun = true
	return seqs[len(seqs)-1], nil
}

// begin puts the begun entry on record by itself, with the claims of a unit
// whose key the ledger knows already.
func (r *run) begin(ctx context.Context) error {
	if r.claimed {
		return nil
	}
	b := r.body(record.KindBegun)
	b.Claims = r.claims()
	_, err := r.st.cfg.Ledger.Append(ctx, ledger.Batch{Bodies: []record.Body{b}})
	r.begun, r.claimed = err == nil, err == nil
	return err
}

// superseded is the entry for a certificate whose key is gone from the board;
// none when there is no such certificate.
func (r *run) superseded() []record.Body {
	old := r.history.issued
	if old == nil {
		return nil
	}
	return []record.Body{r.st.stamp(record.Body{
		Kind: record.KindRevoked, Run: r.id, Serial: old.Serial, Model: old.Model, UID: old.UID, SPKI: old.SPKI,
		Cert: old.Cert, CertSerial: old.CertSerial, IssuerKey: old.IssuerKey, Reason: "superseded",
	})}
}

// claims are the three names a live unit owns.
func (r *run) claims() []record.Claim {
	c := []record.Claim{
		{Kind: record.ClaimSerial, Value: r.serial},
		{Kind: record.ClaimUID, Value: r.info.Model + "/" + r.uid()},
		{Kind: record.ClaimSPKI, Value: hexOf(r.spki[:])},
	}
	if r.spki == ([32]byte{}) {
		return c[:2]
	}
	return c
}

// recordTBS settles the certificate that will be signed and records it. A TBS
// that an earlier run left unsigned for the same key is taken over as it is.
func (r *run) recordTBS(ctx context.Context) error {
	c := r.st.cfg
	if r.keep && r.unsigned() {
		tbs, err := c.Reader.Blob(ctx, r.history.issuing.TBS)
		if err != nil {
			return &fault{"F-RECORD-04", fmt.Errorf("read the unsigned certificate: %w", err)}
		}
		if err = c.Issuer.Fits(c.Profile, tbs, r.spki); err == nil {
			r.tbs = tbs
			return nil
		}
		r.log.Info("the unsigned certificate on record is made anew", "why", err)
	}
	if r.req == nil { // nothing was signed that left: the request is made anew
		if err := r.fetchRequest(ctx); err != nil {
			return err
		}
	}
	draft, err := c.Issuer.Prepare(c.Profile, r.req, r.unit())
	if errors.Is(err, issuer.ErrWindow) {
		return err
	}
	if err != nil {
		return &fault{"F-ISSUE-05", err}
	}
	if err := c.Issuer.CheckBoard(draft, issuer.Board{Verify: r.info.Verify, Max: r.info.Max, Root: r.info.Root}); err != nil {
		return err
	}
	b := r.body(record.KindIssuing)
	b.TBS, b.CSR = digestHex(draft.TBS()), digestHex(r.req.DER())
	b.CertSerial, b.IssuerKey, b.Alg = draft.Serial(), draft.KeyID(), r.req.Alg()
	b.Nonce, b.CN, b.CSRR = hexOf(r.nonce[:]), r.cn, hexOf(r.req.R())
	b.NotBefore, b.NotAfter = record.Timestamp(draft.NotBefore()), record.Timestamp(draft.NotAfter())
	if err := r.append(ctx, ledger.Batch{Bodies: []record.Body{b}, Blobs: [][]byte{draft.TBS(), r.req.DER()}}); err != nil {
		return err
	}
	r.tbs = draft.TBS()
	r.st.committed("issuing")
	return nil
}

// issued is the entry that lets a certificate leave.
func (r *run) issued(cert *issuer.Certificate) record.Body {
	b := r.body(record.KindIssued)
	b.Cert, b.CertSerial, b.TBS, b.CN = digestHex(cert.DER), cert.Serial, digestHex(r.tbs), r.cn
	b.IssuerKey = hexOf(cert.Parsed.AuthorityKeyId)
	b.NotBefore, b.NotAfter = record.Timestamp(cert.Parsed.NotBefore), record.Timestamp(cert.Parsed.NotAfter)
	return b
}

// object is one thing the station writes to a board.
type object struct {
	name string
	data []byte
}

// objects are what the board must store, in the order of commit's digests;
// an empty one is not written.
func (r *run) objects() [3]object {
	return [3]object{
		{"chain", r.chain},
		{"anchors", r.st.cfg.Product.anchors},
		{"rework", r.st.cfg.ReworkKeys},
	}
}

// stores tells whether the board says it holds exactly these objects.
func (r *run) stores() bool {
	have := [3]*[32]byte{r.info.Chain, r.info.Anchors, r.info.Rework}
	for i, o := range r.objects() {
		switch {
		case len(o.data) == 0 && have[i] == nil:
		case have[i] == nil || len(o.data) == 0 || *have[i] != sha256.Sum256(o.data):
			return false
		}
	}
	return true
}

// publicKey is the key in the unit's certificate.
func (r *run) publicKey() crypto.PublicKey {
	c, err := x509.ParseCertificate(r.cert)
	if err != nil {
		return nil // Proof.Verify refuses it
	}
	return c.PublicKey
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// digestHex is the SHA-256 of b in hex, "" for nothing.
func digestHex(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	d := sha256.Sum256(b)
	return hexOf(d[:])
}
