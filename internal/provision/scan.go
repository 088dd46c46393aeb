// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"fmt"
	"strings"

	"provisioning.example/station/internal/filter"
	"provisioning.example/station/internal/ledger/reader"
)

// ScanReason says why a scan was refused.
type ScanReason uint8

// The reasons. Whatever it is, nothing has changed and the next scan is waited
// for.
const (
	ScanMalformed  ScanReason = iota // what was scanned is no serial at all
	ScanUnwanted                     // serials do not come from labels here
	ScanOtherOrder                   // the order's labels look otherwise
	ScanUsed                         // a unit with this serial passed, here or at another station
	ScanDoubled                      // the label is another slot's already
	ScanBusy                         // every board there is at work
	ScanNobody                       // no board waits for a label
	ScanUnreadable                   // the ledger could not be asked
)

// ScanError is a scan that was refused: a sentence for the person who scanned.
type ScanError struct {
	Reason   ScanReason
	Label    string // as scanned
	Slot     int    // ScanDoubled: whose label it is; ScanBusy: one that is at work
	Entry    int64  // ScanUsed: the last entry of that unit, 0 when it is another station's
	Sentence string
	Err      error // ScanUnreadable: why
}

func (e *ScanError) Error() string { return e.Sentence }
func (e *ScanError) Unwrap() error { return e.Err }

// Scan gives a scanned label to the first slot that waits for one, that which
// Snapshot names as ScanSlot, and returns that slot. Outside of auto mode it
// starts nothing. Errors are *[ScanError]; nothing has changed then.
func (st *Station) Scan(label string) (int, error) { return st.ScanFor(0, label) }

// ScanFor is Scan for one slot, 0 for the first that waits.
func (st *Station) ScanFor(number int, label string) (int, error) {
	label = strings.TrimSpace(label)
	if err := CheckSerial(label); err != nil {
		return 0, &ScanError{Reason: ScanMalformed, Label: label, Sentence: err.Error()}
	}
	if err := st.unused(label); err != nil {
		return 0, err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.wanted(label); err != nil {
		return 0, err
	}
	s, err := st.waiting(number, label)
	if err != nil {
		return 0, err
	}
	s.scanned = label
	st.settle(s)
	st.notify(s, nil)
	st.kick()
	return s.view.Slot, nil
}

// wanted refuses a label that is not the order's, or another slot's. st.mu is
// held.
func (st *Station) wanted(label string) error {
	refuse := func(reason ScanReason, slot int, format string, args ...any) error {
		return &ScanError{Reason: reason, Label: label, Slot: slot, Sentence: fmt.Sprintf(format, args...)}
	}
	if st.work.source != SerialScan {
		return refuse(ScanUnwanted, 0, "serials are not scanned for this order")
	}
	if o := st.work.order; o != nil && !o.Accepts(label) {
		return refuse(ScanOtherOrder, 0, "%s is no label of order %s, which wants %s", label, o.Name(), o.Pattern())
	}
	for _, s := range st.slots {
		switch {
		case s.scanned != label || s.view.State == Pass || s.view.State == Fail:
		case s.view.State == Busy:
			return refuse(ScanDoubled, s.view.Slot, "%s is being provisioned in slot %d", label, s.view.Slot)
		default:
			return refuse(ScanDoubled, s.view.Slot, "%s was scanned already, for slot %d", label, s.view.Slot)
		}
	}
	return nil
}

// waiting finds the slot that a label is for. st.mu is held.
func (st *Station) waiting(number int, label string) (*slot, error) {
	busy := 0
	for _, s := range st.slots {
		if number > 0 && s.view.Slot != number {
			continue
		}
		if s.view.State == Scan {
			return s, nil
		}
		if s.view.State == Busy && busy == 0 {
			busy = s.view.Slot
		}
	}
	if busy > 0 {
		return nil, &ScanError{Reason: ScanBusy, Label: label, Slot: busy, Sentence: fmt.Sprintf("slot %d is at work: scan the next label when its next board is in", busy)}
	}
	return nil, &ScanError{Reason: ScanNobody, Label: label, Sentence: "no board waits for a label"}
}

// unused refuses a serial that passed before. A serial of a unit that did not
// pass may be scanned again: that is how it is retried; so may one whose unit
// was scrapped or reworked. What another station has used is refused as far as
// its filter was imported here.
func (st *Station) unused(serial string) error {
	entries, err := st.cfg.Reader.EntriesOf(context.Background(), reader.Query{Serial: serial})
	if err != nil {
		return &ScanError{Reason: ScanUnreadable, Label: serial, Sentence: fmt.Sprintf("the ledger cannot be read: %v", err), Err: err}
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
		return &ScanError{
			Reason: ScanUsed, Label: serial, Entry: last,
			Sentence: fmt.Sprintf("%s passed already, entry %d: scan the board's own label", serial, last),
		}
	}
	for _, set := range st.cfg.Elsewhere {
		if !h.toBeSigned() && set.Has(filter.Serial, serial) {
			return &ScanError{
				Reason: ScanUsed, Label: serial,
				Sentence: fmt.Sprintf("%s was used at station %s: scan the board's own label", serial, set.Station()),
			}
		}
	}
	return nil
}
