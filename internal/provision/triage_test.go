// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"provisioning.example/station/internal/filter"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/virtual"
)

func faultOf(name string) func(*virtual.Config) {
	return func(c *virtual.Config) { c.Fault = name }
}

// TestRepeatedRandom: of two boards that sign with the same random number the
// later one is refused, whether they are on the bench together or not.
func TestRepeatedRandom(t *testing.T) {
	bubble(t, "together", func(t *testing.T) {
		w := newWorld(t, map[string]*virtual.Board{
			portName(1): board(t, 1, faultOf("repeats-r")), portName(2): board(t, 2, faultOf("repeats-r")), portName(3): board(t, 3),
		})
		defer w.close()
		ends := w.run()
		codes := []string{code(ends[1].Fault), code(ends[2].Fault), code(ends[3].Fault)}
		slices.Sort(codes)
		if !slices.Equal(codes, []string{"", "", "F-REQUEST-08"}) {
			t.Errorf("three boards, two with one random number, ended with %q", codes)
		}
		if es, err := w.reader.EntriesOf(t.Context(), reader.Query{Kinds: []string{record.KindIssuing}}); err != nil || len(es) != 2 {
			t.Errorf("%d requests led to a certificate, %v", len(es), err)
		}
	})
	bubble(t, "one after the other", func(t *testing.T) {
		w := one(t)
		defer w.close()
		w.boards[portName(1)].Close()
		w.boards[portName(1)] = board(t, 1, faultOf("repeats-r"))
		wantOutcome(t, w.run()[1], record.Passed, "")
		w.boards[portName(1)].Close()
		w.boards[portName(1)] = board(t, 2, faultOf("repeats-r"))
		w.open()
		r := w.run()[1]
		wantOutcome(t, r, record.Failed, "F-REQUEST-08")
		if !strings.Contains(r.Fault.Error(), uid1) {
			t.Errorf("the fault does not name the other board: %v", r.Fault)
		}
		if held, err := w.reader.Held(t.Context(), record.Claim{Kind: record.ClaimSerial, Value: r.Serial}); err == nil {
			t.Errorf("the refused board keeps its serial: %+v", held)
		}
	})
}

// TestKeyOfTheDead: a key that a scrapped or reworked unit had is refused too.
func TestKeyOfTheDead(t *testing.T) {
	for name, c := range map[string]struct {
		kind, want string
		next       byte
	}{
		"of another, scrapped board":  {record.KindScrap, "F-KEY-01", 2},
		"of the same, reworked board": {record.KindRework, "F-KEY-04", 1},
	} {
		bubble(t, name, func(t *testing.T) {
			w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1, faultOf("cloned-key"))})
			defer w.close()
			first := w.run()[1]
			wantOutcome(t, first, record.Passed, "")
			end := w.entries(uid1, record.KindEnd)[0]
			w.append(record.Body{
				Kind: c.kind, Operator: "os:test", Software: "test", Reason: "test", Approver: "qa", Serial: end.Serial, Model: end.Model, UID: end.UID,
				Releases: []record.Claim{
					{Kind: record.ClaimSerial, Value: end.Serial}, {Kind: record.ClaimUID, Value: end.Model + "/" + end.UID}, {Kind: record.ClaimSPKI, Value: end.SPKI},
				},
			})
			w.boards[portName(1)].Close()
			w.boards[portName(1)] = board(t, c.next, faultOf("cloned-key"))
			w.open()
			wantOutcome(t, w.run()[1], record.Failed, c.want)
		})
	}
}

// TestNameOfAnother: two units whose certificates would have one name, though
// their serials differ.
func TestNameOfAnother(t *testing.T) {
	units := "serial,site\nSN-1,ulm\nSN-2,ulm\nSN-3,bonn\n"
	synctest.Test(t, func(t *testing.T) {
		list, err := provision.LoadUnits("units.csv", []byte(units))
		if err != nil {
			t.Fatal(err)
		}
		boards := map[string]*virtual.Board{}
		for i := range 3 {
			boards[portName(i+1)] = board(t, byte(i+1))
		}
		w := newWorld(t, boards, func(w *world) {
			w.units, w.product.Serial = list, provision.SerialList
			w.profile = profileOf(t, "[subject]\ncommon_name = 'pump-{site}'\n")
		})
		defer w.close()
		ends := w.run()
		codes := []string{code(ends[1].Fault), code(ends[2].Fault), code(ends[3].Fault)}
		slices.Sort(codes)
		if !slices.Equal(codes, []string{"", "", "F-CONNECT-19"}) {
			t.Fatalf("three units with two names ended with %q", codes)
		}
		// Not only while the other one is on the bench.
		w.open()
		again := w.run()
		for slot, r := range ends {
			if code(again[slot].Fault) != code(r.Fault) {
				t.Errorf("slot %d ended with %v, a second time with %v", slot, r.Fault, again[slot].Fault)
			}
		}
	})
}

// TestUsedElsewhere imports what another station used, and brings its units.
func TestUsedElsewhere(t *testing.T) {
	for name, c := range map[string]struct {
		kind  filter.Kind
		value func(t *testing.T) string
		fault string // that the board plays
		want  string
	}{
		"board":         {filter.Board, func(*testing.T) string { return "virtual-board/" + uid1 }, "", "F-CONNECT-20"},
		"serial":        {filter.Serial, func(*testing.T) string { return uid1 }, "", "F-CONNECT-21"},
		"key":           {filter.Key, func(t *testing.T) string { return keyOf(t, "cloned-key").SPKI }, "cloned-key", "F-KEY-05"},
		"random number": {filter.Random, func(t *testing.T) string { return keyOf(t, "repeats-r").CSRR }, "repeats-r", "F-REQUEST-14"},
		"another board": {filter.Board, func(*testing.T) string { return "virtual-board/00" }, "", ""},
		"another kind":  {filter.Serial, func(*testing.T) string { return "virtual-board/" + uid1 }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			value := c.value(t)
			synctest.Test(t, func(t *testing.T) {
				var b filter.Builder
				b.Add(c.kind, value)
				set, err := b.Set("plant/other/3", 17)
				if err != nil {
					t.Fatal(err)
				}
				w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1, faultOf(c.fault))}, func(w *world) {
					w.elsewhere = []*filter.Set{set}
				})
				defer w.close()
				r := w.run()[1]
				if code(r.Fault) != c.want {
					t.Fatalf("ended with %v, want %q", r.Fault, c.want)
				}
				if c.want != "" && !strings.Contains(r.Fault.Error(), "plant/other") {
					t.Errorf("the fault does not name the other station: %v", r.Fault)
				}
			})
		})
	}
}

// keyOf is what a board with this fault gets on record.
func keyOf(t *testing.T, fault string) (issuing record.Body) {
	t.Helper()
	t.Run("elsewhere", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 9, faultOf(fault))})
			defer w.close()
			r := w.run()[1]
			wantOutcome(t, r, record.Passed, "")
			issuing = w.entries(r.UID, record.KindIssuing)[0]
		})
	})
	return issuing
}
