// SPDX-License-Identifier: Apache-2.0

package label_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"provisioning.example/station/internal/label"
)

var errOff = errors.New("the printer is off")

// bench is a queue in front of something that prints, in a bubble of its own time.
type bench struct {
	*label.Queue
	mu    sync.Mutex
	off   bool // it refuses at once
	hangs bool // it takes labels and does not come back before its time is over
	refus int64
	told  []string
}

func newBench(look bool) *bench {
	b := &bench{}
	cfg := label.QueueConfig{Print: b.print, Tell: b.tell, Timeout: 10 * time.Second, Pause: 30 * time.Second}
	if look {
		cfg.Look = func(context.Context) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.off {
				return errOff
			}
			return nil
		}
	}
	b.off = look
	b.Queue = label.NewQueue(cfg)
	return b
}

func (b *bench) print(ctx context.Context, j label.Job) error {
	b.mu.Lock()
	off, hangs, refused := b.off, b.hangs, j.Seq == b.refus
	b.mu.Unlock()
	switch {
	case refused:
		return &label.RefusedError{Err: errors.New("scrapped")}
	case off:
		return errOff
	case hangs:
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (b *bench) tell(j label.Job, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	word := "printed"
	if err != nil {
		word = err.Error()
	}
	b.told = append(b.told, fmt.Sprintf("%d %s", j.Seq, word))
}

func (b *bench) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

func (b *bench) add(t *testing.T, seqs ...int64) {
	t.Helper()
	for _, seq := range seqs {
		if err := b.Add(label.Job{Epoch: 1, Seq: seq, Copies: 1}); err != nil {
			t.Fatal(err)
		}
	}
}

func (b *bench) want(t *testing.T, waits int, told ...string) {
	t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if n, _ := b.State(); n != waits || !slices.Equal(b.told, told) {
		t.Errorf("%d wait, %q; want %d, %q", n, b.told, waits, told)
	}
}

func (b *bench) close(t *testing.T, limit time.Duration, left int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if n := b.Close(ctx); n != left {
		t.Errorf("%d labels were left, want %d", n, left)
	}
	if err := b.Add(label.Job{Seq: 99}); !errors.Is(err, label.ErrLeft) {
		t.Errorf("a closed queue takes labels: %v", err)
	}
}

// until lets the bubble's time pass.
func until(d time.Duration) { <-time.After(d) }

func TestQueueOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(false)
		b.add(t, 1, 2, 3)
		b.want(t, 0, "1 printed", "2 printed", "3 printed")
		b.close(t, time.Second, 0)
	})
}

// TestQueueOff: a printer that is off holds nobody who adds a label, is told of
// once, and prints everything in its order when it is on again.
func TestQueueOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(false)
		b.set(func() { b.off = true })
		began := time.Now()
		b.add(t, 1, 2, 3)
		if time.Since(began) != 0 {
			t.Error("adding waited for the printer")
		}
		b.want(t, 3, "1 the printer is off")
		until(5 * time.Minute)
		b.want(t, 3, "1 the printer is off")
		if _, err := b.State(); !errors.Is(err, errOff) {
			t.Error(err)
		}
		b.set(func() { b.off = false })
		until(30 * time.Second)
		b.want(t, 0, "1 the printer is off", "1 printed", "2 printed", "3 printed")
		if _, err := b.State(); err != nil {
			t.Error(err)
		}
		b.close(t, time.Second, 0)
	})
}

// TestQueueHangs: a printer that takes labels and does not come back costs each
// try its time, and the line nothing.
func TestQueueHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(false)
		b.set(func() { b.hangs = true })
		b.add(t, 1)
		until(9 * time.Second)
		b.want(t, 1)
		began := time.Now()
		b.add(t, 2, 3)
		if time.Since(began) != 0 {
			t.Error("adding waited for the printer")
		}
		until(2 * time.Second)
		b.want(t, 3, "1 context deadline exceeded")
		b.set(func() { b.hangs = false })
		until(30 * time.Second)
		b.want(t, 0, "1 context deadline exceeded", "1 printed", "2 printed", "3 printed")
		b.close(t, time.Second, 0)
	})
}

func TestQueueRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(false)
		b.set(func() { b.refus = 1 })
		b.add(t, 1, 2)
		b.want(t, 0, "1 scrapped", "2 printed")
		if _, err := b.State(); err != nil {
			t.Errorf("a refused label is no trouble of the printer: %v", err)
		}
		b.close(t, time.Second, 0)
	})
}

// TestQueueEnd: what waits when the station stops is printed, or told of.
func TestQueueEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(false)
		b.set(func() { b.off = true })
		b.add(t, 1, 2, 3)
		b.want(t, 3, "1 the printer is off")
		b.close(t, time.Minute, 3)
		b.want(t, 0, "1 the printer is off", "2 "+label.ErrLeft.Error(), "3 "+label.ErrLeft.Error())
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBench(false)
		b.add(t, 1, 2, 3)
		b.close(t, time.Minute, 0)
		b.want(t, 0, "1 printed", "2 printed", "3 printed")
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBench(false)
		b.set(func() { b.hangs = true })
		b.add(t, 1, 2)
		began := time.Now()
		b.close(t, 3*time.Second, 2)
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("a printer that hangs held the end for %v", d)
		}
		b.want(t, 0, "1 context canceled", "2 "+label.ErrLeft.Error())
	})
}

// TestQueueLooks: a printer that is off is known before the first label, and that it
// is back without one.
func TestQueueLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(true)
		b.want(t, 0)
		if _, err := b.State(); !errors.Is(err, errOff) {
			t.Error(err)
		}
		b.set(func() { b.off = false })
		until(31 * time.Second)
		b.want(t, 0)
		if _, err := b.State(); err != nil {
			t.Error(err)
		}
		b.close(t, time.Second, 0)
	})
}

func TestQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(false)
		b.set(func() { b.off = true })
		for i := range label.MaxWaiting {
			b.add(t, int64(i+1))
		}
		if err := b.Add(label.Job{Seq: 99}); !errors.Is(err, label.ErrFull) {
			t.Error(err)
		}
		b.close(t, time.Second, label.MaxWaiting)
	})
}
