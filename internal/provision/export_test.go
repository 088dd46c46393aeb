// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"sync"
	"time"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/record"
)

// OnCommit sets the hook that is called after each commit point. It must be
// set before the first run.
func (st *Station) OnCommit(hook func(point string)) { st.testOnlyCommitted = hook }

// SendFirst makes a mutant of the station: certificates leave before they are
// on record.
func (st *Station) SendFirst() {
	var mu sync.Mutex
	held := map[string]ledger.Batch{}
	st.testOnlyRecord = func(ctx context.Context, b ledger.Batch) ([]int64, error) {
		last := b.Bodies[len(b.Bodies)-1]
		mu.Lock()
		defer mu.Unlock()
		if last.Kind == record.KindIssued {
			held[last.Run] = b
			return make([]int64, len(b.Bodies)), nil
		}
		if late, ok := held[last.Run]; ok {
			delete(held, last.Run)
			if _, err := st.cfg.Ledger.Append(ctx, late); err != nil {
				return nil, err
			}
		}
		return st.cfg.Ledger.Append(ctx, b)
	}
}

// SetWall replaces the wall clock.
func (st *Station) SetWall(wall func() time.Time) { st.wall = wall }

// Catalogue and Common let tests compare the fault tables with the docs.
func Catalogue() []Fault { return catalogue }

// Classify is the one function from errors to faults.
var Classify = classify

// Common are the faults any step that talks to the board can end with.
func Common(step string) []Fault {
	var out []Fault
	for _, c := range common {
		out = append(out, Fault{"F-" + step + "-" + c.nn, step, c.sentence, c.remedy, c.action, nil})
	}
	return out
}
