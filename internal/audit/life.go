// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"

	"provisioning.example/station/internal/record"
)

// life is what is remembered of all units while walking.
type life struct {
	issuing map[string]string   // digest of TBS bytes on record but not signed -> key
	keys    map[string]string   // key -> its live certificate
	serials map[string]bool     // serial numbers of certificates
	units   map[string][]string // model/uid -> its certified keys
	open    map[string]bool     // runs; true: a certificate was issued in it
}

// follow checks an entry against what went before.
func (a *auditor) follow(ctx context.Context, e record.Entry) {
	if a.life.open == nil {
		a.life = life{map[string]string{}, map[string]string{}, map[string]bool{}, map[string][]string{}, map[string]bool{}}
	}
	a.followRun(e)
	b := e.Body
	switch b.Kind {
	case record.KindKey, record.KindIssuing, record.KindIssued, record.KindProven, record.KindRenewed:
		a.alive(e)
	}
	switch b.Kind {
	case record.KindIssuing:
		a.life.issuing[b.TBS] = b.SPKI
		a.issuing(ctx, e)
	case record.KindKey:
		a.madeKey(e)
	case record.KindIssued, record.KindRenewed:
		if spki, ok := a.life.issuing[b.TBS]; !ok {
			a.wrong(e.Epoch, e.Seq, "life", "is a certificate without an issuing entry before it")
		} else if spki != b.SPKI {
			a.wrong(e.Epoch, e.Seq, "life", "is a certificate for another key than its issuing entry names")
		}
		delete(a.life.issuing, b.TBS)
		a.certify(ctx, e)
	case record.KindRevoked:
		a.revoke(ctx, e)
		if b.SPKI == "" { // it need not name the key
			maps.DeleteFunc(a.life.keys, func(_, cert string) bool { return cert == b.Cert })
		} else if a.life.keys[b.SPKI] == b.Cert {
			delete(a.life.keys, b.SPKI)
		}
	case record.KindRework, record.KindScrap:
		a.scrap(ctx, e)
		if b.Receipt != nil {
			a.receiptOf(ctx, e)
		}
		for _, spki := range a.life.units[b.Unit()] {
			delete(a.life.keys, spki)
		}
		delete(a.life.units, b.Unit())
	case record.KindEnd:
		a.endOf(ctx, e)
	case record.KindCRL:
		a.list(ctx, e)
	case record.KindCAVerify:
		a.own(ctx, e)
	case record.KindCA:
		if b.Action == "certified" {
			a.own(ctx, e)
			return
		}
		a.authority(ctx, e)
		a.gather(ctx, e)
	}
}

func (a *auditor) followRun(e record.Entry) {
	b := e.Body
	if b.Kind == record.KindIssuing && b.Run == "" {
		return // of a renewal
	}
	_, open := a.life.open[b.Run]
	switch b.Kind {
	case record.KindBegun:
		if open {
			a.wrong(e.Epoch, e.Seq, "life", "begins run %s a second time", b.Run)
		}
		a.life.open[b.Run] = false
		return
	case record.KindKey, record.KindIssuing, record.KindIssued, record.KindEnd:
	default:
		return
	}
	if !open {
		a.wrong(e.Epoch, e.Seq, "life", "is of run %s, which was not begun or has ended", b.Run)
	}
	switch b.Kind {
	case record.KindIssued:
		a.life.open[b.Run] = true
	case record.KindEnd:
		delete(a.life.open, b.Run)
	}
}

