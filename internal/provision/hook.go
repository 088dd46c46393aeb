// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"

	"provisioning.example/station/internal/ledger"
)

// committed tells a crash test that a commit point was passed. Only tests can
// set the hook: its setter is compiled into them alone.
func (st *Station) committed(point string) {
	if st.testOnlyCommitted != nil {
		st.testOnlyCommitted(point)
	}
}

// record puts a run's entries on record. Only a mutant in a test does it late,
// to show that the power-cut rig would notice.
func (st *Station) record(ctx context.Context, b ledger.Batch) ([]int64, error) {
	if st.testOnlyRecord != nil {
		return st.testOnlyRecord(ctx, b)
	}
	return st.cfg.Ledger.Append(ctx, b)
}
