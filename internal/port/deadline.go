// SPDX-License-Identifier: Apache-2.0

package port

import (
	"sync"
	"time"
)

// A deadline is a time that may move while others wait for it. The zero value
// never passes.
type deadline struct {
	mu    sync.Mutex // guards both
	at    time.Time
	moved chan struct{} // closed when at changes
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = t
	if d.moved != nil {
		close(d.moved)
		d.moved = nil
	}
}

// get returns the time and a channel that is closed when it is replaced.
func (d *deadline) get() (at time.Time, moved <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.moved == nil {
		d.moved = make(chan struct{})
	}
	return d.at, d.moved
}

func passed(at time.Time) bool { return !at.IsZero() && !time.Now().Before(at) }

// alarmAt returns a channel that receives at the time, nil for the zero time,
// and a function to be called when nobody waits for it any more.
func alarmAt(at time.Time) (alarm <-chan time.Time, stop func()) {
	if at.IsZero() {
		return nil, func() {}
	}
	t := time.NewTimer(time.Until(at))
	return t.C, func() { t.Stop() }
}
