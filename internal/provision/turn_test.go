// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/virtual"
)

// four is a bench of four boards, and notes when each of its slots begins its
// first step.
func four(t *testing.T) (w *world, begins func() []time.Duration) {
	boards := map[string]*virtual.Board{}
	for i := range 4 {
		boards[portName(i+1)] = board(t, byte(i+1))
	}
	var mu sync.Mutex
	at := map[int]time.Duration{}
	start := time.Now()
	w = newWorld(t, boards, func(w *world) {
		w.watch = func(v provision.SlotView) {
			mu.Lock()
			defer mu.Unlock()
			if _, known := at[v.Slot]; !known && v.Step == 0 {
				at[v.Slot] = time.Since(start)
			}
		}
	})
	start = time.Now()
	return w, func() []time.Duration {
		mu.Lock()
		defer mu.Unlock()
		var out []time.Duration
		for _, d := range at {
			out = append(out, d)
		}
		slices.Sort(out)
		return out
	}
}

// TestRunsBeginOneAfterTheOther: the first of many boards has the station, and
// with its key the TPM, for itself.
func TestRunsBeginOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, begins := four(t)
		defer w.close()
		for slot, end := range w.run() {
			if end.Outcome != record.Passed {
				t.Errorf("slot %d: %+v", slot, end)
			}
		}
		got := begins()
		if len(got) != 4 || got[0] != 0 {
			t.Fatalf("runs began after %v", got)
		}
		for i := range got[1:] {
			if gap := got[i+1] - got[i]; gap != 4*time.Millisecond {
				t.Errorf("runs began after %v", got)
			}
		}
	})
}

// TestStopDoesNotWaitForATurn: a run that has not begun ends at once.
func TestStopDoesNotWaitForATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, begins := four(t)
		defer w.close()
		w.forget()
		w.station.Provision()
		if err := w.station.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		for slot, end := range w.finish() {
			if end.Outcome != record.Aborted {
				t.Errorf("slot %d: %+v", slot, end)
			}
		}
		for _, at := range begins() {
			if at != 0 {
				t.Errorf("a run was waited for until %v", at)
			}
		}
	})
}
