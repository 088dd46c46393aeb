// SPDX-License-Identifier: Apache-2.0

package reader_test

import (
	"testing"

	"provisioning.example/station/internal/record"
)

// TestUnitsOf: a board counts once for the order it passed for, until it is
// reworked or scrapped; another pass counts again.
func TestUnitsOf(t *testing.T) {
	l := newLedger(t)
	shift(t, l)
	want := func(order string, n int) {
		t.Helper()
		if got, err := l.Reader().UnitsOf(t.Context(), order); err != nil || got != n {
			t.Errorf("%s: %d units, %v, want %d", order, got, err, n)
		}
	}
	want("WO-0", 20)
	want("WO-1", 20)
	want("WO-2", 0)
	u := unit{4, 2, day, "WO-0"}
	again := u.end(record.Passed, "")
	add(t, l, u.body(record.KindBegun), again)
	want("WO-0", 20)
	out := record.Body{Kind: record.KindRework, Operator: "op-1", Software: "test", Model: u.body("").Model, UID: u.body("").UID, Reason: "superseded", Approver: "op-2"}
	add(t, l, out)
	want("WO-0", 19)
	u.attempt, u.order = 3, "WO-1"
	add(t, l, u.body(record.KindBegun), u.end(record.Passed, ""))
	want("WO-0", 19)
	want("WO-1", 21)
	out.Kind, out.UID = record.KindScrap, unit{n: 5}.body("").UID
	add(t, l, out)
	want("WO-1", 20)
}

func TestOrders(t *testing.T) {
	l := newLedger(t)
	shift(t, l)
	entry := func(name, action string) record.Body {
		return record.Body{Kind: record.KindOrder, Operator: "op-1", Software: "test", Order: name, Action: action, Count: 5}
	}
	if _, found, err := l.Reader().OrderEntry(t.Context(), "WO-1"); found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
	add(t, l, entry("WO-1", "imported"), entry("WO-2", "created"), entry("WO-1", "closed"))
	e, found, err := l.Reader().OrderEntry(t.Context(), "WO-1")
	if err != nil || !found || e.Body.Action != "closed" {
		t.Errorf("%+v, %v, %v", e.Body, found, err)
	}
	all, err := l.Reader().Orders(t.Context())
	if err != nil || len(all) != 2 || all[0].Body.Order != "WO-1" || all[0].Body.Action != "closed" || all[1].Body.Order != "WO-2" {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestLastSerial: the greatest of the very form asked for, whatever else lies
// between.
func TestLastSerial(t *testing.T) {
	l := newLedger(t)
	shift(t, l) // SN-0000 to SN-0041
	odd := unit{9, 9, day, "WO-0"}.body(record.KindBegun)
	odd.Serial = "SN-003X"
	long := unit{10, 9, day, "WO-0"}.body(record.KindBegun)
	long.Serial = "SN-00355"
	add(t, l, odd, long)
	for _, c := range []struct{ first, last, want string }{
		{"SN-0000", "SN-9999", "SN-0041"}, {"SN-0000", "SN-0039", "SN-0039"}, {"SN-0042", "SN-0999", ""}, {"SN-0030", "SN-0035", "SN-0035"},
	} {
		got, found, err := l.Reader().LastSerial(t.Context(), "SN-", 4, c.first, c.last)
		if err != nil || got != c.want || found != (c.want != "") {
			t.Errorf("%s to %s: %q, %v, %v; want %q", c.first, c.last, got, found, err, c.want)
		}
	}
	if _, _, err := l.Reader().LastSerial(t.Context(), "SN-*", 4, "a", "b"); err == nil {
		t.Error("a prefix with a joker is taken")
	}
}
