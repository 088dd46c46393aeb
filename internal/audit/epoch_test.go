// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"strings"
	"testing"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/record"
)

// handover gives the ledger a new checkpoint key, which the root certifies, and a new epoch.
func (w *world) handover() (anchors audit.Anchors) {
	w.t.Helper()
	w.shut()
	key := newKey(w.t)
	const origin2 = "ulm/st-07/2"
	w.config.Origin, w.config.Signer = origin2, key
	err := ledger.NextEpoch(w.t.Context(), w.config, record.Body{
		Kind: record.KindHandover, Operator: "op-17", Software: "test", Reason: "new TPM", Approver: "qa-2",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	cert := certify(w.t, &x509.Certificate{
		SerialNumber: big.NewInt(1<<50 + 1), Subject: pkix.Name{CommonName: origin2}, URIs: []*url.URL{{Scheme: "ledger", Opaque: origin2}},
		KeyUsage: x509.KeyUsageDigitalSignature, NotBefore: began, NotAfter: began.AddDate(20, 0, 0),
	}, w.root, &key.PublicKey, w.rootKey)
	anchors = w.anchors()
	anchors.Certificates = append(anchors.Certificates, cert)
	return anchors
}

// twoEpochs ends the first epoch with an entry that no checkpoint covers.
func twoEpochs(t *testing.T) (*world, audit.Anchors) {
	w := newWorld(t)
	w.provision(w.make(1, newKey(t)), nil)
	w.record(false, nil, []record.Body{w.make(2, newKey(t)).as(record.KindBegun)})
	anchors := w.handover()
	w.provision(w.make(3, newKey(t)), nil)
	return w, anchors
}

// TestEpochsVerify proves each epoch by its own key.
func TestEpochsVerify(t *testing.T) {
	w, anchors := twoEpochs(t)
	r := w.verify(anchors)
	if !r.OK() || !r.Proven || len(r.Origins) != 2 || r.Uncovered != 0 || r.Passed != 2 || r.Open != 1 {
		t.Errorf("%s %+v", r.Verdict(), r)
	}
	if r := w.verify(w.anchors()); !r.OK() || r.Proven {
		t.Errorf("the second epoch's key is not known: %s", r.Verdict())
	}
	anchors.Certificates = anchors.Certificates[1:]
	if r := w.verify(anchors); !r.OK() || r.Proven {
		t.Errorf("the first epoch's key is not known: %s", r.Verdict())
	}
}

// TestEpochForgeries changes what the old key can no longer vouch for. Each must be found by what the handover says.
func TestEpochForgeries(t *testing.T) {
	const (
		lastOfFirst   = `(SELECT max(id) FROM entry WHERE id >> 40 = 1)`
		firstOfSecond = `(SELECT min(id) FROM entry WHERE id >> 40 = 2)`
	)
	for _, forgery := range []struct{ name, sql, what string }{
		{"uncovered tail removed", `DELETE FROM entry WHERE id = ` + lastOfFirst, "begins an epoch after"},
		{"entry added to the tail", `INSERT INTO entry (id, body, leaf) SELECT id + 1, body, leaf FROM entry WHERE id = ` + lastOfFirst, "begins an epoch after"},
		{"old checkpoint removed", `DELETE FROM checkpoint WHERE epoch = 1 AND size = (SELECT max(size) FROM checkpoint WHERE epoch = 1)`, "hands over from checkpoint"},
		{"handover removed", `DELETE FROM entry WHERE id = ` + firstOfSecond, "entries are missing"},
		{"no checkpoint at all", `DELETE FROM checkpoint WHERE epoch = 2`, "there is not even the first checkpoint"},
		{"only its first checkpoint left", `DELETE FROM checkpoint WHERE epoch = 2 AND size > 0; DELETE FROM node WHERE epoch = 2; DELETE FROM entry WHERE id >> 40 = 2`, "epoch 2 has no entries"},
		{"handover changed", `UPDATE entry SET body = replace(body, 'qa-2', 'qa-3') WHERE id = ` + firstOfSecond, "was changed after"},
	} {
		t.Run(strings.ReplaceAll(forgery.name, " ", "_"), func(t *testing.T) {
			w, anchors := twoEpochs(t)
			w.forge(forgery.sql)
			r := w.verify(anchors)
			found := false
			for _, f := range r.Findings {
				found = found || strings.Contains(f.String(), forgery.what)
			}
			if r.Proven && strings.Contains(forgery.sql, "checkpoint") && strings.Contains(forgery.what, "first checkpoint") {
				t.Error("proven without a checkpoint")
			}
			if !found {
				t.Errorf("%q is not among %v", forgery.what, r.Findings)
			}
		})
	}
}
