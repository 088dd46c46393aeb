// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"errors"
	"fmt"
	"math"

	"provisioning.example/station/internal/filter"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/order"
)

// work is what the station builds now: an order or none, and where serials come
// from. A run keeps the work it began with.
type work struct {
	order  *order.Order // nil: none
	source string       // where serials come from, one of SerialUID and so on
	units  *Units       // the list of SerialList
}

// serialSources are the sources of a product's serials that an order's stand for.
var serialSources = map[string]string{
	order.Device: SerialUID, order.Scanned: SerialScan, order.Counted: SerialRange, order.Manifest: SerialList,
}

// newWork puts an order and a list of units together. The order decides where
// serials come from, and else the product; a list is used where one is wanted,
// and where somebody gave one although labels would be scanned.
func newWork(p *Product, o *order.Order, units *Units) (*work, error) {
	w := &work{order: o, source: p.SerialSource(), units: units}
	if o != nil && o.Serial() != "" {
		w.source = serialSources[o.Serial()]
		if units != nil && w.source != SerialList {
			return nil, fmt.Errorf("order %s gives serials by %s: a list of units does not go with it", o.Name(), o.Serial())
		}
	}
	if units != nil {
		w.source = SerialList
	}
	if w.source == SerialList && units == nil {
		return nil, errors.New("the serials come from a list of units, and none is given")
	}
	return w, nil
}

// name is the order's name, "" without one.
func (w *work) name() string {
	if w.order == nil {
		return ""
	}
	return w.order.Name()
}

// quantity is how many units the order wants, 0: no limit.
func (w *work) quantity() int {
	if w.order == nil {
		return 0
	}
	return w.order.Quantity()
}

// SerialSource tells where the units of an order get their serials from, as a
// product's SerialSource does; without an order it is the product's.
func SerialSource(p *Product, o *order.Order) string {
	if o != nil && o.Serial() != "" {
		return serialSources[o.Serial()]
	}
	return p.SerialSource()
}

// Take makes the station build for an order from now on, or for none (nil), with
// its list of units where it wants one. Runs that are going on end for the order
// they began with; labels that were scanned and not used are forgotten.
//
// How much of the order is done comes from the ledger. On an error the station
// goes on with what it had.
func (st *Station) Take(ctx context.Context, o *order.Order, units *Units) error {
	w, err := newWork(st.cfg.Product, o, units)
	if err != nil {
		return err
	}
	done, err := st.unitsDone(ctx, w)
	if err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if w.name() != st.work.name() {
		st.done = done
	}
	st.work = w
	for _, s := range st.slots {
		s.scanned = ""
		if s.present && (s.view.State == Ready || s.view.State == Scan) {
			st.settle(s)
			st.notify(s, nil)
		}
	}
	st.kick()
	st.signal()
	return nil
}

// unitsDone counts the units of an order that passed.
func (st *Station) unitsDone(ctx context.Context, w *work) (int, error) {
	if w.order == nil {
		return 0, nil
	}
	n, err := st.cfg.Reader.UnitsOf(ctx, w.name())
	if err != nil {
		return 0, fmt.Errorf("read how much of order %s is done: %w", w.name(), err)
	}
	return n, nil
}

// places is how many runs may still be started for the order: what it wants,
// less what is done and what is being done. Each run that goes on may pass, so
// that together they never make more than the order wants. st.mu is held.
func (st *Station) places() int {
	want := st.work.quantity()
	if want == 0 {
		return math.MaxInt
	}
	busy := 0
	for _, s := range st.slots {
		if s.view.State == Busy && s.work.name() == st.work.name() {
			busy++
		}
	}
	return max(want-st.done-busy, 0)
}

// countPass counts a unit that passed towards the order. A board that had passed
// for it before is the same unit. st.mu is held.
func (st *Station) countPass(r *run) {
	if r.work.name() != st.work.name() || r.work.order == nil {
		return
	}
	if !r.history.passed || r.history.passedFor != r.work.name() {
		st.done++
	}
}

// nextNumber is the serial of a range for the run's board: the one it had
// before, else the one behind the last that is on record, for whatever order, or
// that another run holds. A number is given to one board and never to another,
// not even when the first one did not pass; one that another station has used is
// passed over.
func (r *run) nextNumber(ctx context.Context) (string, error) {
	numbers := r.work.order.Numbers()
	elsewhere := func(serial string) bool { return r.notElsewhere(filter.Serial, serial, "F-CONNECT-21") != nil }
	if _, has := numbers.Index(r.history.given); has && !elsewhere(r.history.given) {
		return r.history.given, nil
	}
	last, found, err := r.st.cfg.Reader.LastSerial(ctx, numbers.Prefix(), numbers.Digits(), numbers.First(), numbers.Last())
	if err != nil {
		return "", &fault{"F-RECORD-04", fmt.Errorf("look for the last number of order %s: %w", r.work.name(), err)}
	}
	next := int64(0)
	if n, in := numbers.Index(last); found && in {
		next = n + 1
	}
	for ; next < numbers.Len(); next++ {
		serial := numbers.At(next)
		if elsewhere(serial) || r.st.bring(r, broughtSerial+serial) != nil {
			continue
		}
		// A run that held this number may have ended since the ledger was read
		// above: then the number is on record now.
		entries, err := r.st.cfg.Reader.EntriesOf(ctx, reader.Query{Serial: serial})
		if err != nil {
			return "", &fault{"F-RECORD-04", fmt.Errorf("look for number %s: %w", serial, err)}
		}
		if len(entries) == 0 {
			return serial, nil
		}
	}
	return "", &fault{"F-CONNECT-24", fmt.Errorf("order %s has the numbers %s to %s, and all are given", r.work.name(), numbers.First(), numbers.Last())}
}
