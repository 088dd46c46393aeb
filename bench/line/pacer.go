// SPDX-License-Identifier: Apache-2.0

package line

import "time"

// BitsPerByte is what a byte costs on a line set to 8N1: start, eight, stop.
const BitsPerByte = 10

// Pacer is the clock of one direction of a line: bytes cross it one behind the
// other, each in ten bit times, and never before they were handed in.
type Pacer struct {
	baud int       // 0: bytes cross at once
	free time.Time // when the last byte handed in so far is across
}

// NewPacer returns the clock of an idle line of baud bits per second; 0 is a
// line that takes no time.
func NewPacer(baud int) *Pacer { return &Pacer{baud: baud} }

// Cross hands in n bytes at the moment at, not before the bytes of earlier
// calls, and returns when the last of them is across.
func (p *Pacer) Cross(at time.Time, n int) time.Time {
	if at.After(p.free) {
		p.free = at
	}
	p.free = p.free.Add(Time(n, p.baud))
	return p.free
}

// Time is how long n bytes take on a line of baud bits per second.
func Time(n, baud int) time.Duration {
	if baud <= 0 {
		return 0
	}
	return time.Duration(n) * BitsPerByte * time.Second / time.Duration(baud)
}
