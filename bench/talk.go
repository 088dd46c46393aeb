// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"sync"
	"time"

	"provisioning.example/station/bench/line"
	"provisioning.example/station/internal/smp"
)

// The reset of MCUmgr's OS group.
const (
	groupOS  = 0
	cmdReset = 5
)

// talk listens to the conversation of one unit and takes its time apart.
type talk struct {
	mu    sync.Mutex // guards all: the line's two directions report at once
	begin time.Time  // first byte from the station

	side   [2]smp.Decoder
	asked  time.Time // when the request under way was whole at the board
	resets bool      // that request is a reset
	down   time.Time // when the board answered the reset; zero while it is up

	// wire is the bytes that a perfect station would have to carry as well:
	// those that cross while the board restarts wait for it and are not among them.
	wire int
	// compute is the board's time from each request to its answer, boot from
	// the answer of the reset to the first byte after it.
	compute, boot time.Duration
}

// watch takes one passage. A message counts from the moment its last byte is at
// the board, and until the moment its last byte leaves the board.
func (t *talk) watch(p line.Passage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.From == line.Station && t.begin.IsZero() {
		t.begin = p.Arrived
	}
	if t.begin.IsZero() {
		return // the boot log of a board nobody listens to yet
	}
	if t.down.IsZero() {
		t.wire += len(p.Bytes)
	}
	t.side[p.From].Feed(p.Bytes, func(b []byte) {
		m, err := smp.ParseMessage(b)
		if err != nil {
			return
		}
		if p.From == line.Station {
			t.asked, t.resets = p.Delivered, m.Group == groupOS && m.Cmd == cmdReset
		} else {
			t.answered(p.Arrived)
		}
	}, func(text []byte) {
		// The boot log; an empty line only stands before a frame.
		if p.From == line.Board && !t.down.IsZero() && len(bytes.TrimSpace(text)) > 0 {
			t.boot += p.Arrived.Sub(t.down)
			t.down = time.Time{}
		}
	})
}

func (t *talk) answered(at time.Time) {
	switch {
	case !t.down.IsZero() || t.asked.IsZero():
		return // asked while it restarts
	case t.resets:
		t.down = at
	}
	t.compute += max(at.Sub(t.asked), 0)
	t.asked = time.Time{}
}

// board is the time the board needed by itself.
func (t *talk) board() time.Duration { return t.compute + t.boot }
