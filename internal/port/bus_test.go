// SPDX-License-Identifier: Apache-2.0

package port

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A fakeBus is a machine whose ports come and go as a test wants.
type fakeBus struct {
	events chan Event // what the system tells; nil: it has no events

	mu      sync.Mutex // guards what follows
	ports   []Info
	listErr error
	denied  map[string]bool
	seen    [][]Info // what Watch told
	at      []time.Time
	looks   int
}

func (f *fakeBus) plug(names ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range names {
		f.ports = append(f.ports, Info{Name: n})
	}
	sortByName(f.ports)
}

func (f *fakeBus) pull(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ports = slices.DeleteFunc(slices.Clone(f.ports), func(p Info) bool { return p.Name == name })
}

func (f *fakeBus) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// watch starts to watch; call it in a bubble.
func (f *fakeBus) watch(t *testing.T) {
	b := Bus{
		Ports: func() ([]Info, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.looks++
			return slices.Clone(f.ports), f.listErr
		},
		Allowed: func(name string) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.denied[name] {
				return &PermissionError{Name: name}
			}
			return nil
		},
		Events: func(context.Context) (<-chan Event, error) {
			if f.events == nil {
				return nil, errors.New("no events here")
			}
			return f.events, nil
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Watch(ctx, func(ports []Info) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.seen, f.at = append(f.seen, ports), append(f.at, time.Now())
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
}

// last is what Watch told last, and how often it told something.
func (f *fakeBus) last() (names []string, times int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.seen[len(f.seen)-1] {
		names = append(names, p.Name)
	}
	return names, len(f.seen)
}

func (f *fakeBus) looked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.looks
}

func (f *fakeBus) want(t *testing.T, times int, names ...string) {
	t.Helper()
	synctest.Wait()
	if got, n := f.last(); !slices.Equal(got, names) || n != times {
		t.Fatalf("told %d times, last %v; want %d times, %v", n, got, times, names)
	}
}

// pass lets time go by inside a bubble.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestWatchEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeBus{events: make(chan Event, 8)}
		f.plug("/dev/ttyS0")
		f.watch(t)
		f.want(t, 1, "/dev/ttyS0")
		f.plug("/dev/ttyUSB0")
		f.want(t, 1, "/dev/ttyS0") // nobody has said anything yet
		before := time.Now()
		f.events <- Event{}
		f.want(t, 2, "/dev/ttyS0", "/dev/ttyUSB0")
		if waited := time.Since(before); waited != 0 {
			t.Errorf("the board was found %v after its event, not at it", waited)
		}
		f.pull("/dev/ttyS0")
		f.events <- Event{}
		f.want(t, 3, "/dev/ttyUSB0")
		f.events <- Event{}
		f.want(t, 3, "/dev/ttyUSB0") // nothing was different
	})
}

// A hub full of boards is many events; they are one look, or a few.
func TestWatchBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeBus{events: make(chan Event, 500)}
		f.watch(t)
		f.plug("/dev/ttyUSB0", "/dev/ttyUSB1", "/dev/ttyUSB2")
		f.set(func() { // nobody looks while the events come in
			f.looks = 0
			for range cap(f.events) {
				f.events <- Event{}
			}
		})
		f.want(t, 2, "/dev/ttyUSB0", "/dev/ttyUSB1", "/dev/ttyUSB2")
		if n := f.looked(); n > 3 {
			t.Errorf("%d looks for one burst", n)
		}
	})
}

func TestWatchWithoutEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeBus{}
		f.watch(t)
		f.plug("/dev/ttyUSB0")
		pass(lookEvery)
		f.want(t, 2, "/dev/ttyUSB0")
		f.pull("/dev/ttyUSB0")
		pass(lookEvery)
		f.want(t, 3)
	})
}

// udev sets the permissions of a node after the kernel has told of it.
func TestWatchWaitsForPermission(t *testing.T) {
	const name = "/dev/ttyUSB0"
	for what, c := range map[string]struct {
		settle func(f *fakeBus)
		wait   time.Duration
	}{
		"the node may be opened":   {func(f *fakeBus) { f.set(func() { f.denied = nil }) }, settleEvery},
		"udev is done, still shut": {func(f *fakeBus) { f.events <- Event{Settled: name} }, 0},
		"nothing ever says so":     {func(*fakeBus) {}, settleGrace},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeBus{events: make(chan Event, 8), denied: map[string]bool{name: true}}
				f.watch(t)
				f.plug(name)
				f.events <- Event{}
				f.want(t, 1)
				f.events <- Event{Settled: "/dev/ttyUSB1"} // another's
				f.want(t, 1)
				began := time.Now()
				c.settle(f)
				pass(c.wait)
				f.want(t, 2, name)
				if told := f.at[1].Sub(began); told > c.wait {
					t.Errorf("told after %v", told)
				}
			})
		})
	}
}

// What is there at the start is told at once, allowed or not; and who pulls a
// board while its node is shut is forgotten.
func TestWatchShutAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeBus{events: make(chan Event, 8), denied: map[string]bool{"/dev/ttyS0": true, "/dev/ttyUSB0": true}}
		f.plug("/dev/ttyS0")
		f.watch(t)
		f.want(t, 1, "/dev/ttyS0")
		f.plug("/dev/ttyUSB0")
		f.events <- Event{}
		f.want(t, 1, "/dev/ttyS0")
		f.pull("/dev/ttyUSB0")
		f.events <- Event{}
		pass(2 * settleGrace)
		f.want(t, 1, "/dev/ttyS0")
	})
}

