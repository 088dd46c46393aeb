// SPDX-License-Identifier: Apache-2.0

package enroll

import (
	"bytes"
	"io"
	"net"
	"sync"
	"time"
)

// A memConn is one end of a connection in memory for the rehearsal. Unlike
// net.Pipe it buffers: a server that refuses while its client is still writing
// must not wait for it. Both sides are our own TLS stack, so a handshake's few
// kilobytes are the bound. Deadlines are not needed: closing wakes all.
type memConn struct {
	in, out *queue
}

func memPipe() (client, server *memConn) {
	up, down := newQueue(), newQueue()
	return &memConn{in: down, out: up}, &memConn{in: up, out: down}
}

func (c *memConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *memConn) Write(p []byte) (int, error) { return c.out.write(p) }

// Close ends both directions. What was written before can still be read.
func (c *memConn) Close() error {
	c.in.close()
	c.out.close()
	return nil
}

func (c *memConn) LocalAddr() net.Addr              { return memAddr{} }
func (c *memConn) RemoteAddr() net.Addr             { return memAddr{} }
func (c *memConn) SetDeadline(time.Time) error      { return nil }
func (c *memConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }

type memAddr struct{}

func (memAddr) Network() string { return "memory" }
func (memAddr) String() string  { return "rehearsal" }

// A queue is one direction.
type queue struct {
	mu     sync.Mutex // guards all below
	more   *sync.Cond
	data   bytes.Buffer
	closed bool
}

func newQueue() *queue {
	q := &queue{}
	q.more = sync.NewCond(&q.mu)
	return q
}

func (q *queue) read(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.data.Len() == 0 && !q.closed {
		q.more.Wait()
	}
	if q.data.Len() == 0 {
		return 0, io.EOF
	}
	return q.data.Read(p)
}

func (q *queue) write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0, io.ErrClosedPipe
	}
	q.more.Broadcast()
	return q.data.Write(p)
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.more.Broadcast()
}
