// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"provisioning.example/station/internal/provision"
)

// follow runs a follower over made-up snapshots in a bubble of synthetic time.
// The test body gets the channel by which the station tells of a change.
func follow(t *testing.T, snapshot func() provision.Snapshot, describe io.Writer, body func(signal chan struct{}, drawn *[]time.Time)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		work, signal := make(chan func()), make(chan struct{}, 1)
		var drawn []time.Time
		f := &follower{
			threads:  newThreads(ctx, func(f func()) { work <- f }),
			snapshot: snapshot, signal: signal, describe: describe,
			draw: func(provision.Snapshot) { drawn = append(drawn, time.Now()) },
			tell: func() *description { return &description{Screen: fmt.Sprint(len(drawn))} },
		}
		go f.follow()
		go func() {
			for {
				select {
				case g := <-work:
					g()
				case <-ctx.Done():
					return
				}
			}
		}()
		synctest.Wait()
		body(signal, &drawn)
		cancel()
		synctest.Wait()
	})
}

// A thousand changes in a second are at most ten redraws, and the last change
// is drawn.
func TestChangesAreCoalesced(t *testing.T) {
	n := 0
	snapshot := func() provision.Snapshot { n++; return provision.Snapshot{Done: n} }
	follow(t, snapshot, nil, func(signal chan struct{}, drawn *[]time.Time) {
		begin := time.Now()
		for range 1000 {
			select {
			case signal <- struct{}{}:
			default:
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		if got := len(*drawn); got < 9 || got > 12 {
			t.Errorf("a second of changes was drawn %d times", got)
		}
		for i := 1; i < len(*drawn); i++ {
			if d := (*drawn)[i].Sub((*drawn)[i-1]); d < pace {
				t.Errorf("two redraws came within %v", d)
			}
		}
		time.Sleep(2 * pace)
		synctest.Wait()
		if last := (*drawn)[len(*drawn)-1]; last.Before(begin.Add(time.Second - pace)) {
			t.Error("the last change was never drawn")
		}
	})
}

// While boards run the clock is drawn without any change; an idle line is not
// drawn at all.
func TestPaceFollowsTheLine(t *testing.T) {
	var idle atomic.Bool
	snapshot := func() provision.Snapshot {
		if idle.Load() {
			return provision.Snapshot{Slots: []provision.SlotView{{Slot: 1}}}
		}
		return provision.Snapshot{Slots: []provision.SlotView{{Slot: 1, State: provision.Busy, Elapsed: time.Duration(time.Now().UnixNano())}}}
	}
	follow(t, snapshot, nil, func(_ chan struct{}, drawn *[]time.Time) {
		time.Sleep(time.Second)
		synctest.Wait()
		if got := len(*drawn); got < 9 || got > 12 {
			t.Errorf("a running board was drawn %d times in a second", got)
		}
		idle.Store(true)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		before := len(*drawn)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := len(*drawn); got != before {
			t.Errorf("an idle line was drawn %d times in a minute", got-before)
		}
	})
}

// The same screen is described once, a changed one again; a reader that went
// away is forgotten.
func TestDescriptionsAreToldOnce(t *testing.T) {
	var text strings.Builder
	var n atomic.Int64
	snapshot := func() provision.Snapshot { return provision.Snapshot{Done: int(n.Load())} }
	follow(t, snapshot, &text, func(signal chan struct{}, _ *[]time.Time) {
		time.Sleep(time.Minute)
		n.Store(1)
		signal <- struct{}{}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := strings.Count(text.String(), "\n"); got != 2 {
			t.Errorf("two screens were described by %d lines:\n%s", got, text.String())
		}
	})
	broken := &breaking{}
	follow(t, func() provision.Snapshot { return provision.Snapshot{Done: int(n.Add(1))} }, broken, func(chan struct{}, *[]time.Time) {
		time.Sleep(time.Minute)
	})
	if broken.writes != 1 {
		t.Errorf("a reader that went away was written to %d times", broken.writes)
	}
}

type breaking struct{ writes int }

func (b *breaking) Write([]byte) (int, error) {
	b.writes++
	return 0, errors.New("nobody reads")
}

// What a person asks for is done in the order asked, away from the drawing
// goroutine, and never waited for there.
func TestOrdersAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan int, 100)
		th := newThreads(ctx, func(f func()) { f() })
		hold := make(chan struct{})
		for i := range cap(th.queue) {
			if !th.inOrder(func() func() { <-hold; return func() { done <- i } }) {
				t.Fatalf("order %d was refused", i)
			}
		}
		if th.inOrder(func() func() { return nil }) {
			t.Error("an order beyond the bound was taken")
		}
		go th.serve()
		close(hold)
		synctest.Wait()
		for i := range cap(th.queue) {
			if got := <-done; got != i {
				t.Fatalf("order %d was done in place %d", got, i)
			}
		}
		cancel()
		synctest.Wait()
	})
}

// A secret goes nowhere but to who takes it out of its field: Enter makes no
// copy of it that nobody wipes.
func TestSecretIsNotHandedOn(t *testing.T) {
	test.NewTempApp(t)
	for secret, want := range map[bool]string{true: "", false: "770215"} {
		f := newField(darkPalette(), "")
		f.secret = secret
		told := "nothing was told"
		f.onSubmit = func(text string) { told = text }
		for _, r := range "770215" {
			f.TypedRune(r)
		}
		f.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
		if got := string(f.takeSecret()); told != want || got != "770215" {
			t.Errorf("secret %v: told %q, taken %q", secret, told, got)
		}
	}
}