// A board that goes and comes back between two looks is another board.
func TestWatchSwap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeBus{events: make(chan Event, 8)}
		f.plug("/dev/ttyUSB0")
		f.ports[0].USB.Address = "1:17"
		f.watch(t)
		f.set(func() { f.ports[0].USB.Address = "1:18" })
		f.events <- Event{}
		f.want(t, 2, "/dev/ttyUSB0")
		if got := f.seen[1][0].USB.Address; got != "1:18" {
			t.Errorf("address %s", got)
		}
	})
}

func TestWatchEventsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeBus{events: make(chan Event)}
		f.watch(t)
		close(f.events)
		f.plug("/dev/ttyUSB0")
		pass(lookEvery)
		f.want(t, 2, "/dev/ttyUSB0")
		looks := f.looked()
		pass(10 * lookEvery)
		if n := f.looked() - looks; n > 11 {
			t.Errorf("%d looks in ten pauses: a closed channel is asked again and again", n)
		}
	})
}

// A socket that stays silent is found out, then the list is looked at often.
func TestWatchSilentEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeBus{events: make(chan Event)}
		f.watch(t)
		f.plug("/dev/ttyUSB0")
		pass(lookAnyway)
		f.want(t, 2, "/dev/ttyUSB0")
		pass(lookAnyway) // no event came late either
		f.plug("/dev/ttyUSB1")
		pass(lookEvery)
		f.want(t, 3, "/dev/ttyUSB0", "/dev/ttyUSB1")
	})
}

// An event that is only late is no reason to doubt the others.
func TestWatchLateEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeBus{events: make(chan Event, 1)}
		f.watch(t)
		f.plug("/dev/ttyUSB0")
		pass(lookAnyway)
		f.events <- Event{}
		pass(4 * lookAnyway)
		looks := f.looked()
		pass(4 * lookAnyway)
		if n := f.looked() - looks; n > 5 {
			t.Errorf("%d looks in four long pauses", n)
		}
	})
}

func TestWatchBlind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeBus{}
		f.plug("/dev/ttyUSB0")
		f.watch(t)
		f.set(func() { f.ports, f.listErr = nil, fs.ErrPermission })
		pass(3 * lookEvery)
		f.want(t, 1, "/dev/ttyUSB0") // not known is not gone
		f.set(func() { f.listErr = nil })
		pass(lookEvery)
		f.want(t, 2)
	})
}

// TestWatchTree watches a tree of sysfs: a board is there once its terminal's
// directory is, and the event follows.
func TestWatchTree(t *testing.T) {
	root := tree(t, bench)
	dev := filepath.Join(t.TempDir(), "dev")
	events, told := make(chan Event), make(chan []Info, 8)
	b := Bus{
		Ports:  Lister{Root: root, Dev: dev}.List,
		Events: func(context.Context) (<-chan Event, error) { return events, nil },
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); b.Watch(ctx, func(p []Info) { told <- p }) }()
	next := func() []Info {
		select {
		case p := <-told:
			return p
		case <-ctx.Done():
			t.Fatal("nothing was told")
			return nil
		}
	}
	first := next()
	if i := slices.IndexFunc(first, func(p Info) bool { return p.Name == filepath.Join(dev, "ttyUSB2") }); i < 0 || first[i].USB.Address != "1:9" {
		t.Errorf("at the start: %+v", first)
	}
	address := filepath.Join(root, "devices/pci0/usb1/1-2/devnum")
	if err := os.WriteFile(address, []byte("10\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	events <- Event{Settled: filepath.Join(dev, "ttyUSB2")}
	if p := next(); !slices.ContainsFunc(p, func(p Info) bool { return p.USB.Address == "1:10" }) {
		t.Errorf("plugged in anew: %+v", p)
	}
	if err := os.Remove(filepath.Join(root, "class/tty/ttyUSB2")); err != nil {
		t.Fatal(err)
	}
	events <- Event{}
	if p := next(); len(p) != len(first)-1 {
		t.Errorf("pulled out: %+v", p)
	}
	cancel()
	<-done
}

// TestWatchHere watches this machine: with its events, or without.
func TestWatchHere(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	calls := 0
	Bus{}.Watch(ctx, func([]Info) { calls++; cancel() })
	if calls == 0 {
		t.Error("the ports at the start were not told")
	}
}

func TestIsLocation(t *testing.T) {
	for s, want := range map[string]bool{
		"1-1.4:1.0": true, "1-2:1.0.3": true, "3-1": true, "10-1.2.3.4.5.6.7:1.12": true,
		"": false, "usb1": false, "1-": false, "1-1.4:1": false, "01-1": false, "1-1\n": false, "../1-1": false, "1-0": false,
	} {
		if IsLocation(s) != want {
			t.Errorf("%q: %t", s, !want)
		}
	}
	if d := Device("1-1.4:1.0"); d != "1-1.4" {
		t.Errorf("device %s", d)
	}
}
