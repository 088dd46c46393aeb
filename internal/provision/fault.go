// SPDX-License-Identifier: Apache-2.0

package provision

import "fmt"

// Action is the one thing the technician does about a fault.
type Action uint8

// The actions. Every fault has exactly one.
const (
	Retry       Action = iota // try the same board again; always safe
	RejectUnit                // put the board aside, another try will not help
	StopStation               // nothing is provisioned until the station is mended
)

var actionNames = [...]string{"retry", "reject unit", "stop station"}

func (a Action) String() string { return actionNames[a] }

// Fault is why a run did not pass: a stable code, a sentence for the person
// at the bench and what to do. Err keeps the technical cause for the log.
type Fault struct {
	Code     string // F-STEP-NN, never renumbered
	Step     string // the step's code, as in Steps
	Sentence string
	Remedy   string
	Action   Action
	Err      error
}

// Error tells code, sentence and cause in one line.
func (f *Fault) Error() string {
	if f.Err == nil {
		return fmt.Sprintf("%s %s", f.Code, f.Sentence)
	}
	return fmt.Sprintf("%s %s (%v)", f.Code, f.Sentence, f.Err)
}

// Unwrap gives the technical cause.
func (f *Fault) Unwrap() error { return f.Err }
