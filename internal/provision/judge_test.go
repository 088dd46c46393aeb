// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/operator"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

// judged is a ledger of its own with runs that ended, and a desk at it.
func judged(t *testing.T) provision.Desk {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := ledger.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Origin: "ulm/st-07/1", Signer: key}
	if err := ledger.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return provision.Desk{Ledger: l, Operator: "os:test", Software: "station test"}
}

// end records that a run ended; passed is not among the outcomes that need no certificate.
func end(t *testing.T, d provision.Desk, n int, order, outcome string) int64 {
	t.Helper()
	b := record.Body{
		Kind: record.KindEnd, Operator: "tim", Software: "station test", Run: fmt.Sprintf("%032x", n), Serial: fmt.Sprintf("SN-%04d", n),
		Model: "gw-2", UID: fmt.Sprintf("%024x", n), Order: order, Outcome: outcome, Slot: 3, Attempt: 1,
	}
	if outcome == record.Passed {
		e := record.Example(record.KindEnd)
		b.SPKI, b.Cert, b.CertSerial, b.ChainReadBack, b.Rehearsal, b.Receipt = e.SPKI, e.Cert, e.CertSerial, e.ChainReadBack, e.Rehearsal, e.Receipt
	} else {
		b.Fault = "F-PROVE-02"
	}
	seqs, err := d.Ledger.Append(t.Context(), ledger.Batch{Bodies: []record.Body{b}})
	if err != nil {
		t.Fatal(err)
	}
	return seqs[0]
}

// TestCorrect: the entry stays, what stood there is said, and a second correction starts from the first.
func TestCorrect(t *testing.T) {
	d := judged(t)
	seq := end(t, d, 1, "WO-1", record.Failed)
	before, err := d.Ledger.Reader().Entry(t.Context(), 1, seq)
	if err != nil {
		t.Fatal(err)
	}
	wrong := func(c provision.Correction, want string) {
		t.Helper()
		size, _ := d.Ledger.Size()
		_, err := d.Correct(t.Context(), c)
		wantRefused(t, err, want)
		if now, _ := d.Ledger.Size(); now != size {
			t.Errorf("%+v: something was recorded", c)
		}
	}
	good := provision.Correction{Seq: seq, Field: "order", New: "WO-2", Reason: "wrong sheet at the bench"}
	for want, change := range map[string]func(*provision.Correction){
		"no entry 99":            func(c *provision.Correction) { c.Seq = 99 },
		"no entry 1 in epoch 7":  func(c *provision.Correction) { c.Seq, c.Epoch = 1, 7 },
		`"outcome" can not`:      func(c *provision.Correction) { c.Field = "outcome" },
		`"nothing" can not`:      func(c *provision.Correction) { c.Field = "nothing" },
		"is empty":               func(c *provision.Correction) { c.New = "" },
		"takes for a formula":    func(c *provision.Correction) { c.New = "=1+1" },
		"is no serial":           func(c *provision.Correction) { c.Field, c.New = "serial", "SN 1 "+"ß" },
		"is not a number":        func(c *provision.Correction) { c.Field, c.New = "slot", "three" },
		"allowed are 1 to":       func(c *provision.Correction) { c.Field, c.New = "slot", "-3" },
		"unprintable character":  func(c *provision.Correction) { c.New = "WO-\u202e2" },
		"there is no reason":     func(c *provision.Correction) { c.Reason = " " },
		"reason begins with":     func(c *provision.Correction) { c.Reason = "@home" },
		`is "WO-1" already`:      func(c *provision.Correction) { c.New = "WO-1" },
		"at most 64 are allowed": func(c *provision.Correction) { c.New = strings.Repeat("W", 65) },
	} {
		bad := good
		change(&bad)
		if bad.Field == "slot" && bad.New == "-3" {
			want = "begins with -"
		}
		wrong(bad, want)
	}
	first, err := d.Correct(t.Context(), good)
	if err != nil || first.Old != "WO-1" || first.Serial != "SN-0001" {
		t.Fatalf("%+v, %v", first, err)
	}
	good.New = "WO-3"
	second, err := d.Correct(t.Context(), good)
	if err != nil || second.Old != "WO-2" {
		t.Fatalf("%+v, %v", second, err)
	}
	after, err := d.Ledger.Reader().Entry(t.Context(), 1, seq)
	if err != nil || string(after.Raw) != string(before.Raw) {
		t.Errorf("the entry was changed: %s, %v", after.Raw, err)
	}
	all, err := d.Corrections(t.Context())
	if err != nil || all.Len() != 2 || all.Apply(after).Order != "WO-3" || after.Body.Order != "WO-1" {
		t.Errorf("%+v, %v", all, err)
	}
	wrong(provision.Correction{Seq: first.Seq, Field: "detail", New: "x", Reason: "y"}, "what can be corrected is nothing")
}

