// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"fmt"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/record"
)

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
			p, err := st.past(ctx, last.Model, last.UID)
			if err != nil {
				return err
			}
			if p.issuing == nil && p.issued == nil {
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
