// SPDX-License-Identifier: Apache-2.0

package provision

import "fmt"

// SetAuto switches auto mode: with it a run starts as soon as a board is there
// and, where labels are scanned, its label was. What waits now is started at
// once. Nothing starts while the line is stopped, beyond the order's quantity, or
// in a slot that is held (see SlotView.Advice). A board whose run has ended is
// not started again before it was taken away.
func (st *Station) SetAuto(on bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.auto = on
	st.kick()
	st.signal()
}

// kick starts what may start in auto mode. It is called wherever something has
// changed that a board could have waited for. st.mu is held.
func (st *Station) kick() {
	if !st.auto || !st.mayStart() {
		return
	}
	n := 0
	for _, s := range st.slots {
		if s.view.State == Ready && s.present && s.view.Advice == nil && st.places() > 0 {
			st.start(s, n)
			n++
		}
	}
}

// Unscan takes a slot's label back, before its run: the next scan is for it.
func (st *Station) Unscan(number int) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if number < 1 || number > len(st.slots) {
		return fmt.Errorf("there is no slot %d", number)
	}
	s := st.slots[number-1]
	if s.view.State != Ready || s.scanned == "" {
		return fmt.Errorf("slot %d has no label that could be taken back", number)
	}
	s.scanned = ""
	st.settle(s)
	st.notify(s, nil)
	return nil
}
