// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestLineCarries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Line()
		sent := bytes.Repeat([]byte("0123456789abcdef"), 3*lineBuffer/16) // more than the buffer
		go func() {
			if n, err := a.Write(sent); n != len(sent) || err != nil {
				t.Errorf("wrote %d of %d bytes: %v", n, len(sent), err)
			}
			a.Close()
		}()
		got, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("read %d bytes of %d, %v", len(got), len(sent), err)
		}
	})
}

// TestLineDeadlines: a wait ends at its deadline, also one that is set, moved
// or passed while the wait is on.
func TestLineDeadlines(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*End, time.Time) error
		wait func(*End) error
	}{
		{"read", (*End).SetReadDeadline, func(e *End) error { _, err := e.Read(make([]byte, 1)); return err }},
		{"write", (*End).SetWriteDeadline, func(e *End) error { _, err := e.Write(make([]byte, lineBuffer+1)); return err }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, _ := Line()
				start := time.Now()
				expire := func(what string, want time.Duration) {
					t.Helper()
					if err := c.wait(a); !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("%s: error %v", what, err)
					}
					if took := time.Since(start); took != want {
						t.Errorf("%s: after %v, want %v", what, took, want)
					}
				}
				set := func(after time.Duration) {
					if err := c.set(a, start.Add(after)); err != nil {
						t.Error(err)
					}
				}
				set(time.Second)
				expire("set before", time.Second)
				expire("passed before", time.Second)
				set(5 * time.Second)
				time.AfterFunc(time.Second, func() { set(9 * time.Second) })
				expire("moved later", 9*time.Second)
				set(20 * time.Second)
				time.AfterFunc(time.Second, func() { set(0) })
				expire("moved into the past", 10*time.Second)
			})
		})
	}
}

// TestLineClose: closing either end wakes both; what was sent can be read.
func TestLineClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Line()
		if _, err := a.Write([]byte("last words")); err != nil {
			t.Fatal(err)
		}
		woken := make(chan error, 1)
		go func() { _, err := a.Read(make([]byte, 1)); woken <- err }()
		synctest.Wait()
		a.Close()
		if err := <-woken; !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("own read: %v", err)
		}
		if got, err := io.ReadAll(b); err != nil || string(got) != "last words" {
			t.Errorf("the other end reads %q, %v", got, err)
		}
		if _, err := b.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the other end writes: %v", err)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("own write: %v", err)
		}
		if err := b.SetReadDeadline(time.Now()); err != nil {
			t.Errorf("deadline on an end whose peer is gone: %v", err)
		}
	})
}
