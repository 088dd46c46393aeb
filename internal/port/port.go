// SPDX-License-Identifier: Apache-2.0

// Package port finds serial ports and opens them for one owner.
//
// A [Port] is a serial line with deadlines on top of go.bug.st/serial, which
// has none for writing, reports a read timeout as (0, nil), and lets a write
// after Close run into whatever file got the descriptor. Here one goroutine
// reads, at most one writes, and the descriptor is closed only when both are
// out of it.
package port

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.bug.st/serial"
)

const (
	// pollEvery is how long the reading goroutine stays inside the serial
	// library at a time. The library's Close frees the descriptor before it
	// wakes a reader, so a reader must be outside; this bounds Close where
	// nothing else ends the reader's wait (hold.await).
	pollEvery = 100 * time.Millisecond

	// closeGrace bounds Close when a write is stuck in the kernel.
	closeGrace = 2 * time.Second

	// maxUnread bounds what is kept for Read, in bytes. Beyond it the board
	// has to wait, or the kernel drops what it sends.
	maxUnread = 64 << 10
)

// ErrLost says that the board or its cable is gone, or that the line took no
// bytes until the write deadline. The port can only be closed and opened again.
var ErrLost = errors.New("connection to the board lost")

// A Port is an open serial port, to be used by one goroutine for reading and
// one for writing at a time; deadlines and Close may come from any.
type Port struct {
	name string
	line serial.Port
	hold *hold

	mu      sync.Mutex
	unread  []byte // at most maxUnread and one read; guarded by mu, as is all to the blank line
	closed  bool
	lost    error // why gone is closed
	writing bool  // a transmit is under way

	arrived  chan struct{} // a token when unread is not empty
	room     chan struct{} // a token when unread has room again
	gone     chan struct{} // closed when the port is lost or closed
	finished chan struct{} // closed when the descriptors are
	closeErr error         // of the descriptors, once finished is closed

	readBy, writeBy deadline
	turn            chan struct{}  // held by the Write under way
	work            sync.WaitGroup // goroutines that may be inside line
}

// start takes over an open line and begins to read.
func start(name string, line serial.Port, h *hold) (*Port, error) {
	p := &Port{
		name: name, line: line, hold: h,
		arrived: make(chan struct{}, 1), room: make(chan struct{}, 1), turn: make(chan struct{}, 1),
		gone: make(chan struct{}), finished: make(chan struct{}),
	}
	if err := p.probe(); err != nil {
		return nil, err
	}
	p.work.Go(p.receive)
	return p, nil
}

// probe reads once without waiting. The library's select panics on descriptors
// above 1023; that must show here and not end the program later.
func (p *Port) probe() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("open %s: too many open files for the serial library: %v", p.name, r)
		}
	}()
	if err := p.line.SetReadTimeout(0); err != nil {
		return fmt.Errorf("open %s: %w", p.name, err)
	}
	var b [64]byte
	n, err := p.line.Read(b[:])
	if err != nil {
		return fmt.Errorf("open %s: %w: %w", p.name, ErrLost, err)
	}
	p.push(b[:n])
	if err := p.line.SetReadTimeout(pollEvery); err != nil {
		return fmt.Errorf("open %s: %w", p.name, err)
	}
	return nil
}

// Name returns the name that the port was opened by.
func (p *Port) Name() string { return p.name }

// receive moves what arrives to unread until the port is gone.
func (p *Port) receive() {
	var b [4096]byte
	for {
		p.hold.await()
		if p.isGone() {
			return
		}
		n, err := p.line.Read(b[:])
		if err != nil {
			p.fail(err)
			return
		}
		if n == 0 {
			continue // pollEvery passed
		}
		for !p.push(b[:n]) {
			select {
			case <-p.room:
			case <-p.gone:
				return
			}
		}
	}
}

// push keeps b for Read unless too much is kept already.
func (p *Port) push(b []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.unread) >= maxUnread {
		return false
	}
	if len(b) > 0 {
		p.unread = append(p.unread, b...)
		signal(p.arrived)
	}
	return true
}

// Read reads what has arrived, waiting for the first byte until the read
// deadline. Errors: os.ErrDeadlineExceeded, os.ErrClosed, ErrLost (after the
// last byte that came).
func (p *Port) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		at, moved := p.readBy.get()
		if passed(at) {
			return 0, fmt.Errorf("read %s: %w", p.name, os.ErrDeadlineExceeded)
		}
		if n, err := p.take(b); n > 0 || err != nil {
			return n, err
		}
		alarm, stop := alarmAt(at)
		select {
		case <-p.arrived:
		case <-p.gone:
		case <-moved:
		case <-alarm:
		}
		stop()
	}
}

// take moves unread bytes to b. Without any it reports why none will come.
func (p *Port) take(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, fmt.Errorf("read %s: %w", p.name, os.ErrClosed)
	}
	if len(p.unread) == 0 {
		if p.lost != nil {
			return 0, fmt.Errorf("read %s: %w", p.name, p.lost)
		}
		return 0, nil
	}
	n := copy(b, p.unread)
	p.unread = append(p.unread[:0], p.unread[n:]...)
	if len(p.unread) > 0 {
		signal(p.arrived)
	}
	if len(p.unread) < maxUnread {
		signal(p.room)
	}
	return n, nil
}

// SetReadDeadline sets the time after which Read returns
// os.ErrDeadlineExceeded, also one that waits; the zero time means never.
func (p *Port) SetReadDeadline(t time.Time) error { return p.set(&p.readBy, t) }

// SetWriteDeadline sets the time at which a Write that is under way makes the
// port lost, and after which a new one returns os.ErrDeadlineExceeded; the zero
// time means never.
func (p *Port) SetWriteDeadline(t time.Time) error { return p.set(&p.writeBy, t) }

func (p *Port) set(d *deadline, t time.Time) error {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return fmt.Errorf("set deadline of %s: %w", p.name, os.ErrClosed)
	}
	d.set(t)
	return nil
}

// Close wakes reader and writer and gives the port and its lock back. A write
// under way is given up. When the kernel does not let go of it, Close returns
// an error and the port stays locked until it does. A second Close does nothing.
func (p *Port) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	stuck := p.writing
	p.failLocked(os.ErrClosed)
	p.mu.Unlock()
	if stuck {
		p.hold.discardOutput()
	}
	go func() {
		p.work.Wait()
		p.closeErr = errors.Join(p.line.Close(), p.hold.Close())
		close(p.finished)
	}()
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-p.finished:
	case <-grace.C:
		return fmt.Errorf("close %s: the kernel holds on to a write; unplug the board", p.name)
	}
	if p.closeErr != nil {
		return fmt.Errorf("close %s: %w", p.name, p.closeErr)
	}
	return nil
}

// fail marks the port as lost, for the first cause it is given.
func (p *Port) fail(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failLocked(cause)
}

func (p *Port) failLocked(cause error) {
	if p.lost == nil {
		p.lost = fmt.Errorf("%w: %w", ErrLost, cause)
		close(p.gone)
		p.hold.wake()
	}
}

func (p *Port) isGone() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// why returns the error of a call that ended because the port is gone.
func (p *Port) why(op string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.whyLocked(op)
}

func (p *Port) whyLocked(op string) error {
	if p.closed {
		return fmt.Errorf("%s %s: %w", op, p.name, os.ErrClosed)
	}
	return fmt.Errorf("%s %s: %w", op, p.name, p.lost)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
