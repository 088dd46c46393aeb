// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"encoding/json"
	"io"
	"reflect"
	"sync"
	"time"

	"fyne.io/fyne/v2"

	"provisioning.example/station/internal/provision"
)

// The pace of redrawing.
const (
	pace   = 100 * time.Millisecond // at most one redraw in this time
	glance = 5 * time.Second        // how often an idle line is looked at, for figures that change by the hour
)

// threads is the only place where work crosses between the goroutine that
// draws and any other. Everything else in this package belongs to the drawing
// goroutine alone.
type threads struct {
	ctx   context.Context // ends with the window
	do    func(func())    // runs on the drawing goroutine, some time later
	queue chan func() func()
	poke  chan struct{}  // something to describe changed without the station
	apart sync.WaitGroup // what runs aside
}

func newThreads(ctx context.Context, do func(func())) *threads {
	if do == nil {
		do = fyne.Do
	}
	return &threads{ctx: ctx, do: do, queue: make(chan func() func(), 64), poke: make(chan struct{}, 1)}
}

// later runs f on the drawing goroutine after the event now being handled.
func (t *threads) later(f func()) {
	go func() {
		if t.ctx.Err() == nil {
			t.do(f)
		}
	}()
}

// changed makes the follower describe the screen anew.
func (t *threads) changed() {
	select {
	case t.poke <- struct{}{}:
	default:
	}
}

// inOrder runs work, which may block, away from the drawing goroutine and one
// after another in the order asked; what it returns is run on the drawing
// goroutine. It reports false where too much is waiting already.
func (t *threads) inOrder(work func() func()) bool {
	select {
	case t.queue <- work:
		return true
	default:
		return false
	}
}

// serve does what inOrder was given, until the window closes.
func (t *threads) serve() {
	for {
		select {
		case <-t.ctx.Done():
			return
		case work := <-t.queue:
			if then := work(); then != nil && t.ctx.Err() == nil {
				t.do(then)
			}
		}
	}
}

// aside runs work at once on a goroutine of its own, and what it returns on
// the drawing one.
func (t *threads) aside(work func(context.Context) func()) {
	t.apart.Go(func() {
		if then := work(t.ctx); then != nil && t.ctx.Err() == nil {
			t.do(then)
		}
	})
}

// ended waits, once the context has ended, for what runs aside: an export that
// is cut off takes its half file away.
func (t *threads) ended() { t.apart.Wait() }

// follower redraws from one snapshot whenever the station changed, at most
// once in a pace however much it changed, and in step with the clock while
// runs are going on.
type follower struct {
	*threads
	snapshot func() provision.Snapshot
	signal   <-chan struct{}
	draw     func(provision.Snapshot) // on the drawing goroutine
	tell     func() *description      // so too
	describe io.Writer                // nil: nobody asks

	last    provision.Snapshot
	written []byte
}

// follow runs until the window closes. A redraw still waiting for the drawing
// goroutine is waited for, so that a busy screen gathers no backlog.
func (f *follower) follow() {
	for first := true; f.ctx.Err() == nil; first = false {
		snap := f.snapshot()
		fresh := first || !reflect.DeepEqual(snap, f.last)
		f.last = snap
		if fresh || f.describe != nil {
			f.redraw(snap, fresh)
		}
		f.rest(pace)
		if running(snap.Slots) > 0 {
			continue
		}
		select {
		case <-f.ctx.Done():
		case <-f.signal:
		case <-f.poke:
		case <-time.After(glance):
		}
	}
}

// redraw draws what is fresh and describes what is on the screen then.
func (f *follower) redraw(snap provision.Snapshot, fresh bool) {
	drawn := make(chan *description, 1)
	f.do(func() {
		if fresh {
			f.draw(snap)
		}
		if f.describe == nil {
			drawn <- nil
			return
		}
		drawn <- f.tell()
	})
	select {
	case d := <-drawn:
		f.write(d)
	case <-f.ctx.Done():
	}
}

// rest waits, but not beyond the window's end.
func (f *follower) rest(d time.Duration) {
	select {
	case <-f.ctx.Done():
	case <-time.After(d):
	}
}

// write tells the description where it is not the last one again. A reader
// that went away ends the telling, not the program.
func (f *follower) write(d *description) {
	if d == nil {
		return
	}
	text, err := json.Marshal(d)
	if err != nil || string(text) == string(f.written) {
		return
	}
	f.written = text
	if _, err := f.describe.Write(append(text, '\n')); err != nil {
		f.describe = nil
	}
}

// latest returns a function that any goroutine may call as often as it likes
// with how far it is. draw sees the newest value on the drawing goroutine, to
// which report hands over, once for all that came before it got there.
func latest[T any](report func(func()), draw func(T)) func(T) {
	var mu sync.Mutex // guards what follows
	var value T
	waiting := false
	take := func() T {
		mu.Lock()
		defer mu.Unlock()
		waiting = false
		return value
	}
	put := func(v T) (first bool) {
		mu.Lock()
		defer mu.Unlock()
		value, first, waiting = v, !waiting, true
		return first
	}
	return func(v T) {
		if put(v) {
			report(func() { draw(take()) })
		}
	}
}

// report runs f on the drawing goroutine, some time later, unless the window
// is gone.
func (t *threads) report(f func()) {
	if t.ctx.Err() == nil {
		t.do(f)
	}
}
