// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"strings"
	"testing"

	"provisioning.example/station/internal/record"
)

// judged is a ledger of three units of order WO-1, all passed, in entries 2 to 16.
func judged(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	for n := range 3 {
		w.provision(w.make(n, newKey(t)), func(b *record.Body) { b.Order = "WO-1" })
	}
	return w
}

func correction(seq int64, what, was, is string) record.Body {
	return record.Body{Kind: record.KindCorrection, EntryEpoch: 1, EntrySeq: seq, What: what, Old: was, New: is, Reason: "typed wrong"}
}

func signoff(from, to, count, passed int64) record.Body {
	return record.Body{Kind: record.KindSignoff, EntryEpoch: 1, From: from, To: to, Count: count, RunsPassed: passed, Meaning: "reviewed", Reason: "end of shift"}
}

// TestJudgements: corrections that name what stood there and sign-offs that count right are counted; none of them is a finding.
func TestJudgements(t *testing.T) {
	w := judged(t)
	ofOrder := signoff(2, 11, 2, 2)
	ofOrder.Order = "WO-1"
	another := signoff(1, 16, 0, 0)
	another.Order = "WO-2"
	w.record(true, nil, []record.Body{
		signoff(1, 16, 3, 3), correction(6, "order", "WO-1", "WO-2"), correction(6, "order", "WO-2", "WO-3"), correction(6, "slot", "", "4"),
		ofOrder, another, signoff(1, 6, 1, 1), signoff(7, 10, 0, 0), signoff(2, 20, 3, 3), correction(2, "serial", "SN-0000", "SN-1000"),
	})
	r := w.verify(w.anchors())
	if !r.OK() || r.Corrections != 4 || r.Signoffs != 6 {
		t.Errorf("%s; %d corrections, %d sign-offs", r.Verdict(), r.Corrections, r.Signoffs)
	}
}

// TestJudgementsWrong: each mistake is the only finding, and names the entry that makes it.
func TestJudgementsWrong(t *testing.T) {
	w := judged(t)
	orderless := signoff(2, 11, 2, 2)
	orderless.Order = "WO-2"
	elsewhere := correction(6, "order", "WO-1", "WO-2")
	elsewhere.EntryEpoch = 3
	other := signoff(1, 16, 3, 3)
	other.EntryEpoch = 2
	wrong := []struct {
		body record.Body
		want string
	}{
		{correction(6, "order", "WO-9", "WO-2"), `from "WO-9", but "WO-1" stood there`},
		{correction(6, "order", "WO-1", "WO-5"), `from "WO-1", but "WO-2" stood there`}, // the one before said WO-2
		{correction(6, "hw", "a", "b"), `from "a", but "" stood there`},
		{correction(1, "serial", "", "SN-1"), "of a ca entry, which has none that could be"},
		{correction(99, "order", "WO-1", "WO-2"), "entry 99 of epoch 1, which does not stand before it"},
		{elsewhere, "entry 6 of epoch 3, which does not stand before it"},
		{correction(18, "detail", "", "x"), "of a correction entry, which has none that could be"},
		{signoff(1, 16, 3, 2), "have 3, 3 passed and 0 failed"},
		{signoff(1, 16, 4, 3), "have 3, 3 passed and 0 failed"},
		{signoff(1, 15, 3, 3), "entries 1 to 15 of epoch 1 have 2"},
		{orderless, "entries 2 to 11 of epoch 1 have 0"},
		{signoff(1, 99, 3, 3), "entries 1 to 99 of epoch 1, which do not all stand before it"},
		{signoff(1, 29, 3, 3), "which do not all stand before it"}, // itself
		{other, "of epoch 2, which do not all stand before it"},
	}
	var bodies []record.Body
	for _, x := range wrong {
		bodies = append(bodies, x.body)
	}
	w.record(true, nil, bodies)
	r := w.verify(w.anchors())
	if len(r.Findings) != len(wrong) {
		t.Errorf("%d findings for %d mistakes:\n%v", len(r.Findings), len(wrong), r.Findings)
	}
	for i, x := range wrong {
		found := 0
		for _, f := range r.Findings {
			if f.Seq == int64(17+i) && f.Epoch == 1 {
				found++
				if !strings.Contains(f.What, x.want) || f.Area != x.body.Kind {
					t.Errorf("%s: %s, want %s", x.body.Kind, f, x.want)
				}
			}
		}
		if found != 1 {
			t.Errorf("entry %d (%s): %d findings, want %s", 17+i, x.body.Kind, found, x.want)
		}
	}
}
