// SPDX-License-Identifier: Apache-2.0

package provision

// committed tells a crash test that a commit point was passed. Only tests can
// set the hook: its setter is compiled into them alone.
func (st *Station) committed(point string) {
	if st.testOnlyCommitted != nil {
		st.testOnlyCommitted(point)
	}
}
