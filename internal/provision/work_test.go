// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"provisioning.example/station/internal/filter"
	"provisioning.example/station/internal/order"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/virtual"
)

func orderOf(t *testing.T, text string, args ...any) *order.Order {
	t.Helper()
	o, err := order.Parse("order.toml", fmt.Appendf(nil, "product = \"gw\"\n"+text, args...))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// bench is a world of n boards, of which those in bad have a fault.
func benchOf(t *testing.T, n int, bad map[int]string, change ...func(*world)) *world {
	t.Helper()
	boards := map[string]*virtual.Board{}
	for i := 1; i <= n; i++ {
		boards[portName(i)] = board(t, byte(i), faultOf(bad[i]))
	}
	return newWorld(t, boards, append(change, func(w *world) { w.recordIssuer() })...)
}

// serials are those of all entries of a kind, oldest first.
func (w *world) serials(kind string) []string {
	w.t.Helper()
	var out []string
	for i := range len(w.boards) {
		for _, b := range w.entries(fmt.Sprintf("b0a4d0%02x", i+1), kind) {
			out = append(out, b.Serial)
		}
	}
	slices.Sort(out)
	return out
}

// start provisions the boards in these slots, or all that are ready.
func (w *world) start(slots ...int) int {
	w.t.Helper()
	w.forget()
	return w.station.Provision(slots...)
}

func outcomes(ends map[int]provision.Result) (passed int) {
	for _, e := range ends {
		if e.Outcome == record.Passed {
			passed++
		}
	}
	return passed
}

// TestQuantity: an order of 5 is never exceeded: by 8 slots at once, of which
// some fail, over restarts, and by boards that are put in again.
func TestQuantity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := benchOf(t, 8, map[int]string{2: "dies-commit", 4: "prove-wrong-key"}, func(w *world) {
			w.order = orderOf(t, "order = \"WO-1\"\nquantity = 5\n")
		})
		defer w.close()
		if n := w.start(); n != 5 {
			t.Errorf("%d boards were started for 5 units", n)
		}
		if n := w.station.Provision(); n != 0 {
			t.Errorf("%d more were started", n)
		}
		if ends := w.finish(); outcomes(ends) != 3 {
			t.Fatalf("%+v", ends)
		}
		w.restart()
		if s := w.station.Snapshot(); s.Order != "WO-1" || s.Done != 3 || s.Quantity != 5 || s.Ready != 2 {
			t.Errorf("%d of %d, %d ready", s.Done, s.Quantity, s.Ready)
		}
		again := w.start(1, 2) // one that passed, one that never will
		ends := w.finish()
		if again != 2 || ends[1].Outcome != record.Passed || w.station.Snapshot().Done != 3 {
			t.Errorf("a board that had passed: %+v, %d done", ends[1], w.station.Snapshot().Done)
		}
		w.restart()
		if n := w.start(6, 7, 8); n != 2 || outcomes(w.finish()) < 2 {
			t.Errorf("%d were started", n)
		}
		w.restart()
		if n := w.start(); n != 0 || w.station.Snapshot().Done != 5 {
			t.Errorf("%d were started for an order that is complete, %d done", n, w.station.Snapshot().Done)
		}
		if n, err := w.reader.UnitsOf(t.Context(), "WO-1"); err != nil || n != 5 {
			t.Errorf("%d units, %v", n, err)
		}
		w.wantValid()
	})
}

// TestQuantityRetry: what failed may be retried until the order is complete.
func TestQuantityRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := benchOf(t, 2, nil, func(w *world) { w.order = orderOf(t, "order = \"WO-1\"\nquantity = 1\n") })
		defer w.close()
		gone := w.boards[portName(1)]
		w.boards[portName(1)] = nil
		if n := w.start(1); n != 1 || w.finish()[1].Outcome == record.Passed {
			t.Fatal("no board passed")
		}
		w.boards[portName(1)] = gone
		w.start(2)
		if outcomes(w.finish()) != 1 {
			t.Fatal("board 2 did not pass")
		}
		if err := w.station.Retry(1); err == nil || !strings.Contains(err.Error(), "is complete") {
			t.Errorf("a retry beyond the quantity: %v", err)
		}
		if _, err := w.desk().Scrap(t.Context(), named("b0a4d002"), worn); err != nil {
			t.Fatal(err)
		}
		w.restart() // the scrapped unit makes room
		if n := w.start(1); n != 1 || outcomes(w.finish()) != 1 {
			t.Errorf("%d were started", n)
		}
	})
}

const numbered = "order = %q\nquantity = 3\nserial = \"range\"\nfirst = \"PC-0098\"\nlast = \"PC-0105\"\n"

