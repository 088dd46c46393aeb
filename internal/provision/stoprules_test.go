// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

// play puts boards into slots one after the other: slot number, fault ("" passes).
func (f *fixture) play(n *byte, runs ...played) {
	f.t.Helper()
	for _, r := range runs {
		*n++
		f.pull(r.slot, true)
		f.plug(r.slot, board(f.t, *n, faultOf(r.fault)))
		f.station.Provision(r.slot)
		f.finish()
	}
}

type played struct {
	slot  int
	fault string
}

// TestStopRules: which failures stop the line, which hold a slot, and which say
// nothing.
func TestStopRules(t *testing.T) {
	rules := provision.StopRules{InARow: 4, SameFault: 3, SameSlot: 3}
	for name, c := range map[string]struct {
		runs    []played
		stopped string
		held    int // slot
	}{
		"one fault in three slots":            {[]played{{1, "entropy"}, {2, "entropy"}, {3, "entropy"}}, "F-LINE-02", 0},
		"two of three":                        {[]played{{1, "entropy"}, {2, "entropy"}, {3, ""}}, "", 0},
		"a pass between, in another slot":     {[]played{{1, "entropy"}, {2, "entropy"}, {4, ""}, {3, "entropy"}}, "F-LINE-02", 0},
		"a pass in one of the slots":          {[]played{{1, "entropy"}, {2, "entropy"}, {1, ""}, {3, "entropy"}}, "", 0},
		"four in a row, each with its own":    {[]played{{1, "entropy"}, {2, "bad-signature"}, {3, "stale-csr"}, {4, "extra-rdn"}}, "F-LINE-01", 0},
		"four with a pass between":            {[]played{{1, "entropy"}, {2, "bad-signature"}, {5, ""}, {3, "stale-csr"}, {4, "extra-rdn"}}, "", 0},
		"one slot again and again":            {[]played{{2, ""}, {1, "entropy"}, {1, "silent"}, {2, ""}, {1, "bad-signature"}}, "", 1},
		"one slot, the only one in use":       {[]played{{1, "entropy"}, {1, "entropy"}, {1, "entropy"}}, "", 1},
		"one slot, while others fail as well": {[]played{{2, "bad-signature"}, {1, "entropy"}, {1, "entropy"}, {1, "entropy"}}, "F-LINE-01", 0},
		"one slot with a pass":                {[]played{{2, ""}, {1, "entropy"}, {1, "entropy"}, {1, ""}, {1, "entropy"}}, "", 0},
	} {
		bubble(t, name, func(t *testing.T) {
			f := automatic(t, 5, func(w *world) { w.auto, w.stop = false, rules })
			defer f.close()
			var n byte
			f.play(&n, c.runs...)
			snap := f.station.Snapshot()
			if code(snap.Stopped) != c.stopped {
				t.Errorf("the line is stopped by %v, want %q", snap.Stopped, c.stopped)
			}
			for _, v := range snap.Slots {
				want := ""
				if v.Slot == c.held {
					want = "F-LINE-03"
				}
				if code(v.Advice) != want {
					t.Errorf("slot %d is held by %v, want %q", v.Slot, v.Advice, want)
				}
			}
			f.wantValid()
		})
	}
}

// TestStopRulesOff: without rules nothing stops the line, and one board that is
// tried again and again is one board.
func TestStopRulesOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := automatic(t, 1, func(w *world) { w.auto = false })
		defer f.close()
		var n byte
		for range 6 {
			f.play(&n, played{1, "entropy"})
		}
		if s := f.station.Snapshot(); s.Stopped != nil || s.Slots[0].Advice != nil {
			t.Errorf("stopped by %v", s.Stopped)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f := automatic(t, 2, func(w *world) { w.auto, w.stop = false, provision.StopRules{InARow: 3, SameSlot: 3} })
		defer f.close()
		bad := board(t, 1, faultOf("bad-signature"))
		for range 5 {
			f.pull(1, true)
			f.plug(1, bad)
			f.station.Provision(1)
			f.finish()
		}
		if s := f.station.Snapshot(); s.Stopped != nil || s.Slots[0].Advice != nil || s.Slots[0].Attempt != 5 {
			t.Errorf("stopped by %v, held by %v, attempt %d", s.Stopped, s.Slots[0].Advice, s.Slots[0].Attempt)
		}
	})
}

