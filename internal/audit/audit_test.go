// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

func TestVerdictOfAnHonestLedger(t *testing.T) {
	w := newWorld(t)
	for n := range 5 {
		w.provision(w.make(n, newKey(t)), nil)
	}
	pub, err := record.NewVerifier(record.Origin{Station: "ulm/st-07", Epoch: 1}, w.config.Signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]struct {
		anchors audit.Anchors
		want    string
	}{
		"root":    {w.anchors(), "valid, origin proven: 26 entries, "},
		"key":     {audit.Anchors{Keys: []*record.Verifier{pub}}, "valid, origin proven: 26 entries, "},
		"nothing": {audit.Anchors{}, "self-consistent, origin not proven: 26 entries, "},
	} {
		r := w.verify(try.anchors)
		if !r.OK() || !strings.HasPrefix(r.Verdict(), try.want) {
			t.Errorf("%s: %s", name, r.Verdict())
		}
		if r.Entries != 26 || r.Certificates != 5 || r.Receipts != 5 || r.Passed != 5 || r.Open != 0 || r.Uncovered != 0 {
			t.Errorf("%s: %+v", name, r)
		}
		if noRoot := strings.Contains(r.Verdict(), "no root given"); noRoot != (try.anchors.Root == nil) {
			t.Errorf("%s: %s", name, r.Verdict())
		}
	}
}

func TestOpenAndUncoveredAreSaid(t *testing.T) {
	w := newWorld(t)
	m := w.make(1, newKey(t))
	w.record(false, nil, []record.Body{m.as(record.KindBegun)})
	r := w.verify(w.anchors())
	if !r.OK() || r.Open != 1 || r.Uncovered != 2 || !strings.Contains(r.Verdict(), "the last 2 entries are not covered") {
		t.Errorf("%s %+v", r.Verdict(), r)
	}
}

// TestForgeries changes the file of a finished ledger. Each forgery must be found, and named.
func TestForgeries(t *testing.T) {
	const last = `(SELECT max(id) FROM entry)`
	for _, forgery := range []struct {
		name, sql, area, what string
	}{
		{"body edited", `UPDATE entry SET body = replace(body, 'op-17', 'op-18') WHERE id & 0xff = 3`, "entry", "entry 3 of epoch 1 was changed"},
		{"body and leaf edited", `UPDATE entry SET body = replace(body, 'op-17', 'op-18'), leaf = x'` + strings.Repeat("00", 32) + `' WHERE id & 0xff = 3`, "entry", "entry 3 of epoch 1 was changed"},
		{"body not JSON of ours", `UPDATE entry SET body = '{}' WHERE id & 0xff = 3`, "entry", "entry 3 of epoch 1 is not one this program writes"},
		{"entry removed inside", `DELETE FROM entry WHERE id & 0xff = 3`, "entry", "entry 4 of epoch 1 follows entry 2"},
		{"tail removed", `DELETE FROM entry WHERE id = ` + last, "checkpoint", "entries were cut off"},
		{"all removed", `DELETE FROM entry`, "checkpoint", "entries were cut off"},
		{"entry added", `INSERT INTO entry (id, body, leaf) SELECT id + 1, body, leaf FROM entry WHERE id = ` + last, "life", "not begun or has ended"},
		{"two entries exchanged", `UPDATE entry SET body = (SELECT body FROM entry e WHERE e.id = entry.id + 1), leaf = (SELECT leaf FROM entry e WHERE e.id = entry.id + 1) WHERE id & 0xff = 2`, "checkpoint", "another history"},
		{"checkpoints exchanged", `UPDATE checkpoint SET note = (SELECT note FROM checkpoint WHERE size = 6) WHERE size = 11`, "checkpoint", "of another place"},
		{"signature edited", `UPDATE checkpoint SET note = substr(note, 1, length(note) - 10) || 'AAAA' || substr(note, -6) WHERE size = 11`, "checkpoint", "not signed by the key"},
		{"checkpoint edited", `UPDATE checkpoint SET note = replace(note, 'st-07', 'st-08') WHERE size = 11`, "checkpoint", "of ulm/st-08/1 in the ledger of ulm/st-07/1"},
		{"checkpoints removed", `DELETE FROM checkpoint`, "checkpoint", "not even the first"},
		{"node edited", `UPDATE node SET hash = zeroblob(32) WHERE id = 2`, "tree", "not the stored one"},
		{"node removed", `DELETE FROM node WHERE id = 2`, "tree", "not the stored one"},
		{"blob edited", `UPDATE blob SET bytes = x'00' WHERE rowid = 4`, "blob", "was changed"},
		{"blobs removed", `DELETE FROM blob`, "blob", "not stored"},
		{"claim removed", `DELETE FROM claim WHERE kind = 'serial'`, "claim", "another unit could take it"},
		{"claim added", `INSERT INTO claim VALUES ('serial', 'SN-9999', 1, 1)`, "claim", "by the entries it does not"},
		{"claim moved", `UPDATE claim SET seq = seq + 1 WHERE kind = 'uid'`, "claim", "by the entries it does not"},
	} {
		t.Run(forgery.name, func(t *testing.T) {
			w := newWorld(t)
			w.provision(w.make(1, newKey(t)), nil)
			w.provision(w.make(2, newKey(t)), nil)
			if r := w.verify(w.anchors()); !r.OK() {
				t.Fatalf("before the forgery: %s", r.Verdict())
			}
			w.forge(forgery.sql)
			r := w.verify(w.anchors())
			if r.OK() || !strings.HasPrefix(r.Verdict(), "NOT VALID: ") {
				t.Fatalf("not found: %s", r.Verdict())
			}
			expect(t, r, forgery.area, forgery.what)
		})
	}
}