// TestNumbers: no number is given twice: not to boards that run at the same
// time, not after failures, restarts or rework, not by another order.
func TestNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		station, der := reworkKey(t)
		w := benchOf(t, 6, map[int]string{2: "entropy"}, func(w *world) {
			w.rework, w.order = der, orderOf(t, numbered, "WO-1")
		})
		defer w.close()
		w.start(1, 2, 3)
		ends := w.finish()
		if outcomes(ends) != 2 || ends[2].Outcome != record.Failed {
			t.Fatalf("%+v", ends)
		}
		if got := w.serials(record.KindEnd); !slices.Equal(got, []string{"PC-0098", "PC-0099", "PC-0100"}) {
			t.Errorf("the first three: %v", got)
		}
		w.restart()
		// The board that failed keeps its number; another gets the next.
		failed := ends[2].Serial
		w.start(2)
		if again := w.finish()[2]; again.Serial != failed {
			t.Errorf("board 2 was %s, is %s now", failed, again.Serial)
		}
		w.start(4)
		if r := w.finish()[4]; r.Serial != "PC-0101" || r.Outcome != record.Passed {
			t.Errorf("%+v", r)
		}
		if err := w.station.Take(t.Context(), orderOf(t, numbered, "WO-2"), nil); err != nil {
			t.Fatal(err)
		}
		w.start(5, 6)
		w.finish()
		if got := w.serials(record.KindIssued); !slices.Equal(got[len(got)-2:], []string{"PC-0102", "PC-0103"}) {
			t.Errorf("with another order's overlapping range: %v", got)
		}
		// A reworked board keeps its number.
		old := ends[1].Serial
		if _, err := w.desk().Rework(t.Context(), named(old), worn, w.bench(station)); err != nil {
			t.Fatal(err)
		}
		w.restart()
		w.start(1)
		if r := w.finish()[1]; r.Serial != old || r.Outcome != record.Passed {
			t.Errorf("after rework: %+v", r)
		}
		w.wantValid()
	})
}

// TestNumbersUsedElsewhere: numbers that another station has used are passed over,
// and a board that got one of them before gets another.
func TestNumbersUsedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := benchOf(t, 2, map[int]string{1: "wrong-type"}, func(w *world) { w.order = orderOf(t, numbered, "WO-1") })
		defer w.close()
		w.start(1)
		first := w.finish()[1]
		if first.Serial != "PC-0098" || first.Outcome == record.Passed {
			t.Fatalf("%+v", first)
		}
		var b filter.Builder
		for _, used := range []string{"PC-0098", "PC-0099", "PC-0101"} {
			b.Add(filter.Serial, used)
		}
		set, err := b.Set("plant/other/3", 17)
		if err != nil {
			t.Fatal(err)
		}
		w.elsewhere = []*filter.Set{set}
		w.restart()
		for slot, want := range []string{1: "PC-0100", 2: "PC-0102"} {
			if want == "" {
				continue
			}
			w.start(slot)
			if r := w.finish()[slot]; r.Serial != want || code(r.Fault) == "F-CONNECT-21" {
				t.Errorf("slot %d is %q (%v), want %q", slot, r.Serial, r.Fault, want)
			}
		}
	})
}

// TestNumbersUsedUp: the line stops when a range has no number left.
func TestNumbersUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := benchOf(t, 4, map[int]string{1: "entropy", 2: "entropy"}, func(w *world) {
			w.order = orderOf(t, "order = \"WO-1\"\nquantity = 2\nserial = \"range\"\nfirst = \"P8\"\nlast = \"P9\"\n")
		})
		defer w.close()
		w.start(1, 2)
		if outcomes(w.finish()) != 0 {
			t.Fatal("a board without randomness passed")
		}
		w.start(3)
		wantOutcome(t, w.finish()[3], record.Error, "F-CONNECT-24")
		if s := w.station.Snapshot(); s.Stopped == nil || s.Stopped.Code != "F-CONNECT-24" {
			t.Errorf("the line is not stopped: %v", s.Stopped)
		}
	})
}