// TestStopRulesOneBoardAgain: a board that fails again and again elsewhere is no
// board that passed there: the slot beside it is not held for it.
func TestStopRulesOneBoardAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := automatic(t, 2, func(w *world) { w.auto, w.stop = false, provision.StopRules{InARow: 4, SameSlot: 3} })
		defer f.close()
		bad := board(t, 100, faultOf("bad-signature"))
		for range 2 {
			f.pull(2, true)
			f.plug(2, bad)
			f.station.Provision(2)
			f.finish()
		}
		var n byte
		f.play(&n, played{1, "entropy"}, played{1, "entropy"}, played{1, "entropy"})
		if s := f.station.Snapshot(); code(s.Stopped) != "F-LINE-01" || s.Slots[0].Advice != nil {
			t.Errorf("stopped by %v, slot 1 held by %v; four boards in two slots did not pass", s.Stopped, s.Slots[0].Advice)
		}
	})
}

// TestStopThatNeedsAPerson: what heals by itself does not take the place of a
// stop that needs a person, and start the line behind everybody's back.
func TestStopThatNeedsAPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		release := make(chan struct{})
		f := automatic(t, 2, func(w *world) {
			w.auto, w.stop = false, provision.StopRules{InARow: 1}
			w.fit = func() error {
				if asked.Add(1) > 1 {
					return nil
				}
				<-release
				return errors.New("the disk is nearly full")
			}
		})
		defer f.close()
		f.plug(2, board(t, 2))
		f.station.Provision(2)
		synctest.Wait() // slot 2 asks for the disk
		f.plug(1, board(t, 1, faultOf("entropy")))
		f.station.Provision(1)
		for f.station.Snapshot().Stopped == nil {
			<-f.station.Changed()
		}
		close(release)
		f.finish()
		if v := f.want(2, provision.Fail); code(v.Fault) != "F-RECORD-03" {
			t.Fatalf("slot 2 ended with %v", v.Fault)
		}
		<-time.After(time.Minute) // long enough for every healer
		if s := f.station.Snapshot(); code(s.Stopped) != "F-LINE-01" {
			t.Errorf("the line is stopped by %v: nobody has seen to it", s.Stopped)
		}
	})
}

// TestHeldSlot: auto mode leaves a held slot alone and goes on in the others,
// until a person starts it by hand and it passes, or resumes the line; a stopped
// line goes on at once when it is resumed. All of it is on record.
func TestHeldSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := automatic(t, 3, func(w *world) { w.stop = provision.StopRules{SameSlot: 2, SameFault: 2} })
		defer f.close()
		var n byte
		f.play(&n, played{2, ""}, played{1, "silent"}, played{1, "entropy"})
		if v := f.want(1, provision.Fail); code(v.Advice) != "F-LINE-03" {
			t.Fatalf("held by %v", v.Advice)
		}
		f.pull(1, true)
		f.plug(1, board(t, 20))
		f.plug(3, board(t, 21))
		if v := f.want(1, provision.Ready); v.Note != v.Advice.Remedy {
			t.Errorf("the card says %q", v.Note)
		}
		f.want(3, provision.Busy)
		f.finish()
		if f.station.Snapshot().Ready != 0 || f.station.Provision() != 0 || f.station.Provision(1) != 1 {
			t.Error("a held slot starts only by its number")
		}
		f.finish()
		if v := f.want(1, provision.Pass); v.Advice != nil {
			t.Errorf("after a pass the slot is held by %v", v.Advice)
		}
		f.play(&n, played{1, "entropy"}, played{2, "entropy"})
		if s := f.station.Snapshot(); code(s.Stopped) != "F-LINE-02" {
			t.Fatalf("stopped by %v", s.Stopped)
		}
		f.pull(3, true)
		f.plug(3, board(t, 30))
		f.want(3, provision.Ready)
		f.station.Resume()
		f.want(3, provision.Busy)
		f.finish()
		f.want(3, provision.Pass)
		if err := f.station.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := f.checks(); len(got) != 2 || got[0].What != "line" || got[0].Outcome != record.Failed {
			t.Errorf("%+v", got)
		}
	})
}

// checks are the selfcheck entries, oldest first.
func (w *world) checks() (out []record.Body) {
	w.t.Helper()
	es, err := w.reader.EntriesOf(w.t.Context(), reader.Query{Kinds: []string{record.KindSelfcheck}})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range es {
		out = append(out, e.Body)
	}
	return out
}
