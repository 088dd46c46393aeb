// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/tpm"
)

// ceremonial is a root, and a world whose station it certified.
type ceremonial struct {
	*world
	offline   *authority.Root
	request   *ceremony.Request
	challenge *ceremony.Challenge
	answer    *ceremony.Answer
	signed    *authority.Signed
	counter   counter
	chip      *tpm.TPM
}

func newOffline(t *testing.T) *authority.Root {
	t.Helper()
	r, err := authority.CreateRoot(filepath.Join(t.TempDir(), "root"), authority.RootConfig{Subject: pkix.Name{CommonName: "Root"}}, []byte("correct horse battery"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// newCeremonial has a real TPM's keys certified in two rounds, with an empty ledger that its checkpoint key signs.
func newCeremonial(t *testing.T) *ceremonial {
	t.Helper()
	chip, err := tpm.Open(t.Context(), tpm.Config{Spec: "sim"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := chip.Close(); err != nil {
			t.Error(err)
		}
	})
	keys, signers := authority.TPMKeys{}, map[string]crypto.Signer{}
	auth := []byte("secret")
	for name, purpose := range map[string]tpm.Purpose{"ca": tpm.CA, "checkpoint": tpm.Checkpoint} {
		ref, creation, err := chip.CreateKey(t.Context(), purpose, elliptic.P256(), auth)
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = authority.TPMKey{Ref: ref, Creation: &creation}
		if signers[name], err = chip.Key(t.Context(), ref, func() ([]byte, error) { return auth, nil }); err != nil {
			t.Fatal(err)
		}
	}
	c := &ceremonial{offline: newOffline(t), counter: newCounter(t, chip), chip: chip}
	name := c.counter.Ref().Name
	evidence, err := authority.ReadEvidence(t.Context(), chip, keys, name[:])
	if err != nil {
		t.Fatal(err)
	}
	if c.request, err = authority.Request(t.TempDir(), authority.RequestConfig{
		Origin: record.Origin{Station: "ulm/st-07", Epoch: 1}, CA: signers["ca"], Checkpoint: signers["checkpoint"], Evidence: evidence,
	}); err != nil {
		t.Fatal(err)
	}
	trust := ceremony.Trust{Pins: [][32]byte{c.request.Evidence().EK.Pin()}}
	if c.challenge, _, err = c.offline.Challenge(c.request, trust, 0, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if c.answer, err = authority.Respond(t.Context(), chip, keys, c.request, c.challenge, time.Time{}); err != nil {
		t.Fatal(err)
	}
	c.found(t, signers["checkpoint"])
	return c
}

// found makes the ledger.
func (c *ceremonial) found(t *testing.T, checkpoint crypto.Signer) {
	t.Helper()
	c.world = &world{t: t, root: c.offline.Certificate(), serial: 1 << 60, config: ledger.Config{
		Path: filepath.Join(t.TempDir(), "ledger.db"), Origin: origin, Signer: checkpoint,
	}}
	if c.counter.Counter != nil {
		c.config.Counter, c.config.Seal = c.counter, record.Body{Operator: "op-17", Software: "test"}
	}
	if err := ledger.Create(t.Context(), c.config); err != nil {
		t.Fatal(err)
	}
}

// sign has the root sign, and records what was installed.
func (c *ceremonial) sign(answer *ceremony.Answer) {
	c.t.Helper()
	var err error
	if c.signed, err = c.offline.Sign(c.request, authority.Terms{Answer: answer}); err != nil {
		c.t.Fatal(err)
	}
	c.issuer, c.checkpoint = c.signed.Intermediate, c.signed.Checkpoint
	c.record(true, nil, []record.Body{{
		Kind: record.KindCA, Action: "installed", Cert: digest(c.issuer.Raw), CheckpointCert: digest(c.checkpoint.Raw),
	}}, c.issuer.Raw, c.checkpoint.Raw)
}

// archive records an answered challenge.
func (c *ceremonial) archive(challenge *ceremony.Challenge, answer *ceremony.Answer) {
	c.t.Helper()
	q, ch, a := c.request.Encode(), challenge.Encode(), answer.Encode()
	c.record(true, nil, []record.Body{{
		Kind: record.KindCA, Action: "answered", Request: digest(q), Challenge: digest(ch), Answer: digest(a),
	}}, q, ch, a)
}

func TestEvidence(t *testing.T) {
	pin := func(c *ceremonial) audit.Anchors {
		a := c.anchors()
		a.Trust.Pins = [][32]byte{c.request.Evidence().EK.Pin()}
		return a
	}
	for _, try := range []struct {
		name    string
		do      func(c *ceremonial)
		anchors func(c *ceremonial) audit.Anchors
		proven  bool
		wrong   string // "": nothing
	}{
		{"two rounds", func(c *ceremonial) { c.archive(c.challenge, c.answer); c.sign(c.answer) }, (*ceremonial).rootAnchors, true, ""},
		{"the key is known to the auditor", func(c *ceremonial) { c.archive(c.challenge, c.answer); c.sign(c.answer) }, pin, true, ""},
		{"the auditor knows another key", func(c *ceremonial) { c.archive(c.challenge, c.answer); c.sign(c.answer) }, func(c *ceremonial) audit.Anchors {
			a := c.anchors()
			a.Trust.Pins = [][32]byte{{1}}
			return a
		}, false, "the endorsement key is not the pinned one"},
		{"no root given", func(c *ceremonial) { c.archive(c.challenge, c.answer); c.sign(c.answer) }, func(*ceremonial) audit.Anchors { return audit.Anchors{} }, false, ""},
		{"one round", func(c *ceremonial) { c.archive(c.challenge, c.answer); c.sign(nil) }, (*ceremonial).rootAnchors, false, ""},
		{"evidence left out", func(c *ceremonial) { c.sign(c.answer) }, (*ceremonial).rootAnchors, false, "does not hold the evidence"},
		{"evidence of another challenge", func(c *ceremonial) {
			other := *c.challenge
			other.ID[0] ^= 1
			c.archive(&other, c.answer)
			c.sign(c.answer)
		}, (*ceremonial).rootAnchors, false, "does not hold the evidence"},
		{"evidence changed in the file", func(c *ceremonial) {
			c.archive(c.challenge, c.answer)
			c.sign(c.answer)
			c.forge(`UPDATE blob SET bytes = CAST(replace(CAST(bytes AS TEXT), 'STATION ANSWER', 'STATION Answer') AS BLOB) WHERE CAST(bytes AS TEXT) LIKE '%STATION ANSWER%'`)
		}, (*ceremonial).rootAnchors, false, "was changed"},
		{"evidence that is none", func(c *ceremonial) {
			c.record(true, nil, []record.Body{{
				Kind: record.KindCA, Action: "answered", Request: digest([]byte("q")), Challenge: digest([]byte("c")), Answer: digest([]byte("a")),
			}}, []byte("q"), []byte("c"), []byte("a"))
			c.sign(nil)
		}, (*ceremonial).rootAnchors, false, "names request_sha256, which does not read"},
	} {
		t.Run(try.name, func(t *testing.T) {
			c := newCeremonial(t)
			try.do(c)
			r := c.verify(try.anchors(c))
			if r.TPMProven != try.proven || len(r.TPM) != 1 || strings.Contains(r.TPM[0], "TPM proven: EK ") != try.proven {
				t.Errorf("proven %v, %q", r.TPMProven, r.TPM)
			}
			said := "; " + ceremony.NotProven
			if try.proven {
				said = "; TPM proven: EK "
			}
			if r.OK() && !strings.Contains(r.Verdict(), said) {
				t.Errorf("%s, want %q", r.Verdict(), said)
			}
			if r.OK() != (try.wrong == "") || !r.OK() && !strings.Contains(r.Verdict()+r.Findings[len(r.Findings)-1].What, try.wrong) {
				t.Errorf("%s, %v, want %q", r.Verdict(), r.Findings, try.wrong)
			}
		})
	}
}

func (c *ceremonial) rootAnchors() audit.Anchors { return c.anchors() }

// TestRevokedAuthority: a station that was taken back is named, and what it signed afterwards is wrong.
func TestRevokedAuthority(t *testing.T) {
	c := &ceremonial{offline: newOffline(t)}
	key, checkpoint := newKey(t), newKey(t)
	var err error
	if c.request, err = authority.Request(t.TempDir(), authority.RequestConfig{
		Origin: record.Origin{Station: "ulm/st-07", Epoch: 1}, CA: key, Checkpoint: checkpoint,
	}); err != nil {
		t.Fatal(err)
	}
	c.found(t, checkpoint)
	c.issuerKey = key
	c.sign(nil)
	revoked := func(at time.Time) *x509.RevocationList {
		t.Helper()
		if _, err := c.offline.Revoke(authority.Revocation{Serial: c.issuer.SerialNumber.Text(16), Reason: "keyCompromise", Now: at}); err != nil {
			t.Fatal(err)
		}
		l, err := c.offline.CRL(0, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	c.provision(c.make(1, newKey(t)), nil)
	after := time.Now().Add(time.Hour)
	a := c.anchors()
	if r := c.verify(a); !r.OK() || len(r.RevokedAuthorities) != 0 {
		t.Fatalf("before: %s", r.Verdict())
	}
	list := revoked(after)
	a.Lists = append(a.Lists, list)
	if r := c.verify(a); !r.OK() || !strings.Contains(r.Verdict(), "; REVOKED: CN=ulm/st-07 CA ") || !strings.HasSuffix(r.Verdict(), "reason keyCompromise") {
		t.Errorf("named by a list of the auditor's: %s", r.Verdict())
	}
	// The station's own ledger tells it too.
	c.record(true, nil, []record.Body{{Kind: record.KindCA, Action: "listed", CRL: digest(list.Raw)}}, list.Raw)
	if r := c.verify(c.anchors()); !r.OK() || len(r.RevokedAuthorities) != 1 {
		t.Errorf("named by the ledger: %s", r.Verdict())
	}
	forged := *list
	forged.Signature = append([]byte{1}, list.Signature[1:]...)
	b := audit.Anchors{Root: c.root, Lists: []*x509.RevocationList{&forged}}
	if r := c.verify(b); len(r.RevokedAuthorities) != 1 { // still the ledger's own
		t.Errorf("with a forged list beside: %v", r.RevokedAuthorities)
	}
}

// TestRevokedBefore: a certificate from after the revocation is a finding.
func TestRevokedBefore(t *testing.T) {
	c := &ceremonial{offline: newOffline(t)}
	key, checkpoint := newKey(t), newKey(t)
	var err error
	if c.request, err = authority.Request(t.TempDir(), authority.RequestConfig{
		Origin: record.Origin{Station: "ulm/st-07", Epoch: 1}, CA: key, Checkpoint: checkpoint,
	}); err != nil {
		t.Fatal(err)
	}
	c.found(t, checkpoint)
	c.issuerKey = key
	c.sign(nil)
	if _, err := c.offline.Revoke(authority.Revocation{Serial: c.issuer.SerialNumber.Text(16), Reason: "keyCompromise", Now: time.Now().Add(-time.Minute)}); err != nil {
		t.Fatal(err)
	}
	list, err := c.offline.CRL(0, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	c.provision(c.make(1, newKey(t)), nil)
	a := c.anchors()
	a.Lists = append(a.Lists, list)
	if r := c.verify(a); r.OK() || !strings.Contains(r.Verdict(), "after that was revoked at") {
		t.Errorf("%s", r.Verdict())
	}
}
