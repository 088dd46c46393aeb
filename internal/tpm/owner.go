// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// job is one call that waits for the owner.
type job struct {
	ctx    context.Context
	queued time.Time
	// do talks to the TPM. It may run more than once: after a lost link it
	// starts again on a fresh one, with no session and no transient object
	// left, and must then find out by itself what it had already done.
	do   func(*bus) error
	done chan error // buffered: nobody may be waiting any more
}

// run queues do for the owner and waits for it or for the end of ctx. When ctx
// ends first the command may still be running; do must not share what it
// writes with the caller unless run returned nil.
func (t *TPM) run(ctx context.Context, do func(*bus) error) error {
	j := &job{ctx: ctx, queued: time.Now(), do: do, done: make(chan error, 1)}
	select {
	case t.jobs <- j:
	case <-ctx.Done():
		return t.ended(ctx)
	case <-t.life.Done():
		return ErrClosed
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		return t.ended(ctx)
	}
}

// ended is the error of a call whose context ended, with the reason if that was
// the TPM.
func (t *TPM) ended(ctx context.Context) error {
	if cause := t.away.Load(); cause != nil {
		return fmt.Errorf("%w: %w (%w)", ErrLost, *cause, ctx.Err())
	}
	return fmt.Errorf("wait for the TPM: %w", ctx.Err())
}

// own serves jobs one after the other until Close.
func (t *TPM) own() {
	defer close(t.done)
	for {
		select {
		case <-t.life.Done():
			t.closeErr = t.bus.close(true)
			return
		case j := <-t.jobs:
			select {
			case <-t.life.Done():
				j.done <- ErrClosed
			default:
				j.done <- t.serve(j)
			}
		}
	}
}

// serve runs one job, again after each lost link, until the TPM has answered or
// the job's time is over.
func (t *TPM) serve(j *job) error {
	b := t.bus
	b.ctx = j.ctx
	for tried := false; ; tried = true {
		if err := t.relink(j, tried); err != nil {
			return err
		}
		err := j.do(b)
		if b.link != nil {
			b.failures = 0
			t.away.Store(nil)
			return err
		}
		t.lose(b.broken)
	}
}

// lose notes that the link is gone and why.
func (t *TPM) lose(cause error) {
	b := t.bus
	if b.failures == 0 {
		b.lostSince = time.Now()
		b.log.Warn("the TPM is gone", "cause", cause)
	}
	b.failures++
	t.away.Store(&cause)
}

// relink returns when there is a link, or with ErrLost when the TPM stays away
// for longer than the job may wait: until its context ends, and no longer than
// the patience counted from the loss or from the call, whichever was later. A
// job that has not tried yet gets one try in any case.
func (t *TPM) relink(j *job, tried bool) error {
	b := t.bus
	since := j.queued
	if b.lostSince.After(since) {
		since = b.lostSince
	}
	until := since.Add(t.patience)
	for ; b.link == nil; tried = true {
		if tried && !time.Now().Before(until) {
			return fmt.Errorf("%w: %w", ErrLost, *t.away.Load())
		}
		if !b.pause(reopenPause(b.failures)) {
			return t.stopped(j.ctx)
		}
		ctx, cancel := context.WithTimeout(j.ctx, max(time.Until(until), quickLimit))
		stop := context.AfterFunc(t.life, cancel)
		err := b.connect(ctx, b.failures)
		stop()
		cancel()
		if err != nil {
			t.lose(err)
			continue
		}
		b.log.Info("the TPM is back", "tries", b.failures)
	}
	if j.ctx.Err() != nil {
		return t.stopped(j.ctx)
	}
	return nil
}

// stopped tells why a wait for the TPM was given up.
func (t *TPM) stopped(ctx context.Context) error {
	if ctx.Err() != nil {
		return t.ended(ctx)
	}
	return errors.Join(ErrClosed, ErrLost)
}

// reopenPause is the wait before the next try to reopen after so many failures
// in a row: none, then 10 ms doubling to 1 s.
func reopenPause(failures int) time.Duration {
	if failures <= 1 {
		return 0
	}
	return min(10*time.Millisecond<<min(failures-2, 10), time.Second)
}
