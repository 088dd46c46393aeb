// SPDX-License-Identifier: Apache-2.0

package provision

import "time"

// OnCommit sets the hook that is called after each commit point. It must be
// set before the first run.
func (st *Station) OnCommit(hook func(point string)) { st.testOnlyCommitted = hook }

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
