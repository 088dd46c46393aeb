// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"errors"
	"fmt"
	"time"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/record"
)

// healEvery is how often a stopped ledger is tried again.
const healEvery = 5 * time.Second

// Heals tells whether a stopped line goes on by itself once what stopped it is
// over; every other stop needs a person.
func Heals(stop *Fault) bool { return stop.Code == "F-RECORD-01" || stop.Code == "F-RECORD-03" }

// heal lets the line go on by itself once the ledger that stopped it takes
// entries again: nobody needs to know of a button for that. What else stops
// the line needs a person at the station's settings, and a new start.
func (st *Station) heal(stop *Fault) {
	tick := time.NewTicker(healEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-st.quit:
			return
		}
		st.mu.Lock()
		over := st.stopped != stop
		st.mu.Unlock()
		if over {
			return // a person was faster
		}
		if st.fit() != nil {
			continue
		}
		b := st.stamp(record.Body{Kind: record.KindSelfcheck, What: "ledger", Outcome: record.Passed, Detail: "the ledger can be written again"})
		_, err := st.cfg.Ledger.Append(context.Background(), ledger.Batch{Bodies: []record.Body{b}})
		if err != nil {
			st.cfg.Log.Warn("the ledger still cannot be written", "err", err)
			var w *ledger.WriteError
			if errors.Is(err, ledger.ErrClosed) || errors.As(err, &w) && w.Final {
				return // only a new start opens and checks the file again
			}
			continue
		}
		st.mu.Lock()
		if st.stopped == stop {
			st.stopped = nil
			st.kick()
			st.signal()
		}
		st.mu.Unlock()
		return
	}
}

// endDeadRuns ends the runs that a station which died left open: this process
// is the home's only one, so nobody works on them. Their units are resumed by
// their next run; a unit for which nothing was ever to be signed gives its
// label back.
func (st *Station) endDeadRuns(ctx context.Context) error {
	open, err := st.cfg.Reader.OpenRuns(ctx)
	if err != nil {
		return fmt.Errorf("look for runs that were cut off: %w", err)
	}
	for _, run := range open {
		last := run.Entries[len(run.Entries)-1].Body
		b := st.stamp(record.Body{
			Kind: record.KindEnd, Run: run.Run, Serial: last.Serial, Model: last.Model, UID: last.UID,
			Slot: last.Slot, Port: last.Port, USB: last.USB, Order: last.Order, Attempt: last.Attempt, SPKI: last.SPKI,
			Outcome: record.Aborted, Reason: "the station stopped in the middle of the run",
		})
		if last.UID != "" {
			h, err := st.history(ctx, last.Model, last.UID)
			if err != nil {
				return err
			}
			if !h.toBeSigned() {
				b.Releases = claimed(run.Entries)
			}
		}
		if _, err := st.cfg.Ledger.Append(ctx, ledger.Batch{Bodies: []record.Body{b}}); err != nil {
			return fmt.Errorf("end run %s, which was cut off: %w", run.Run, err)
		}
		st.cfg.Log.Warn("ended a run that was cut off", "run", run.Run, "serial", last.Serial)
	}
	return nil
}

func claimed(entries []record.Entry) []record.Claim {
	var out []record.Claim
	for _, e := range entries {
		out = append(out, e.Body.Claims...)
	}
	return out
}
