// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"io"
	"os"
	"sync"
	"time"
)

// lineBuffer is how many bytes wait in one direction of a line before a writer
// blocks: more than the largest packet, so that no answer needs a reader.
const lineBuffer = 64 << 10

// An End is one end of a line in memory. It behaves like a serial port: what
// is written here is read there, reads and writes have deadlines, and closing
// either end breaks the line. All waits are on channels and timers, so that a
// line inside a testing/synctest bubble blocks durably.
type End struct {
	in, out *lane
}

// Line returns the two ends of a new line.
func Line() (a, b *End) {
	ab, ba := newLane(), newLane()
	return &End{in: ba, out: ab}, &End{in: ab, out: ba}
}

// Read reads what the other end wrote. It blocks until there is data, the
// read deadline passes (os.ErrDeadlineExceeded), the other end is closed
// (io.EOF, after what was written before) or this one is (io.ErrClosedPipe).
func (e *End) Read(p []byte) (int, error) { return e.in.read(p) }

// Write writes all of p, waiting for room where 64 KiB are unread. It ends
// early at the write deadline or when either end is closed.
func (e *End) Write(p []byte) (int, error) { return e.out.write(p) }

// SetReadDeadline moves the deadline of reads, one that waits included. The
// zero time means none.
func (e *End) SetReadDeadline(t time.Time) error { return e.in.setDeadline(&e.in.readBy, t) }

// SetWriteDeadline moves the deadline of writes.
func (e *End) SetWriteDeadline(t time.Time) error { return e.out.setDeadline(&e.out.writeBy, t) }

// Close breaks the line and wakes both ends. What this end wrote before can
// still be read at the other.
func (e *End) Close() error {
	e.in.close(true)
	e.out.close(false)
	return nil
}

// A lane is one direction of a line.
type lane struct {
	mu       sync.Mutex // guards all below
	data     []byte
	readBy   time.Time
	writeBy  time.Time
	closed   bool          // nobody writes any more
	deserted bool          // nobody reads any more
	changed  chan struct{} // closed, and replaced, whenever something above changes
}

func newLane() *lane { return &lane{changed: make(chan struct{})} }

// change wakes all who wait. The caller holds mu.
func (l *lane) change() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *lane) read(p []byte) (int, error) {
	for {
		l.mu.Lock()
		switch {
		case l.deserted:
			l.mu.Unlock()
			return 0, io.ErrClosedPipe
		case expired(l.readBy):
			l.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case len(l.data) > 0 || len(p) == 0:
			n := copy(p, l.data)
			l.data = l.data[n:]
			l.change()
			l.mu.Unlock()
			return n, nil
		case l.closed:
			l.mu.Unlock()
			return 0, io.EOF
		}
		changed, by := l.changed, l.readBy
		l.mu.Unlock()
		wait(changed, by)
	}
}

func (l *lane) write(p []byte) (int, error) {
	done := 0
	for {
		l.mu.Lock()
		switch {
		case l.closed || l.deserted:
			l.mu.Unlock()
			return done, io.ErrClosedPipe
		case expired(l.writeBy):
			l.mu.Unlock()
			return done, os.ErrDeadlineExceeded
		}
		if n := min(len(p)-done, lineBuffer-len(l.data)); n > 0 {
			l.data = append(l.data, p[done:done+n]...)
			done += n
			l.change()
		}
		changed, by := l.changed, l.writeBy
		l.mu.Unlock()
		if done == len(p) {
			return done, nil
		}
		wait(changed, by)
	}
}

func (l *lane) setDeadline(which *time.Time, t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deserted {
		return io.ErrClosedPipe
	}
	*which = t
	l.change()
	return nil
}

// close ends the lane for its writer, or for its reader as well: then nobody
// can take what is left in it.
func (l *lane) close(byReader bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if byReader {
		l.deserted, l.data = true, nil
	}
	l.change()
}

func expired(by time.Time) bool { return !by.IsZero() && !time.Now().Before(by) }

// wait returns when changed is closed, or at the time by.
func wait(changed <-chan struct{}, by time.Time) {
	if by.IsZero() {
		<-changed
		return
	}
	timer := time.NewTimer(time.Until(by))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}