// TestSignOff: a shift, an order, a period; nothing twice, and only what was shown.
func TestSignOff(t *testing.T) {
	d := judged(t)
	for n, outcome := range []string{record.Passed, record.Failed, record.Passed, record.Error, record.Aborted} {
		end(t, d, n, "WO-"+fmt.Sprint(n%2), outcome)
	}
	reviewed := provision.Statement{Meaning: "reviewed", Reason: "end of shift"}
	sign := func(s provision.Scope, want ...provision.Span) []int64 {
		t.Helper()
		spans, err := d.Spans(t.Context(), s)
		if err != nil || fmt.Sprint(spans) != fmt.Sprint(want) {
			t.Fatalf("%+v, %v, want %+v", spans, err, want)
		}
		seqs, err := d.SignOff(t.Context(), spans, reviewed)
		if err != nil {
			t.Fatal(err)
		}
		return seqs
	}
	sign(provision.Scope{Order: "WO-0"}, provision.Span{Epoch: 1, From: 1, To: 5, Order: "WO-0", Count: 3, Passed: 2})
	shown, err := d.Spans(t.Context(), provision.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.SignOff(t.Context(), shown, provision.Statement{Meaning: "reviewed"})
	wantRefused(t, err, "there is no reason")
	forged := append([]provision.Span{}, shown...)
	forged[0].Passed++
	_, err = d.SignOff(t.Context(), forged, reviewed)
	wantRefused(t, err, "not what was shown")
	forged[0] = shown[0]
	forged[0].To += 100
	_, err = d.SignOff(t.Context(), forged, reviewed)
	wantRefused(t, err, "not what was shown")
	seqs := sign(provision.Scope{}, provision.Span{Epoch: 1, From: 1, To: 6, Count: 5, Passed: 2, Failed: 1})
	if spans, err := d.Spans(t.Context(), provision.Scope{}); err != nil || len(spans) != 0 {
		t.Errorf("a second time: %+v, %v", spans, err)
	}
	_, err = d.SignOff(t.Context(), nil, reviewed)
	wantRefused(t, err, "nothing to sign for")
	next := end(t, d, 9, "WO-1", record.Failed)
	sign(provision.Scope{}, provision.Span{Epoch: 1, From: seqs[0], To: next, Count: 1, Failed: 1})
	today := time.Now().Add(-time.Hour)
	sign(provision.Scope{Since: today, Until: today.Add(2 * time.Hour)}, provision.Span{Epoch: 1, From: 1, To: next + 1, Count: 6, Passed: 2, Failed: 2})
	if spans, err := d.Spans(t.Context(), provision.Scope{Until: today}); err != nil || len(spans) != 0 {
		t.Errorf("before all: %+v, %v", spans, err)
	}
}

// TestQA: who signs must be somebody who may, with the right PIN; who guesses is locked, and that is on record.
func TestQA(t *testing.T) {
	d := judged(t)
	seq := end(t, d, 1, "WO-1", record.Failed)
	people, err := operator.Open(filepath.Join(t.TempDir(), "operators.toml"))
	if err != nil {
		t.Fatal(err)
	}
	qa := provision.NewQA(d, people)
	correction := provision.Correction{Seq: seq, Field: "slot", New: "4", Reason: "cables were swapped"}
	if _, err := qa.Correct(t.Context(), provision.Signature{}, correction); err != nil || qa.Registered() {
		t.Fatalf("before anybody is registered: %v", err)
	}
	adminPIN, qaPIN := []byte("482913"), []byte("770215")
	for _, add := range []error{
		people.Add(operator.Person{ID: "otto", Role: operator.Admin}, adminPIN),
		people.Add(operator.Person{ID: "anna", Role: operator.QA, Badge: "B-0017"}, qaPIN),
		people.Add(operator.Person{ID: "tim", Role: operator.Technician}, nil),
	} {
		if add != nil {
			t.Fatal(add)
		}
	}
	correction.New = "5"
	for want, by := range map[string]provision.Signature{
		"nobody of this id": {},
		"tim is technician": {Operator: "tim"},
		"otto is admin":     {Operator: "otto", PIN: adminPIN},
		"wrong PIN":         {Operator: "anna", PIN: adminPIN},
	} {
		_, err := qa.Correct(t.Context(), by, correction)
		wantRefused(t, err, want)
	}
	done, err := qa.Correct(t.Context(), provision.Signature{Operator: "B-0017", PIN: qaPIN}, correction)
	if err != nil || done.Old != "4" {
		t.Fatalf("%+v, %v", done, err)
	}
	e, err := d.Ledger.Reader().Entry(t.Context(), 1, done.Seq)
	if err != nil || e.Body.Operator != "anna" || e.Body.Role != "qa" || e.Body.Serial != "SN-0001" {
		t.Errorf("%s, %v", e.Raw, err)
	}
	spans, err := qa.Spans(t.Context(), provision.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	seqs, err := qa.SignOff(t.Context(), provision.Signature{Operator: "anna", PIN: qaPIN}, spans, provision.Statement{Meaning: "released", Reason: "all is well"})
	if err != nil {
		t.Fatal(err)
	}
	if e, err := d.Ledger.Reader().Entry(t.Context(), 1, seqs[0]); err != nil || e.Body.Operator != "anna" || e.Body.RunsFailed != 1 {
		t.Errorf("%s, %v", e.Raw, err)
	}
	for range operator.MaxTries {
		_, err = qa.Correct(t.Context(), provision.Signature{Operator: "anna", PIN: adminPIN}, correction)
	}
	wantRefused(t, err, "now locked")
	size, _ := d.Ledger.Size()
	if e, err := d.Ledger.Reader().Entry(t.Context(), 1, size); err != nil || e.Body.New != "anna locked" {
		t.Errorf("%s, %v", e.Raw, err)
	}
}