func expect(t *testing.T, r *audit.Report, area, what string) {
	t.Helper()
	var all []string
	for _, f := range r.Findings {
		if f.Area == area && strings.Contains(f.String(), what) {
			return
		}
		all = append(all, f.String())
	}
	t.Errorf("no finding %q in %s, only\n%s", what, area, strings.Join(all, "\n"))
}

// TestLies lets the station itself write what must not be: entries, tree and signatures are all in order, only the meaning is not.
func TestLies(t *testing.T) {
	other := strings.Repeat("ab", 32)
	for _, lie := range []struct {
		name, kind string
		change     func(*record.Body)
		area, what string
	}{
		{"issued for other bytes", record.KindIssued, func(b *record.Body) { b.TBS = other }, "life", "without an issuing entry"},
		{"serial number", record.KindIssued, func(b *record.Body) { b.CertSerial = "0102" }, "certificate", "with serial number"},
		{"validity", record.KindIssued, func(b *record.Body) { b.NotAfter = b.NotBefore }, "certificate", "another validity"},
		{"issuer", record.KindIssued, func(b *record.Body) { b.IssuerKey = "0102" }, "certificate", "of issuer"},
		{"run", record.KindIssued, func(b *record.Body) { b.Run = other[:32] }, "life", "was not begun"},
		{"no claims", record.KindKey, func(b *record.Body) { b.Claims = b.Claims[:2] }, "claim", "does not hold spki"},
		{"CSR missing", record.KindIssuing, func(b *record.Body) { b.CSR = other }, "blob", "csr_sha256"},
		{"passed with another certificate", record.KindEnd, func(b *record.Body) { b.Cert = other }, "life", "not the live one"},
		{"receipt signature", record.KindEnd, func(b *record.Body) { b.Receipt.Nonce = other }, "receipt", "signature does not verify"},
		{"receipt of another board", record.KindEnd, func(b *record.Body) { b.Receipt.UID = "ff" }, "receipt", "uid"},
		{"receipt over other anchors", record.KindEnd, func(b *record.Body) { b.Anchors = other }, "receipt", "anchors digest"},
		{"receipt over another chain", record.KindEnd, func(b *record.Body) { b.Receipt.Chain, b.ChainReadBack = other, other }, "receipt", "another chain"},
	} {
		t.Run(lie.name, func(t *testing.T) {
			w := newWorld(t)
			w.provision(w.make(1, newKey(t)), func(b *record.Body) {
				if b.Kind == lie.kind {
					lie.change(b)
				}
			})
			r := w.verify(w.anchors())
			expect(t, r, lie.area, lie.what)
		})
	}
}

func TestSecondCertificateForOneKey(t *testing.T) {
	key := newKey(t)
	w := newWorld(t)
	first := w.make(1, key)
	w.provision(first, nil)
	w.provision(w.make(1, key), nil)
	expect(t, w.verify(w.anchors()), "life", "second certificate for key")

	for _, spki := range []string{first.body.SPKI, ""} { // a revocation need not name the key
		w = newWorld(t)
		first = w.make(1, key)
		w.provision(first, nil)
		whole := first.certified(record.KindIssued)
		w.record(true, nil, []record.Body{{
			Kind: record.KindRevoked, Model: whole.Model, UID: whole.UID, SPKI: spki, Cert: whole.Cert, CertSerial: whole.CertSerial, Reason: "superseded",
		}})
		w.provision(w.make(1, key), nil)
		if r := w.verify(w.anchors()); !r.OK() {
			t.Errorf("after the first was revoked: %s", r.Verdict())
		}
	}
}

func TestForeignIssuerAndRoot(t *testing.T) {
	w, stranger := newWorld(t), newWorld(t)
	w.provision(w.make(1, newKey(t)), nil)
	expect(t, w.verify(audit.Anchors{Root: stranger.root}), "certificate", "does not chain to the given root")

	m := w.make(2, newKey(t))
	m.cert = stranger.make(2, m.key).cert
	w.provision(m, nil)
	expect(t, w.verify(w.anchors()), "certificate", "neither in the ledger nor given")

	forged := w.make(3, newKey(t))
	template, key := *forged.cert, newKey(t)
	impostor := *w.issuer
	impostor.PublicKey = &key.PublicKey
	forged.cert = certify(t, &template, &impostor, &forged.key.PublicKey, key)
	w.provision(forged, nil)
	expect(t, w.verify(w.anchors()), "certificate", "did not sign")
}

