// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"fmt"
	"strings"

	"provisioning.example/station/internal/ledger/reader"
)

// Scan gives a scanned label to the first slot that waits for one and returns
// that slot. It starts nothing. The error is a sentence for the person who
// scanned; nothing has changed then.
func (st *Station) Scan(label string) (int, error) {
	label = strings.TrimSpace(label)
	if err := CheckSerial(label); err != nil {
		return 0, err
	}
	if err := st.unused(label); err != nil {
		return 0, err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if o := st.work.order; o != nil && !o.Accepts(label) {
		return 0, fmt.Errorf("%s is no label of order %s, which wants %s", label, o.Name(), o.Pattern())
	}
	var first *slot
	for _, s := range st.slots {
		if s.scanned == label && s.view.State != Pass && s.view.State != Fail {
			return 0, fmt.Errorf("%s was scanned already, for slot %d", label, s.view.Slot)
		}
		if first == nil && s.view.State == Scan {
			first = s
		}
	}
	if first == nil {
		return 0, fmt.Errorf("no board waits for a label")
	}
	first.scanned = label
	st.settle(first)
	st.notify(first, nil)
	return first.view.Slot, nil
}

// unused refuses a serial that passed before. A serial of a unit that did not
// pass may be scanned again: that is how it is retried; so may one whose unit
// was scrapped.
func (st *Station) unused(serial string) error {
	entries, err := st.cfg.Reader.EntriesOf(context.Background(), reader.Query{Serial: serial})
	if err != nil {
		return fmt.Errorf("the ledger cannot be read: %w", err)
	}
	var h history
	var last int64
	for _, e := range entries {
		h.add(e.Body)
		if last = e.Seq; h.scrapped {
			h = history{} // scrapping gave the serial back
		}
	}
	if h.passed {
		return fmt.Errorf("%s passed already, entry %d: scan the board's own label", serial, last)
	}
	return nil
}
