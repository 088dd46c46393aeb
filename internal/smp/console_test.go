// SPDX-License-Identifier: Apache-2.0

package smp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestBabble(t *testing.T) {
	line := strings.Repeat("x", 127) + "\n"
	withPeer(t, 0, func(p *peer, _ Message, _ int) {
		for range 3 * MaxConsole / len(line) {
			p.say(line)
		}
	}, func(t *testing.T, c *Client) {
		err := c.Do(t.Context(), question, nil)
		if !errors.Is(err, ErrBabble) || c.Retries() != 0 {
			t.Errorf("got %v after %d retries, want ErrBabble", err, c.Retries())
		}
		if n := len(c.Console()); n != MaxConsole {
			t.Errorf("%d bytes of console text are kept, want %d", n, MaxConsole)
		}
	})
	// As much text as is allowed, over all tries, then the answer: twice.
	withPeer(t, 0, func(p *peer, m Message, n int) {
		p.say(strings.Repeat(line, MaxConsole/2/len(line)))
		if n%2 == 0 {
			p.answer(m, nil)
		}
	}, func(t *testing.T, c *Client) {
		for range 2 {
			if err := c.Do(t.Context(), question, nil); err != nil {
				t.Error(err)
			}
		}
	})
	// One byte more, in one piece with the answer; text after it is free.
	for _, extra := range []string{"", "\n"} {
		withPeer(t, 0, func(p *peer, m Message, _ int) {
			p.say(strings.Repeat(line, MaxConsole/len(line)))
			m.Op++
			p.say(extra + string(AppendPacket(nil, m.Append(nil), true)) + line)
		}, func(t *testing.T, c *Client) {
			if err := c.Do(t.Context(), question, nil); errors.Is(err, ErrBabble) != (extra != "") {
				t.Errorf("with %d more bytes: %v", len(extra), err)
			}
		})
	}
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := NewClient(ClientConfig{Stream: near})
		go func() {
			_, _ = io.WriteString(far, "*** Booting ***\nuart:~$ \x06\x09AAsI") // ends with the pipe
		}()
		c.Drain()
		if got := string(c.Console()); got != "*** Booting ***\nuart:~$ \x06\x09AAsI" {
			t.Errorf("console text is %q", got)
		}
		if err := errors.Join(c.Close(), far.Close()); err != nil {
			t.Error(err)
		}
	})
	// A board that is never quiet does not hold the station up.
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := NewClient(ClientConfig{Stream: near})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				if _, err := io.WriteString(far, "tick\n"); err != nil {
					return
				}
				<-time.After(time.Millisecond)
			}
		}()
		start := time.Now()
		c.Drain()
		if d := time.Since(start); d != drainMost {
			t.Errorf("drained for %v, want %v", d, drainMost)
		}
		if err := errors.Join(c.Close(), far.Close()); err != nil {
			t.Error(err)
		}
		<-done
	})
}

// Last words of a board that hangs, without a line end, are on the console.
func TestLastWords(t *testing.T) {
	withPeer(t, 0, func(p *peer, _ Message, n int) {
		if n == 3 {
			p.say("hard fault at 0x")
		}
	}, func(t *testing.T, c *Client) {
		if err := c.Do(t.Context(), question, nil); !errors.Is(err, ErrTimeout) {
			t.Fatal(err)
		}
		if got := string(c.Console()); got != "hard fault at 0x" {
			t.Errorf("console text is %q", got)
		}
	})
}

func TestConsoleKeepsTheLast64KiB(t *testing.T) {
	var c console
	var all []byte
	for i := range 9 {
		piece := bytes.Repeat([]byte{byte('a' + i)}, 30000+i)
		c.write(piece)
		all = append(all, piece...)
		if want := all[max(0, len(all)-MaxConsole):]; !bytes.Equal(c.last(), want) {
			t.Fatalf("after %d bytes the last %d are wrong", len(all), len(want))
		}
	}
	if c.write(make([]byte, 5*MaxConsole)); len(c.last()) != MaxConsole || cap(c.text) > 3*MaxConsole {
		t.Errorf("%d bytes, capacity %d", len(c.last()), cap(c.text))
	}
}
