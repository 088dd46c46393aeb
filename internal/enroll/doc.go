// SPDX-License-Identifier: Apache-2.0

// Package enroll is the station's side of the conversation that gives a board
// its identity: key, request, installation, proof, rehearsal and lock, over
// group 64 of SMP (see docs/protocol.md).
//
// A [Session] belongs to one board behind one [smp.Client]. Its methods are the
// protocol's commands and add what a station must do around them: every answer
// is checked for sizes, ranges and sense before it is used; a busy board is
// asked again; lost chunks are resumed; and after any silence the board must
// show that it is still the one that was spoken to. What a board says is
// believed only where a signature covers it: [Proof.Verify].
//
// Errors carry their cause for errors.Is and errors.As: those of this package,
// those of package smp, and *[smp.RCError] for what the board refused.
package enroll
