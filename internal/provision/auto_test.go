// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/virtual"
)

// fixture is a bench whose boards are plugged in and pulled out by hand.
type fixture struct {
	*world
	mu    sync.Mutex // guards both
	in    map[string]*virtual.Board
	lines map[string]smp.Stream
}

// automatic is a fixture in auto mode with n empty slots.
func automatic(t *testing.T, n int, change ...func(*world)) *fixture {
	t.Helper()
	f := &fixture{in: map[string]*virtual.Board{}, lines: map[string]smp.Stream{}}
	f.world = newWorld(t, map[string]*virtual.Board{}, append(change, func(w *world) {
		w.slots, w.auto = n, true
		w.recordIssuer()
		w.dial = f.dialIn
	})...)
	return f
}

func (f *fixture) dialIn(_ context.Context, port string) (smp.Stream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.in[port] == nil {
		return nil, fmt.Errorf("no board at %s", port)
	}
	f.lines[port] = f.in[port].Dial()
	return f.lines[port], nil
}

// plug puts a board into a slot.
func (f *fixture) plug(slot int, b *virtual.Board) {
	f.t.Helper()
	f.mu.Lock()
	f.in[portName(slot)] = b
	f.boards[fmt.Sprintf("%x", b.UID())] = b // closed with the world
	f.mu.Unlock()
	if got := f.station.Attach(slot, portName(slot), ""); got != slot {
		f.t.Fatalf("the board of slot %d is in slot %d", slot, got)
	}
}

// pull takes it out; tell lets the station know.
func (f *fixture) pull(slot int, tell bool) {
	f.mu.Lock()
	line := f.lines[portName(slot)]
	f.in[portName(slot)] = nil
	f.mu.Unlock()
	if line != nil {
		line.Close()
	}
	if tell {
		f.station.Detach(portName(slot))
	}
}

func (f *fixture) want(slot int, state provision.SlotState) provision.SlotView {
	f.t.Helper()
	v := f.station.Snapshot().Slots[slot-1]
	if v.State != state {
		f.t.Errorf("slot %d is %s (%v), want %s", slot, v.State, v.Fault, state)
	}
	return v
}

// TestAuto: a board is started when it is there, stays with its result, and the
// next one starts in its place.
func TestAuto(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := automatic(t, 2)
		defer f.close()
		f.plug(1, board(t, 1))
		f.want(1, provision.Busy)
		f.finish()
		f.want(1, provision.Pass)
		f.plug(2, board(t, 2))
		f.finish()
		f.want(1, provision.Pass) // was not started again
		f.want(2, provision.Pass)
		f.pull(1, true)
		f.want(1, provision.Empty)
		f.plug(1, board(t, 3))
		f.finish()
		if len(f.ends) != 3 || f.station.Snapshot().Counters.Passed != 3 {
			t.Errorf("%d runs", len(f.ends))
		}
		f.station.SetAuto(false)
		f.pull(2, true)
		f.plug(2, board(t, 4))
		f.want(2, provision.Ready)
		f.station.SetAuto(true)
		f.want(2, provision.Busy)
		f.finish()
		f.wantValid()
	})
}

// TestAutoOrder: what waits starts when an order makes room, and no more than it
// wants.
func TestAutoOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := automatic(t, 4, func(w *world) { w.order = orderOf(t, "order = \"WO-1\"\nquantity = 2\n") })
		defer f.close()
		f.plug(1, board(t, 1, faultOf("entropy")))
		for slot := 2; slot <= 4; slot++ {
			f.plug(slot, board(t, byte(slot)))
		}
		f.want(3, provision.Ready)
		f.finish()
		f.want(1, provision.Fail)
		f.want(3, provision.Pass) // took the place of the one that failed
		f.want(4, provision.Ready)
		if err := f.station.Take(t.Context(), orderOf(t, "order = \"WO-2\"\nquantity = 5\n"), nil); err != nil {
			t.Fatal(err)
		}
		f.want(4, provision.Busy)
		f.finish()
		for order, want := range map[string]int{"WO-1": 2, "WO-2": 1} {
			if n, err := f.reader.UnitsOf(t.Context(), order); err != nil || n != want {
				t.Errorf("%s: %d units, %v", order, n, err)
			}
		}
		f.wantValid()
	})
}

// refused checks a scan's reason.
func (f *fixture) refused(label string, reason provision.ScanReason, slot int) {
	f.t.Helper()
	before := f.station.Snapshot()
	_, err := f.station.Scan(label)
	var e *provision.ScanError
	if !errors.As(err, &e) || e.Reason != reason || e.Slot != slot || e.Sentence == "" {
		f.t.Errorf("scan of %q: %v (%+v), want reason %d, slot %d", label, err, e, reason, slot)
	}
	for i, v := range f.station.Snapshot().Slots {
		if was := before.Slots[i]; v.Serial != was.Serial || v.State != was.State {
			f.t.Errorf("the refused scan changed slot %d: %+v", v.Slot, v)
		}
	}
}

