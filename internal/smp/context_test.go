// SPDX-License-Identifier: Apache-2.0

package smp

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestContextEnds(t *testing.T) {
	withPeer(t, 0, func(p *peer, m Message, n int) {
		if n > 1 {
			p.answer(m, nil)
		}
	}, func(t *testing.T, c *Client) {
		why := errors.New("the technician pressed stop")
		ctx, cancel := context.WithCancelCause(t.Context())
		start := time.Now()
		time.AfterFunc(300*time.Millisecond, func() { cancel(why) })
		if err := c.Do(ctx, question, nil); !errors.Is(err, why) || time.Since(start) != 300*time.Millisecond {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		if err := c.Do(ctx, question, nil); !errors.Is(err, why) {
			t.Errorf("with a context that ended before: %v", err)
		}
		// The client is as good as before.
		if err := c.Do(t.Context(), question, nil); err != nil {
			t.Error(err)
		}
	})
}

// late is a line on which a write deadline in the past takes a moment to set.
type late struct{ net.Conn }

func (l late) SetWriteDeadline(t time.Time) error {
	if t.Before(time.Now()) {
		<-time.After(time.Millisecond)
	}
	return l.Conn.SetWriteDeadline(t)
}

// An ended context leaves no deadline behind for the next request.
func TestContextLeavesNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		p := &peer{Conn: far, out: make(chan string, 1), handle: func(p *peer, m Message, n int) {
			if n == 1 {
				cancel()
				<-time.After(5 * time.Millisecond) // the next request has to wait
				return
			}
			p.answer(m, nil)
		}}
		end := make(chan struct{})
		var ends sync.WaitGroup
		ends.Go(p.run)
		ends.Go(func() { p.speak(end) })
		c := NewClient(ClientConfig{Stream: late{near}})
		if err := c.Do(ctx, question, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if err := c.Do(t.Context(), question, nil); err != nil {
			t.Error(err)
		}
		if err := errors.Join(c.Close(), far.Close()); err != nil {
			t.Error(err)
		}
		close(end)
		ends.Wait()
	})
}

// hooked is a line whose read deadline is set after hook has run.
type hooked struct {
	net.Conn
	hook func()
}

func (h *hooked) SetReadDeadline(t time.Time) error {
	if hook := h.hook; hook != nil && t.After(time.Now()) {
		h.hook = nil
		hook()
	}
	return h.Conn.SetReadDeadline(t)
}

// The context ends, and its deadline is set, just before the client sets its own.
func TestContextEndsBeforeTheDeadlineIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		c := NewClient(ClientConfig{Stream: &hooked{Conn: near, hook: func() {
			cancel()
			synctest.Wait()
		}}})
		go func() { _, _ = io.Copy(io.Discard, far) }() // ends with the pipe
		start := time.Now()
		if err := c.Do(ctx, question, nil); !errors.Is(err, context.Canceled) || time.Since(start) != 0 {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		if err := errors.Join(c.Close(), far.Close()); err != nil {
			t.Error(err)
		}
	})
}
