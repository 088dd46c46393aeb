// SPDX-License-Identifier: Apache-2.0

package port

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

const (
	// lookEvery is the pause between two looks where no events tell of changes:
	// well within the 300 ms a technician is promised.
	lookEvery = 200 * time.Millisecond

	// lookAnyway is the pause where they do. A lost event costs this much.
	lookAnyway = time.Second

	// settleEvery is the pause while a new port may not be opened yet.
	settleEvery = 50 * time.Millisecond

	// settleGrace is how long a new port may stay so: udev sets owner and mode
	// of a node only after the kernel has told of it, and a loaded machine
	// takes its time. Then the port is told of, and opening it shows the trouble.
	settleGrace = 2 * time.Second
)

// An Event says that something may have changed. It is only a reason to look.
type Event struct {
	// Settled is the name of a port whose node has its final owner and mode,
	// "" when the event does not say so.
	Settled string
}

// A Bus is where serial ports are plugged in. The zero value is this machine's;
// a field replaces a part of it.
type Bus struct {
	Ports   func() ([]Info, error)                      // lists the ports; nil: List
	Allowed func(name string) error                     // nil: Access
	Events  func(context.Context) (<-chan Event, error) // until the context ends; nil: the kernel's and udev's
	Log     *slog.Logger                                // nil: nothing is logged
}

// List returns the ports that are plugged in now, sorted by name.
func (b Bus) List() ([]Info, error) {
	if b.Ports != nil {
		return b.Ports()
	}
	return List()
}

// Access tells why the port may not be opened by this process, nil when it may.
// It does not open it. Errors as of Open.
func (b Bus) Access(name string) error {
	if b.Allowed != nil {
		return b.Allowed(name)
	}
	return Access(name)
}

// Watch calls changed with all ports that are plugged in: at once, and again
// each time they differ, until ctx ends. A new port is told of when it may be
// opened, or when it is clear that it may not.
//
// Events only cause a look at the list, which alone is the truth. Where there
// are none, or where they prove to be incomplete, the list is looked at every
// 200 ms. While the list cannot be read, nothing changes.
func (b Bus) Watch(ctx context.Context, changed func([]Info)) {
	w := &watcher{bus: b, log: b.Log, fresh: map[Info]time.Time{}, settled: map[string]bool{}}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	w.listen(ctx)
	w.look()
	w.known = w.listed // what was there before has had its time to settle
	clear(w.fresh)
	changed(slices.Clone(w.known))
	for w.wait(ctx) {
		before := w.listed
		if !w.look() {
			continue
		}
		w.untold = w.untold || !w.heard && !slices.Equal(before, w.listed)
		if w.admit() {
			changed(slices.Clone(w.known))
		}
	}
}

// A watcher is one Watch; its goroutine owns it.
type watcher struct {
	bus     Bus
	log     *slog.Logger
	events  <-chan Event       // nil: look every lookEvery
	heard   bool               // an event is why there is a look now
	untold  bool               // a look found what no event has told of yet
	blind   bool               // the list could not be read
	listed  []Info             // as of the last look
	known   []Info             // what was told
	fresh   map[Info]time.Time // listed, not told: since when
	settled map[string]bool    // names that Event.Settled gave since the last look
}

func (w *watcher) listen(ctx context.Context) {
	source := w.bus.Events
	if source == nil {
		source = listen
	}
	events, err := source(ctx)
	if err != nil {
		w.log.Info("no events about ports, looking instead", "every", lookEvery, "err", err)
		return
	}
	w.events = events
}

// wait returns when it is time to look again; false when ctx ended.
func (w *watcher) wait(ctx context.Context) bool {
	pause := lookEvery
	switch {
	case len(w.fresh) > 0:
		pause = settleEvery
	case w.events != nil:
		pause = lookAnyway
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	w.heard = false
	select {
	case <-ctx.Done():
		return false
	case e, open := <-w.events:
		w.take(ctx, e, open)
		w.drain(ctx)
	case <-timer.C:
		w.doubt()
	}
	return ctx.Err() == nil
}

func (w *watcher) take(ctx context.Context, e Event, open bool) {
	w.heard, w.untold = true, false
	if e.Settled != "" {
		w.settled[e.Settled] = true
	}
	if !open {
		w.events = nil
		if ctx.Err() == nil {
			w.log.Warn("events about ports have ended, looking instead", "every", lookEvery)
		}
	}
}

// drain takes all that is waiting: one look is enough for a hub full of boards.
func (w *watcher) drain(ctx context.Context) {
	for w.events != nil {
		select {
		case e, open := <-w.events:
			w.take(ctx, e, open)
		default:
			return
		}
	}
}

// doubt runs when a pause passed without an event. If the look before it found
// a change, the event is not late but missing: in some containers the kernel's
// socket can be had, and stays silent.
func (w *watcher) doubt() {
	if w.events != nil && w.untold && len(w.fresh) == 0 {
		w.events = nil
		w.log.Warn("events about ports are incomplete, looking instead", "every", lookEvery)
	}
}

// look reads the list and reports whether it could.
func (w *watcher) look() bool {
	now, err := w.bus.List()
	if err != nil {
		if !w.blind {
			w.log.Warn("the ports cannot be listed", "err", err)
		}
		w.blind = true
		return false
	}
	w.blind = false
	w.listed = now
	return true
}

// admit brings known from what was told to what is listed, without the new
// ports that are not ready yet; it reports whether that is a change.
func (w *watcher) admit() bool {
	now := time.Now()
	var told []Info
	fresh := map[Info]time.Time{}
	for _, p := range w.listed {
		if slices.Contains(w.known, p) {
			told = append(told, p)
			continue
		}
		since, waiting := w.fresh[p]
		if !waiting {
			since = now
		}
		if w.bus.Access(p.Name) == nil || w.settled[p.Name] || now.Sub(since) >= settleGrace {
			told = append(told, p)
		} else {
			fresh[p] = since
		}
	}
	clear(w.settled)
	w.fresh = fresh
	if slices.Equal(told, w.known) {
		return false
	}
	w.known = told
	return true
}
