// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"fmt"
	"time"

	"provisioning.example/station/internal/ledger/reader"
)

const rhythmStep = 5 * time.Minute

// count reads the counters of the day so far from the ledger: what is shown is
// what is on record, after a restart too.
func count(ctx context.Context, r *reader.Reader, now time.Time) (Counters, error) {
	y, m, d := now.Date()
	day, err := r.Counts(ctx, time.Date(y, m, d, 0, 0, 0, 0, now.Location()), "")
	if err != nil {
		return Counters{}, fmt.Errorf("read the counters: %w", err)
	}
	c := Counters{
		Passed: day.Passed, Failed: day.Failed + day.Error,
		FirstTried: day.FirstTried, FirstPass: day.FirstPassed,
	}
	start := now.Add(-time.Duration(len(c.Hour)) * rhythmStep)
	hour, err := r.Rhythm(ctx, start.Add(time.Second), rhythmStep, len(c.Hour))
	if err != nil {
		return Counters{}, fmt.Errorf("read the counters: %w", err)
	}
	for i, b := range hour {
		c.Hour[i] = Bucket{b.Passed, b.Failed}
		c.PerHour += b.Passed
	}
	return c, nil
}

// recount brings the counters up to date. It is called where waiting is
// allowed, never from Snapshot.
func (st *Station) recount(ctx context.Context) {
	now := time.Now()
	c, err := count(ctx, st.cfg.Reader, now)
	if err != nil {
		st.cfg.Log.Warn("counters are not up to date", "err", err)
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.counted.Before(now) {
		st.counters, st.counted = c, now
	}
}
