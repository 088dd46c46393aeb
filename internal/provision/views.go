// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"fmt"
	"slices"
	"time"
)

// Changed has a token when something changed since the last receive.
func (st *Station) Changed() <-chan struct{} { return st.changed }

// notify tells observers that a slot changed. st.mu is held.
func (st *Station) notify(s *slot, end *Result) {
	st.signal()
	st.cfg.Observe(Event{Slot: s.view, End: end})
}

func (st *Station) signal() {
	select {
	case st.changed <- struct{}{}:
	default:
	}
}

// Snapshot is the whole bench at one instant.
func (st *Station) Snapshot() Snapshot {
	c := st.cfg
	snap := Snapshot{
		Product:  c.Product.Name(),
		Operator: c.Operator, Role: c.Role, Simulated: c.Simulated, Demo: c.Demo,
	}
	if c.Health != nil {
		snap.Health = c.Health()
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	now := time.Now()
	snap.Counters, snap.Stopped, snap.Done = st.counters, st.stopped, st.done
	snap.Auto, snap.Training = st.auto, c.Training
	snap.Order, snap.Quantity = st.work.name(), st.work.quantity()
	for _, s := range st.slots {
		v := s.view
		if v.State == Busy {
			v.Elapsed = now.Sub(s.started)
		}
		if v.State == Ready && v.Advice == nil && st.mayStart() {
			snap.Ready++
		}
		if v.State == Scan && snap.ScanSlot == 0 {
			snap.ScanSlot = v.Slot
		}
		snap.Slots = append(snap.Slots, v)
	}
	snap.Ready = min(snap.Ready, st.places())
	return snap
}

func (st *Station) showStep(r *run, i int, name string) {
	st.show(r, func(v *SlotView) { v.Step, v.Note, v.State = i, name, Busy })
}

func (st *Station) showUnit(r *run) {
	st.show(r, func(v *SlotView) { v.Serial, v.UID, v.Attempt = r.serial, r.uid(), r.attempt })
}

func (st *Station) show(r *run, change func(*SlotView)) {
	st.mu.Lock()
	defer st.mu.Unlock()
	s := st.slots[r.slot-1]
	change(&s.view)
	st.notify(s, nil)
}

// showEnd shows and counts a run's result, and stops the line for a fault
// that is the station's.
func (st *Station) showEnd(r *run, failed *Fault, seq int64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	s := st.slots[r.slot-1]
	v := &s.view
	v.Elapsed, v.Entry, v.Fault, v.Serial, v.UID = time.Since(s.started), seq, failed, r.serial, r.uid()
	v.Attempt = r.attempt
	v.State, v.Step = Pass, len(procedure())
	v.Note = entryNote(seq)
	if failed == nil {
		st.countPass(r)
	}
	step := ""
	if failed != nil {
		v.State, v.Note, step = Fail, failed.Sentence, failed.Step
		v.Step = slices.IndexFunc(Steps(), func(i StepInfo) bool { return i.Code == failed.Step })
		if v.Step < 0 {
			v.Step = len(procedure()) - 1
		}
		if failed.Action == StopStation {
			st.stop(failed)
		}
	}
	s.cancel = nil
	if st.judge(s, r, failed); failed == nil {
		v.Advice = nil // its cable is good
	}
	defer st.kick()
	st.notify(s, &Result{
		Slot: r.slot, Port: r.port, Serial: r.serial, UID: r.uid(), Outcome: Outcome(failed), Fault: failed, Step: step,
		Entry: seq, CertSHA256: digestHex(r.cert), CertSerial: r.certSerial,
		Duration: v.Elapsed, Attempt: r.attempt, Retries: r.tries(),
	})
}

// stop stops the line. What heals by itself does not take the place of a stop that
// needs a person: the line would go on although nobody has seen to it. st.mu is
// held.
func (st *Station) stop(why *Fault) {
	if st.stopped != nil && !Heals(st.stopped) && Heals(why) {
		return
	}
	st.stopped = why
	if Heals(why) {
		st.healers.Go(func() { st.heal(why) })
	}
}

func entryNote(seq int64) string { return fmt.Sprintf("entry %d", seq) }
