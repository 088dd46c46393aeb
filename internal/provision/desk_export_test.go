// SPDX-License-Identifier: Apache-2.0

package provision

// OnCommit gives a desk that calls the hook after each commit point.
func (d Desk) OnCommit(hook func(point string)) Desk {
	d.testOnlyCommitted = hook
	return d
}
