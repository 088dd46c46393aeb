// SPDX-License-Identifier: Apache-2.0

package port

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
)

// writePiece is what one system call writes, in bytes: between two of them a
// write can be given up.
const writePiece = 1024

// errStalled is why a port is lost after a write deadline. It is not
// os.ErrDeadlineExceeded: for a later Read that would mean to try again.
var errStalled = errors.New("it took no bytes until the write deadline")

// A transmission is one Write on its way through the kernel.
type transmission struct {
	data []byte
	sent atomic.Int64 // bytes the kernel took
	done chan error
}

// Write writes all of b. When the write deadline passes before the kernel took
// it all, the port is lost: part of b is out, and the rest is thrown away.
// Errors: os.ErrDeadlineExceeded, os.ErrClosed, ErrLost.
func (p *Port) Write(b []byte) (int, error) {
	if err := p.takeTurn(); err != nil {
		return 0, err
	}
	defer func() { <-p.turn }()
	t := &transmission{data: bytes.Clone(b), done: make(chan error, 1)}
	if err := p.begin(t); err != nil {
		return 0, err
	}
	for {
		at, moved := p.writeBy.get()
		if passed(at) {
			p.fail(errStalled)
			p.hold.discardOutput() // lets a write that is stuck in the kernel go
			return int(t.sent.Load()), fmt.Errorf("write %s: %w: %w", p.name, ErrLost, os.ErrDeadlineExceeded)
		}
		alarm, stop := alarmAt(at)
		select {
		case err := <-t.done:
			stop()
			return int(t.sent.Load()), err
		case <-p.gone:
			stop()
			return int(t.sent.Load()), p.why("write")
		case <-moved:
		case <-alarm:
		}
		stop()
	}
}

// takeTurn waits for the Write before this one. A deadline that passes here
// costs nothing: no byte is out.
func (p *Port) takeTurn() error {
	for {
		at, moved := p.writeBy.get()
		if passed(at) {
			return fmt.Errorf("write %s: %w", p.name, os.ErrDeadlineExceeded)
		}
		alarm, stop := alarmAt(at)
		select {
		case p.turn <- struct{}{}:
			stop()
			return nil
		case <-p.gone:
			stop()
			return p.why("write")
		case <-moved:
		case <-alarm:
		}
		stop()
	}
}

// begin starts t unless the port is gone. That is decided under the lock that
// Close takes, so nothing is written after Close.
func (p *Port) begin(t *transmission) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost != nil {
		return p.whyLocked("write")
	}
	p.writing = true
	p.work.Go(func() {
		err := p.transmit(t)
		p.mu.Lock()
		p.writing = false
		p.mu.Unlock()
		t.done <- err
	})
	return nil
}

// transmit hands t to the kernel in pieces. The library may return fewer bytes
// than asked without an error; the rest is tried again, and a piece that does
// not move at all is an error.
func (p *Port) transmit(t *transmission) error {
	for rest := t.data; len(rest) > 0; {
		if p.isGone() {
			return p.why("write")
		}
		n, err := p.line.Write(rest[:min(len(rest), writePiece)])
		t.sent.Add(int64(n))
		rest = rest[n:]
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			p.fail(err)
			return p.why("write")
		case n == 0:
			p.fail(errors.New("the line takes no bytes"))
			return p.why("write")
		}
	}
	return nil
}
