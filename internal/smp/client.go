// SPDX-License-Identifier: Apache-2.0

package smp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"
)

// A Stream is a serial line with deadlines: a port, or one end of a line in
// memory. A read past its deadline returns os.ErrDeadlineExceeded, and so does
// a read that waits while the deadline is moved into the past; Close wakes a
// reader. Deadlines may be set while a read or write is under way.
type Stream interface {
	io.ReadWriteCloser
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

const (
	defaultTries   = 3
	defaultTimeout = 2 * time.Second

	// writeGrace is what a board may stall its receiver (a flash write) beyond
	// the line time before the link counts as lost.
	writeGrace = 5 * time.Second

	// Drain ends when the line was quiet for drainQuiet, after drainMost at
	// the latest: a board that babbles is never quiet.
	drainQuiet = 20 * time.Millisecond
	drainMost  = 500 * time.Millisecond

	// maxWire is the size of the largest packet on the wire: base64, markers
	// and line ends. It bounds what an answer's line time may add to a timeout.
	maxWire = (MaxPacket + 2) / 3 * 4 * (lineChars + 4) / lineChars

	// idleReads is how many reads in a row may return nothing without an error.
	idleReads = 100
)

// ClientConfig is what a Client works with.
type ClientConfig struct {
	Stream Stream
	Baud   int          // bits per second, for the time a packet takes on the line; 0: none
	Log    *slog.Logger // nil: no log
}

// A Client asks a board one question at a time over a stream that it owns.
// Close, Console, Retries and SetPacketLimit may be called at any time.
type Client struct {
	stream Stream
	baud   int
	log    *slog.Logger

	console console
	retries atomic.Int64
	limit   atomic.Int64 // of a packet with its length and CRC, in bytes

	turn    chan struct{} // holds one token while a request is under way
	seq     uint8         // of the last request; owned by the holder of turn, as is all below
	column0 bool          // the board's receiver stands at the start of a line
	dec     Decoder
	buf     [4096]byte
	babble  int // bytes of text since the first send of the request
	idle    int // reads in a row that returned nothing
}

// NewClient returns a client for the board behind cfg.Stream. The first
// sequence number is random: an answer to someone else's request is not ours.
func NewClient(cfg ClientConfig) *Client {
	c := &Client{
		stream: cfg.Stream, baud: cfg.Baud, log: cfg.Log,
		turn: make(chan struct{}, 1), seq: uint8(rand.Uint32()),
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.limit.Store(MaxPacket)
	return c
}

// SetPacketLimit sets the size of the board's buffer (buf_size of the MCUmgr
// parameters) that a packet with its length and CRC must fit. It never goes
// above MaxPacket; n below 1 means MaxPacket.
func (c *Client) SetPacketLimit(n int) {
	if n < 1 || n > MaxPacket {
		n = MaxPacket
	}
	c.limit.Store(int64(n))
}

// Retries returns how many requests were sent again since NewClient.
func (c *Client) Retries() int { return int(c.retries.Load()) }

// Console returns the last 64 KiB of what the board sent outside of frames.
func (c *Client) Console() []byte { return c.console.last() }

// Close closes the stream. A request under way ends with a *LinkError.
func (c *Client) Close() error { return c.stream.Close() }

// Drain throws away what is waiting to be read, frames included, as after
// opening a port or a reset. Text is kept for Console. It returns when the line
// has been quiet for a moment; a broken link shows at the next request.
func (c *Client) Drain() {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	end := time.Now().Add(drainMost)
	for now := time.Now(); now.Before(end); now = time.Now() {
		quiet := now.Add(drainQuiet)
		if quiet.After(end) {
			quiet = end
		}
		n, err := c.read(context.Background(), quiet, func([]byte) {})
		if n == 0 && err != nil {
			break
		}
	}
	c.dec.reset(c.text)
}

// A Request is one question to a board.
type Request struct {
	Write   bool // else a read
	Group   uint16
	Cmd     uint8
	Body    any           // encoded by Marshal; nil: {}
	Timeout time.Duration // of one try, beyond the time on the line; 0: 2 s
	Tries   int           // sends in all; 0: 3
}

// String names the request for log and errors.
func (r Request) String() string { return fmt.Sprintf("group %d command %d", r.Group, r.Cmd) }

// Do sends r, repeats it with the same sequence number when no answer comes in
// time, and decodes the answer's payload into out (nil: its content does not
// matter). Everything that is not the answer is ignored: echoes, doubled and
// late answers to earlier requests, broken frames, text.
//
// Errors: ErrTimeout, ErrBabble, ErrTooLarge and ErrAnswer by errors.Is,
// *RCError for a refusal by the board, *LinkError when the stream fails, and the
// cause of ctx when it ends. Requests wait for each other.
func (c *Client) Do(ctx context.Context, r Request, out any) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return fmt.Errorf("%v: %w", r, context.Cause(ctx))
	}
	release := c.interruptible(ctx)
	defer release()
	answer, err := c.exchange(ctx, r)
	if err != nil {
		c.dec.reset(c.text) // last words without a line end belong to the console
		return fmt.Errorf("%v: %w", r, err)
	}
	refused, err := refusal(answer.Payload)
	if refused != nil {
		return fmt.Errorf("%v: %w", r, refused)
	}
	if err == nil && out != nil {
		err = Unmarshal(answer.Payload, out)
	}
	if err != nil {
		return fmt.Errorf("%v: %w: %w", r, ErrAnswer, err)
	}
	return nil
}

