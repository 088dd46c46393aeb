// SPDX-License-Identifier: Apache-2.0

// Package conform tests whether a board keeps the enrollment protocol: for the
// authors of firmware, step by step, over the board's own console.
//
// The checks are one table, in the order of docs/protocol.md and of a board's
// life. Each names what it looks at and the section that says so; what is wrong
// is told as the step, what was expected and what came, with the bytes that
// passed. A run makes keys, installs chains of a throw-away authority, locks the
// board, and unlocks it with a rework key that it holds: a board that passes is
// blank again at the end.
package conform
