// SPDX-License-Identifier: Apache-2.0

// Package virtual is the device side of enrollment in Go: boards that live in
// memory, make real keys and real signatures, and answer over an in-memory
// line. Demo and tests provision them like any other board.
//
// A [Board] keeps what a real one keeps in flash (state, key, token, objects)
// apart from what it keeps in RAM (request, staging, nonces), and each change
// of the former happens at once or not at all. [Board.Dial] plugs a cable in;
// [Board.PowerCut] takes the power away.
//
// A board can be told to misbehave in one named way, see [Faults]. What each
// fault does is a row of one table.
package virtual
