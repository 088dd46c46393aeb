// SPDX-License-Identifier: Apache-2.0

package smp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
)

// A peer is the far end of a line in memory: it hands every request to the
// test's handler, which answers as it likes. What it says is queued, as in the
// buffer of a serial port, so that both ends may send at once.
type peer struct {
	net.Conn
	handle func(p *peer, m Message, n int) // n counts requests from 1
	out    chan string
}

func (p *peer) run() {
	var d Decoder
	buf := make([]byte, 512)
	n := 0
	for {
		k, err := p.Read(buf)
		if err != nil {
			return
		}
		d.Feed(buf[:k], func(b []byte) {
			if m, err := ParseMessage(bytes.Clone(b)); err == nil {
				n++
				p.handle(p, m, n)
			}
		}, func([]byte) {})
	}
}

// speak sends what is queued until the line or the test ends.
func (p *peer) speak(end <-chan struct{}) {
	for {
		select {
		case text := <-p.out:
			if _, err := io.WriteString(p, text); err != nil {
				return
			}
		case <-end:
			return
		}
	}
}

func (p *peer) say(text string) { p.out <- text }

func (p *peer) answer(m Message, body any) {
	payload, err := Marshal(body)
	if err != nil {
		payload = nil
	}
	p.reply(m, payload)
}

func (p *peer) reply(m Message, payload []byte) {
	m.Op, m.Payload = m.Op+1, payload
	p.say(string(AppendPacket(nil, m.Append(nil), true)))
}

// withPeer runs test with a client whose board is handle, inside a bubble of
// synthetic time.
func withPeer(t *testing.T, baud int, handle func(*peer, Message, int), test func(t *testing.T, c *Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		p := &peer{Conn: far, handle: handle, out: make(chan string, 1<<14)}
		end := make(chan struct{})
		var ends sync.WaitGroup
		ends.Go(p.run)
		ends.Go(func() { p.speak(end) })
		c := NewClient(ClientConfig{Stream: near, Baud: baud})
		defer func() {
			if err := errors.Join(c.Close(), far.Close()); err != nil {
				t.Error(err)
			}
			close(end)
			ends.Wait()
		}()
		test(t, c)
	})
}