// TestAutoScan: a board waits for its label; wrong, doubled, used and untimely
// ones are refused with their reason, and every board has the serial that was
// scanned for it.
func TestAutoScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := automatic(t, 3, func(w *world) {
			w.order = orderOf(t, "order = \"WO-1\"\nquantity = 9\nserial = \"scanned\"\npattern = 'PC-[0-9]{2}'\n")
		})
		defer f.close()
		f.refused("PC-01", provision.ScanNobody, 0)
		f.plug(1, board(t, 1))
		f.want(1, provision.Scan)
		f.refused("=1+1", provision.ScanMalformed, 0)
		f.refused("XX-01", provision.ScanOtherOrder, 0)
		if slot, err := f.station.Scan(" PC-01\n"); slot != 1 || err != nil {
			t.Fatalf("slot %d, %v", slot, err)
		}
		f.want(1, provision.Busy)
		f.refused("PC-02", provision.ScanBusy, 1)
		f.plug(2, board(t, 2))
		f.refused("PC-01", provision.ScanDoubled, 1)
		f.finish()
		f.refused("PC-01", provision.ScanUsed, 0)
		f.plug(3, board(t, 3))
		if slot, err := f.station.ScanFor(3, "PC-03"); slot != 3 || err != nil {
			t.Fatalf("slot %d, %v", slot, err)
		}
		if slot, err := f.station.Scan("PC-02"); slot != 2 || err != nil {
			t.Fatalf("slot %d, %v", slot, err)
		}
		f.finish()
		for n := byte(1); n <= 3; n++ {
			if b := f.entries(fmt.Sprintf("b0a4d0%02x", n), record.KindIssued); len(b) != 1 || b[0].Serial != fmt.Sprintf("PC-%02d", n) {
				t.Errorf("board %d: %+v", n, b)
			}
		}
		// A label that was scanned for a board goes away with it.
		f.station.SetAuto(false)
		f.pull(1, true)
		f.plug(1, board(t, 4))
		if _, err := f.station.Scan("PC-04"); err != nil {
			t.Fatal(err)
		}
		f.pull(1, true)
		f.plug(1, board(t, 5))
		f.want(1, provision.Scan)
		if _, err := f.station.Scan("PC-04"); err != nil {
			t.Error(err)
		}
		f.pull(2, true)
		f.plug(2, board(t, 6))
		f.refused("PC-04", provision.ScanDoubled, 1)
		if err := f.station.Unscan(1); err != nil {
			t.Error(err)
		}
		f.want(1, provision.Scan)
		if f.station.Unscan(1) == nil || f.station.Unscan(9) == nil {
			t.Error("a label was taken back that nobody scanned")
		}
		if err := f.station.Take(t.Context(), orderOf(t, "order = \"WO-2\"\nquantity = 9\n"), nil); err != nil {
			t.Fatal(err)
		}
		f.refused("PC-05", provision.ScanUnwanted, 0)
	})
}

// TestAutoSwap: another board in the middle of a run fails that run only; it is
// not touched, and nothing starts in the slot until somebody reseats it.
func TestAutoSwap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := automatic(t, 2)
		defer f.close()
		slow := func(c *virtual.Config) { c.Compute = time.Second }
		first, second := board(t, 1, slow), board(t, 2)
		f.plug(1, first)
		f.plug(2, board(t, 3, slow))
		<-time.After(1500 * time.Millisecond) // by the bubble's clock: the key is made, the request is being signed
		f.pull(1, false)
		f.plug(1, second) // before the station noticed
		ends := f.finish()
		if r := ends[1]; r.Outcome != record.Failed || r.Fault.Code[len(r.Fault.Code)-2:] != "94" || r.UID != uid1 {
			t.Errorf("%+v", r)
		}
		if second.State() != 0 || ends[2].Outcome != record.Passed {
			t.Errorf("the other board is in state %d, slot 2 ended %+v", second.State(), ends[2])
		}
		f.want(1, provision.Fail)
		f.pull(1, true)
		f.plug(1, second)
		f.finish()
		f.want(1, provision.Pass)
		f.wantValid()
	})
}

// TestAutoUnplug: the cable of one board is pulled after its certificate was
// issued: its slot fails alone, and at the next plug-in, in another slot, the
// unit goes on with that same certificate.
func TestAutoUnplug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := automatic(t, 3)
		defer f.close()
		pulled := false
		f.station.OnCommit(func(point string) {
			if point == "issued" && !pulled {
				pulled = true
				f.pull(1, true)
			}
		})
		b := board(t, 1)
		f.plug(1, b)
		f.plug(2, board(t, 2, func(c *virtual.Config) { c.Compute = 2 * time.Second }))
		ends := f.finish()
		if ends[1].Outcome != record.Failed || ends[2].Outcome != record.Passed {
			t.Fatalf("%+v", ends)
		}
		f.plug(3, b)
		r := f.finish()[3]
		if r.Outcome != record.Passed || r.UID != uid1 || r.Attempt != 2 || len(f.entries(uid1, record.KindIssued)) != 1 {
			t.Errorf("%+v, %d certificates", r, len(f.entries(uid1, record.KindIssued)))
		}
		f.wantValid()
	})
}
