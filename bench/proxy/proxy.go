// SPDX-License-Identifier: Apache-2.0

// Package proxy stands before a TPM on a Unix socket: it notes every command
// with its times, can make signatures as slow as a chip's, and can behave like
// the kernel's resource manager.
package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"provisioning.example/station/bench/clock"
)

// Command is one command of a client.
type Command struct {
	Code       uint32 // TPM_CC (TPM 2.0 Library, Part 2, section 6.5)
	Handle     uint32 // what follows the header: the first handle of a command that has one
	Start, End time.Time
	// Sent is how many commands the TPM got for it: 1, and with a resource
	// manager those that swap objects and sessions in and out besides.
	Sent int
}

// CCSign is TPM_CC_Sign.
const CCSign = 0x15D

// Config says where to stand.
type Config struct {
	Upstream string // the TPM's socket, raw commands; its control socket is Upstream.ctrl
	Listen   string // our socket; Listen.ctrl is passed on as it is
	// Manager makes all clients share one space of a resource manager. The
	// kernel has a space for each open file; clients that connect anew for each
	// command need theirs to last.
	Manager bool
}

// Proxy serves one client at a time, as a TPM on a socket does.
type Proxy struct {
	cfg     Config
	doors   []net.Listener
	work    sync.WaitGroup
	manager *space // owned by the serving goroutine; nil without Config.Manager

	mu    sync.Mutex // guards what follows
	pace  time.Duration
	log   []Command
	lines map[net.Conn]bool
	end   bool
}

// New listens and serves until Close.
func New(cfg Config) (*Proxy, error) {
	p := &Proxy{cfg: cfg, lines: map[net.Conn]bool{}}
	if cfg.Manager {
		p.manager = &space{}
	}
	for _, suffix := range []string{"", ".ctrl"} {
		l, err := net.Listen("unix", cfg.Listen+suffix)
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.doors = append(p.doors, l)
	}
	p.work.Go(func() { p.accept(p.doors[0], p.serve) })
	p.work.Go(func() { p.accept(p.doors[1], p.control) })
	return p, nil
}

// Close hangs up on everybody.
func (p *Proxy) Close() error {
	var errs []error
	for _, l := range p.doors {
		errs = append(errs, l.Close())
	}
	p.mu.Lock()
	p.end = true
	for c := range p.lines {
		c.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
	return errors.Join(errs...)
}

// Pace makes TPM2_Sign take at least d from now on.
func (p *Proxy) Pace(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pace = d
}

// Commands returns what was noted so far, and forgets it.
func (p *Proxy) Commands() []Command {
	p.mu.Lock()
	defer p.mu.Unlock()
	log := p.log
	p.log = nil
	return log
}

// Sent adds up what the TPM got for these commands.
func Sent(log []Command) int {
	n := 0
	for _, c := range log {
		n += c.Sent
	}
	return n
}

func (p *Proxy) accept(l net.Listener, serve func(client, tpm net.Conn)) {
	clock.Fine()
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		tpm, err := net.Dial("unix", p.upstream(l))
		if err != nil {
			client.Close()
			continue
		}
		if p.hold(client, tpm) {
			serve(client, tpm)
		}
		p.release(client, tpm)
	}
}

func (p *Proxy) upstream(l net.Listener) string {
	return p.cfg.Upstream + l.Addr().String()[len(p.cfg.Listen):]
}

// hold lets Close reach the connections.
func (p *Proxy) hold(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.lines[c] = true
	}
	return !p.end
}

func (p *Proxy) release(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(p.lines, c)
	}
}

// control passes a control channel on.
func (p *Proxy) control(client, tpm net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(client, tpm) // either end may hang up at any time
		client.Close()
	}()
	_, _ = io.Copy(tpm, client)
	tpm.Close()
	<-done
}

// serve carries commands until somebody hangs up.
func (p *Proxy) serve(client, tpm net.Conn) {
	up := &upstream{conn: tpm}
	for {
		command, err := readFrame(client)
		if err != nil {
			return
		}
		c := Command{Code: binary.BigEndian.Uint32(command[6:]), Start: time.Now()}
		if len(command) >= headerSize+4 {
			c.Handle = binary.BigEndian.Uint32(command[headerSize:])
		}
		before := up.sent
		var answer []byte
		if p.manager != nil {
			answer, err = p.manager.do(up, command)
		} else {
			answer, err = up.send(command)
		}
		if err != nil {
			return
		}
		c.Sent = up.sent - before
		clock.Until(p.due(c))
		c.End = time.Now()
		p.note(c)
		if _, err := client.Write(answer); err != nil {
			return
		}
	}
}

// due is when a chip would have the answer.
func (p *Proxy) due(c Command) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.Code != CCSign {
		return c.Start
	}
	return c.Start.Add(p.pace)
}

func (p *Proxy) note(c Command) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = append(p.log, c)
}

// upstream is the TPM, with a count of the commands it got.
type upstream struct {
	conn net.Conn
	sent int
}

func (u *upstream) send(command []byte) ([]byte, error) {
	u.sent++
	if _, err := u.conn.Write(command); err != nil {
		return nil, err
	}
	return readFrame(u.conn)
}

const (
	headerSize = 10 // tag, size, code (Part 1, section 18.2)
	maxFrame   = 8192
)

// readFrame reads one command or answer: its header tells its length.
func readFrame(r io.Reader) ([]byte, error) {
	frame := make([]byte, headerSize)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(frame[2:])
	if size < headerSize || size > maxFrame {
		return nil, fmt.Errorf("a frame claims %d bytes, allowed are %d to %d", size, headerSize, maxFrame)
	}
	frame = append(frame, make([]byte, size-headerSize)...)
	_, err := io.ReadFull(r, frame[headerSize:])
	return frame, err
}
