// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"

	"provisioning.example/station/internal/provision"
)

// Desk is what can be done at the ledger screen beyond looking. The roof fills
// it, for no screen can write or audit the ledger by itself.
type Desk struct {
	// QA corrects and signs off; nil: who is signed in may only look.
	QA *provision.QA

	// Person is the id of who is signed in, if that is somebody who may sign: a
	// form offers it.
	Person string

	// Verify audits the ledger as it is now, and tells meanwhile how far it is.
	// It takes its time, and ends early with its context. nil: it cannot be done.
	Verify func(ctx context.Context, tell func(Progress)) (Verdict, error)
}

// Progress is how far an audit is.
type Progress struct {
	Doing     string // in words
	Done, All int64  // entries; All is 0 while that is not known
}

// Verdict is what an audit found, in words.
type Verdict struct {
	Valid   bool     // nothing is wrong
	Proven  bool     // and nothing is missing for a proof
	Line    string   // in one sentence
	Summary []string // what was looked at
	Details []string // what is wrong, line by line; more about the proof
}