// certify follows a new certificate.
func (a *auditor) certify(ctx context.Context, e record.Entry) {
	b := e.Body
	der := a.blob(ctx, e, "cert_sha256", b.Cert)
	if b.Kind == record.KindRenewed {
		a.renew(ctx, e, der)
	}
	live := a.life.keys[b.SPKI]
	if live != "" && (b.Kind != record.KindRenewed || b.Predecessor != live) {
		a.wrong(e.Epoch, e.Seq, "life", "is a second certificate for key %s, which has %s", b.SPKI, live)
	}
	if a.life.serials[b.CertSerial] {
		a.wrong(e.Epoch, e.Seq, "life", "is a second certificate with serial number %s", b.CertSerial)
	}
	a.life.keys[b.SPKI] = b.Cert
	a.life.serials[b.CertSerial] = true
	a.life.units[b.Unit()] = append(a.life.units[b.Unit()], b.SPKI)
	a.report.Certificates++
	a.evidence.signed(e)
	tbs := a.blob(ctx, e, "tbs_sha256", b.TBS)
	if der == nil {
		return
	}
	a.pool.do(func() { a.certificate(e, der, tbs) })
}

// settle runs after the entry's claims: who gets a certificate must hold its serial, board and key.
func (a *auditor) settle(e record.Entry) {
	b := e.Body
	if b.Kind != record.KindIssued && b.Kind != record.KindRenewed {
		return
	}
	for _, c := range []record.Claim{{Kind: record.ClaimSerial, Value: b.Serial}, {Kind: record.ClaimUID, Value: b.Unit()}, {Kind: record.ClaimSPKI, Value: b.SPKI}} {
		if !a.claims.Holds(b.Unit(), c) {
			a.wrong(e.Epoch, e.Seq, "claim", "is a certificate for a unit that does not hold %s %s", c.Kind, c.Value)
		}
	}
}

// endOf follows the end of a run.
func (a *auditor) endOf(ctx context.Context, e record.Entry) {
	b := e.Body
	if b.Console != "" {
		a.blob(ctx, e, "console_sha256", b.Console)
	}
	if b.Outcome == record.Passed {
		a.report.Passed++
		if a.life.keys[b.SPKI] != b.Cert {
			a.wrong(e.Epoch, e.Seq, "life", "passed with a certificate that is not the live one of its key")
		}
	}
	if b.Receipt != nil {
		a.receiptOf(ctx, e)
	}
}

// receiptOf checks an entry's receipt under the certificate that the entry names.
func (a *auditor) receiptOf(ctx context.Context, e record.Entry) {
	b := e.Body
	a.report.Receipts++
	der, err := a.source.Blob(ctx, b.Cert)
	if err != nil {
		a.wrong(e.Epoch, e.Seq, "receipt", "cannot be checked: certificate %s is not stored", b.Cert)
		return
	}
	a.pool.do(func() { a.receipt(e, der) })
}

// blob fetches what an entry names and checks that it is that.
func (a *auditor) blob(ctx context.Context, e record.Entry, field, digest string) []byte {
	bytes, err := a.source.Blob(ctx, digest)
	if err != nil {
		a.wrong(e.Epoch, e.Seq, "blob", "names %s %s, which is not stored: %v", field, digest, err)
		return nil
	}
	if sum := sha256.Sum256(bytes); hex.EncodeToString(sum[:]) != digest {
		a.wrong(e.Epoch, e.Seq, "blob", "names %s %s, but what is stored under it was changed", field, digest)
		return nil
	}
	return bytes
}

func (a *auditor) finishLife() {
	a.report.Open = int64(len(a.life.open))
	a.finishTrust()
}

// compareClaims compares the claims rebuilt from the entries with the stored ones.
func (a *auditor) compareClaims(ctx context.Context) error {
	stored, ok := a.source.(Derived)
	if !ok {
		return nil
	}
	rebuilt := map[record.HeldClaim]bool{}
	for _, c := range a.claims.Held() {
		rebuilt[c] = true
	}
	for c, err := range stored.Claims(ctx) {
		if err != nil {
			return err
		}
		if !rebuilt[c] {
			a.wrong(c.Epoch, c.Seq, "claim", "is said to hold %s %s; by the entries it does not", c.Kind, c.Value)
		}
		delete(rebuilt, c)
	}
	for c := range rebuilt {
		a.wrong(c.Epoch, c.Seq, "claim", "holds %s %s by the entries, but that is not stored: another unit could take it", c.Kind, c.Value)
	}
	return nil
}