func TestBadAnchorsAreRefused(t *testing.T) {
	w, stranger := newWorld(t), newWorld(t)
	other, err := record.NewVerifier(record.Origin{Station: "ulm/st-07", Epoch: 1}, stranger.config.Signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, anchors := range map[string]audit.Anchors{
		"certificate without root":       {Certificates: []*x509.Certificate{w.checkpoint}},
		"certificate of another root":    {Root: stranger.root, Certificates: []*x509.Certificate{w.checkpoint}},
		"not a checkpoint certificate":   {Root: w.root, Certificates: []*x509.Certificate{w.issuer}},
		"key and certificate that clash": {Root: w.root, Certificates: []*x509.Certificate{w.checkpoint}, Keys: []*record.Verifier{other}},
		"known that is none":             {Known: [][]byte{[]byte("x")}},
	} {
		if r, err := audit.Verify(t.Context(), w.reader(), anchors); err == nil {
			t.Errorf("%s: %s", name, r.Verdict())
		}
	}
	expect(t, w.verify(audit.Anchors{Keys: []*record.Verifier{other}}), "checkpoint", "not signed by the key")
}

// TestRollBack cuts entries and their checkpoints off together. The file is in order then: only a witness tells.
func TestRollBack(t *testing.T) {
	w := newWorld(t)
	w.provision(w.make(1, newKey(t)), nil)
	w.provision(w.make(2, newKey(t)), nil)
	newest, _, err := w.reader().NewestCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	anchors := w.anchors()
	anchors.Known = [][]byte{newest.Note}
	if r := w.verify(anchors); !r.OK() {
		t.Fatal(r.Verdict())
	}
	w.forge(`DELETE FROM entry WHERE id & 0xff > 6`, `DELETE FROM checkpoint WHERE size > 6`, `DELETE FROM node WHERE id >= 10`,
		`DELETE FROM claim WHERE seq > 6`)
	if r := w.verify(w.anchors()); !r.OK() {
		t.Fatalf("the cut is not clean: %s %v", r.Verdict(), r.Findings)
	}
	expect(t, w.verify(anchors), "anchor", "covers 11 entries, the ledger has 6: it was rolled back")
	w.provision(w.make(3, newKey(t)), nil)
	expect(t, w.verify(anchors), "anchor", "of another history")
}

// TestOpenRefusesForgeries lets the program that writes open a forged ledger.
func TestOpenRefusesForgeries(t *testing.T) {
	for _, forgery := range []struct{ name, sql, what string }{
		{"tail edited", `UPDATE entry SET body = replace(body, 'op-17', 'op-18') WHERE id = (SELECT max(id) FROM entry)`, "entry 6 was changed"},
		{"tail removed", `DELETE FROM entry WHERE id = (SELECT max(id) FROM entry)`, "entries were cut off"},
		{"checkpoints exchanged", `UPDATE checkpoint SET note = (SELECT note FROM checkpoint WHERE size = 0) WHERE size = 6`, "newest checkpoint is for 0 entries"},
		{"checkpoint of a stranger", `UPDATE checkpoint SET note = substr(note, 1, length(note) - 10) || 'AAAA' || substr(note, -6) WHERE size = 6`, "not signed by this station's"},
		{"node edited", `UPDATE node SET hash = zeroblob(32)`, "not the one its checkpoint was signed for"},
		{"trigger added", `CREATE TRIGGER more BEFORE UPDATE ON blob BEGIN SELECT 1; END`, "trigger more was added"},
	} {
		t.Run(forgery.name, func(t *testing.T) {
			w := newWorld(t)
			w.provision(w.make(1, newKey(t)), nil)
			w.forge(forgery.sql)
			l, err := ledger.Open(t.Context(), w.config)
			var format *reader.FormatError
			if err == nil || !errors.As(err, &format) || !strings.Contains(err.Error(), forgery.what) {
				t.Errorf("opened as %v, %v", l, err)
			}
		})
	}
}

func TestVerifyEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	w.provision(w.make(1, newKey(t)), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := audit.Verify(ctx, w.reader(), w.anchors()); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestReportIsBounded(t *testing.T) {
	w := newWorld(t)
	var many []record.Body
	for i := range 60 {
		many = append(many, record.Body{Kind: record.KindStop, Detail: fmt.Sprint(i)})
	}
	for range 20 {
		w.record(false, nil, many)
	}
	w.forge(`UPDATE entry SET body = '{}'`)
	r := w.verify(w.anchors())
	if len(r.Findings) != 1000 || r.Wrong < 2*1200 {
		t.Errorf("%d findings listed of %d", len(r.Findings), r.Wrong)
	}
}

// TestTerminal: names in certificates and files may be orders for a terminal.
func TestTerminal(t *testing.T) {
	const order = "CN=\x1b[2J"
	r := audit.Report{Certificates: 1, RevokedAuthorities: []string{order}}
	for _, said := range []string{r.Verdict(), audit.Finding{What: order}.String(), audit.Finding{Seq: 1, What: order}.String()} {
		if !strings.Contains(said, "CN=?[2J") {
			t.Errorf("%q", said)
		}
	}
}
