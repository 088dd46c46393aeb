// SPDX-License-Identifier: Apache-2.0

package ui

import "context"

// Desk is what QA does at the ledger screen beyond looking. The roof fills it,
// for no screen can write the ledger by itself; a nil function is one that who
// is signed in may not use. Each may block, and is never called on the drawing
// goroutine.
type Desk struct {
	Person string // id of who is signed in; a form offers it as who signs
	PIN    bool   // whoever signs shows a PIN

	// Correct and SignOff check the signature, write the entry and return its
	// number. They wipe the PIN. Their errors are sentences for who signs.
	Correct func(context.Context, Signature, Correction) (epoch int, seq int64, err error)
	SignOff func(context.Context, Signature, SignOff) (epoch int, seq int64, err error)

	// Verify audits the ledger as it is now and tells meanwhile how far it is:
	// what it does, and how many entries of all are judged.
	Verify func(ctx context.Context, progress func(what string, done, all int64)) (Verdict, error)
}

// Signature is who answers for an entry, and why.
type Signature struct {
	Person string // id or badge
	PIN    []byte
	Reason string
}

// Correction is what an earlier entry should have said.
type Correction struct {
	Epoch    int
	Seq      int64
	What     string // the field, as the entry names it, or another word
	Old, New string // Old is empty where the entry says nothing
}

// SignOff is for a range of entries of the newest epoch, both ends included.
type SignOff struct {
	From, To int64
	Meaning  string
}

// Verdict is what an audit found, in words.
type Verdict struct {
	Valid   bool   // nothing is wrong
	Proven  bool   // and the origin is proven
	Line    string // the verdict in one sentence
	Details []string
}