// TestScannedOrder: a label that is not the order's is refused at the scan, and
// where it comes past it, at the board.
func TestScannedOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := benchOf(t, 1, nil, func(w *world) {
			w.order = orderOf(t, "order = \"WO-1\"\nquantity = 2\nserial = \"scanned\"\npattern = 'PC-[0-9]{4}'\n")
		})
		defer w.close()
		if v := w.station.Snapshot().Slots[0]; v.State != provision.Scan {
			t.Fatalf("slot 1 is %s", v.State)
		}
		if _, err := w.station.Scan("XX-0001"); err == nil || !strings.Contains(err.Error(), "order WO-1") {
			t.Errorf("another order's label: %v", err)
		}
		if slot, err := w.station.Scan("PC-0001"); err != nil || slot != 1 {
			t.Fatalf("slot %d, %v", slot, err)
		}
		// Another order takes over before anybody pressed PROVISION: its label is
		// not this one's.
		if err := w.station.Take(t.Context(), orderOf(t, "order = \"WO-2\"\nquantity = 2\nserial = \"scanned\"\npattern = 'QC-[0-9]{4}'\n"), nil); err != nil {
			t.Fatal(err)
		}
		if w.start() != 0 {
			t.Error("a board was started with a label of the order before")
		}
		if _, err := w.station.Scan("QC-0001"); err != nil {
			t.Fatal(err)
		}
		if r := w.run()[1]; r.Serial != "QC-0001" || r.Outcome != record.Passed {
			t.Errorf("%+v", r)
		}
		if b := w.entries(uid1, record.KindEnd); b[0].Order != "WO-2" {
			t.Errorf("recorded for %q", b[0].Order)
		}
	})
}

// TestRetryWithoutLabel: where serials are scanned, a board whose label was
// forgotten meanwhile is not tried again under any other serial: its label is
// asked for once more.
func TestRetryWithoutLabel(t *testing.T) {
	const scanned = "order = \"WO-1\"\nquantity = %d\nserial = \"scanned\"\n"
	for name, forget := range map[string]func(*testing.T, *world){
		"the order's file was changed": func(t *testing.T, w *world) {
			w.finish()
			if err := w.station.Take(t.Context(), orderOf(t, scanned, 5), nil); err != nil {
				t.Fatal(err)
			}
		},
		"the port went away and came back": func(t *testing.T, w *world) {
			w.station.Detach(portName(1))
			if slot := w.station.Attach(1, portName(1), ""); slot != 1 {
				t.Fatalf("slot %d", slot)
			}
			w.finish()
		},
	} {
		bubble(t, name, func(t *testing.T) {
			w := benchOf(t, 1, map[int]string{1: "wrong-type"}, func(w *world) { w.order = orderOf(t, scanned, 2) })
			defer w.close()
			again := func() {
				if _, err := w.station.Scan("PC-0001"); err != nil {
					t.Fatal(err)
				}
				if w.start(1) != 1 {
					t.Fatal("the board was not started")
				}
			}
			again()
			forget(t, w)
			if v := w.station.Snapshot().Slots[0]; v.State != provision.Fail {
				t.Fatalf("slot 1 is %s", v.State)
			}
			if err := w.station.Retry(1); err != nil {
				t.Fatal(err)
			}
			if v := w.station.Snapshot().Slots[0]; v.State != provision.Scan {
				t.Errorf("slot 1 is %s, with serial %q", v.State, v.Serial)
				w.finish()
			} else {
				again()
				w.finish()
			}
			for _, b := range w.entries(uid1, record.KindEnd) {
				if b.Serial != "PC-0001" {
					t.Errorf("a run was recorded for serial %q", b.Serial)
				}
			}
		})
	}
}

// TestTakeRefused: the station goes on with the order it had.
func TestTakeRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := benchOf(t, 1, nil, func(w *world) { w.order = orderOf(t, numbered, "WO-1") })
		defer w.close()
		units, err := provision.LoadUnits("u.csv", []byte("serial\nA1\n"))
		if err != nil {
			t.Fatal(err)
		}
		manifest := orderOf(t, "order = \"WO-2\"\nquantity = 1\nserial = \"manifest\"\nmanifest = \"u.csv\"\nmanifest_sha256 = \"%064d\"\n", 0)
		if err := w.station.Take(t.Context(), manifest, nil); err == nil {
			t.Error("a manifest's order without its manifest is taken")
		}
		if err := w.station.Take(t.Context(), orderOf(t, numbered, "WO-3"), units); err == nil {
			t.Error("a range with a list is taken")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := w.station.Take(ctx, orderOf(t, numbered, "WO-4"), nil); err == nil {
			t.Error("an order is taken whose progress cannot be read")
		}
		if s := w.station.Snapshot(); s.Order != "WO-1" {
			t.Errorf("the station builds for %s", s.Order)
		}
		if err := w.station.Take(t.Context(), manifest, units); err != nil {
			t.Error(err)
		}
		if r := w.run()[1]; r.Serial != "A1" {
			t.Errorf("%+v", r)
		}
	})
}