// interruptible makes the end of ctx wake a read or write of the stream. The
// function it returns must be called before the next request sets deadlines.
func (c *Client) interruptible(ctx context.Context) (release func()) {
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		past := time.Now().Add(-time.Second)
		// A stream that is gone has no deadlines, and nobody waits on it.
		_ = c.stream.SetReadDeadline(past)
		_ = c.stream.SetWriteDeadline(past)
	})
	return func() {
		if !stop() {
			<-woken
		}
	}
}

// exchange sends the request up to r.Tries times until its answer comes.
func (c *Client) exchange(ctx context.Context, r Request) (Message, error) {
	if r.Timeout <= 0 {
		r.Timeout = defaultTimeout
	}
	if r.Tries <= 0 {
		r.Tries = defaultTries
	}
	request, err := c.message(r)
	if err != nil {
		return Message{}, err
	}
	wire := request.Append(nil)
	c.babble = 0
	oversize := c.dec.oversize
	for try := range r.Tries {
		if try > 0 {
			c.retries.Add(1)
			c.log.Debug("no answer, sending again", "request", r.String(), "seq", request.Seq, "try", try+1)
		}
		n, err := c.send(ctx, wire)
		if err != nil {
			return Message{}, err
		}
		answer, err := c.await(ctx, request, time.Now().Add(c.lineTime(n)+r.Timeout))
		if !errors.Is(err, ErrTimeout) {
			return answer, err
		}
	}
	if c.dec.oversize > oversize {
		return Message{}, fmt.Errorf("%w: it is over the limit of %d bytes", ErrAnswer, MaxPacket)
	}
	return Message{}, fmt.Errorf("%w in %d tries of %v", ErrTimeout, r.Tries, r.Timeout)
}

// message builds the request with the next sequence number.
func (c *Client) message(r Request) (Message, error) {
	payload, err := Marshal(r.Body)
	if err != nil {
		return Message{}, err
	}
	if n, limit := headerLen+len(payload)+4, int(c.limit.Load()); n > limit {
		return Message{}, fmt.Errorf("%w: %d bytes, it takes %d", ErrTooLarge, n, limit)
	}
	op := OpRead
	if r.Write {
		op = OpWrite
	}
	c.seq++
	return Message{Op: op, Version: Version, Group: r.Group, Seq: c.seq, Cmd: r.Cmd, Payload: payload}, nil
}

// send writes one message as console lines and returns their size in bytes.
func (c *Client) send(ctx context.Context, message []byte) (int, error) {
	lines := AppendPacket(nil, message, c.column0)
	c.column0 = false
	err := c.stream.SetWriteDeadline(time.Now().Add(c.lineTime(len(lines)) + writeGrace))
	if err != nil {
		return 0, &LinkError{err}
	}
	// From here on the end of ctx moves the deadline itself.
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	n, err := c.stream.Write(lines)
	switch {
	case err != nil && ctx.Err() != nil:
		return n, context.Cause(ctx)
	case err != nil:
		return n, &LinkError{fmt.Errorf("send: %w", err)}
	case n < len(lines):
		return n, &LinkError{fmt.Errorf("send: %w", io.ErrShortWrite)}
	}
	return n, nil
}

// await reads until the answer to request has come. The deadline moves by the
// line time of what arrives, so that a long answer on a slow line that began in
// time is not cut off; maxWire bounds it.
func (c *Client) await(ctx context.Context, request Message, deadline time.Time) (Message, error) {
	var answer Message
	found, flooded, got := false, false, 0
	packet := func(b []byte) {
		m, err := ParseMessage(b)
		if err != nil || found || !m.answers(request) {
			return
		}
		m.Payload = append([]byte(nil), m.Payload...)
		answer, found = m, true
		flooded = c.babble > MaxConsole
	}
	for {
		n, err := c.read(ctx, deadline.Add(c.lineTime(min(got, maxWire))), packet)
		got += n
		switch {
		case found && !flooded:
			c.column0 = true
			return answer, nil
		case c.babble > MaxConsole:
			return Message{}, fmt.Errorf("%w: over %d bytes of text within one request", ErrBabble, MaxConsole)
		case ctx.Err() != nil:
			return Message{}, context.Cause(ctx)
		case errors.Is(err, os.ErrDeadlineExceeded):
			if !time.Now().Before(deadline.Add(c.lineTime(min(got, maxWire)))) {
				return Message{}, ErrTimeout
			}
		case err != nil:
			return Message{}, &LinkError{fmt.Errorf("receive: %w", err)}
		}
	}
}

// read reads once, until the deadline at the latest, and decodes what came.
func (c *Client) read(ctx context.Context, deadline time.Time, packet func([]byte)) (int, error) {
	if err := c.stream.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	// From here on the end of ctx moves the deadline itself.
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	n, err := c.stream.Read(c.buf[:])
	if n > 0 {
		c.idle = 0
		c.dec.Feed(c.buf[:n], packet, c.text)
		return n, err
	}
	if err == nil {
		if c.idle++; c.idle >= idleReads {
			return 0, io.ErrNoProgress
		}
	}
	return 0, err
}

// text takes what is no frame.
func (c *Client) text(b []byte) {
	c.console.write(b)
	c.babble += len(b)
}

// lineTime is how long n bytes take on the line: ten bits each (8N1).
func (c *Client) lineTime(n int) time.Duration {
	if c.baud <= 0 {
		return 0
	}
	return time.Duration(n) * 10 * time.Second / time.Duration(c.baud)
}
