// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"provisioning.example/station/internal/smp"
)

const (
	// maxTrace bounds the bytes kept of one check.
	maxTrace = 64 << 10
	// maxOthers bounds the messages kept that nobody waits for.
	maxOthers = 32
	// writeGrace is what a board may stall its receiver beyond the line time.
	writeGrace = 5 * time.Second
)

// A Frame is what passed in one direction, until the direction changed.
type Frame struct {
	Sent  bool // by the station
	Bytes []byte
}

// A tap is a stream that remembers what passes. Whoever uses it does so from
// one goroutine at a time, as a smp.Client does.
type tap struct {
	smp.Stream
	frames []Frame
	size   int
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Stream.Read(p)
	t.note(false, p[:n])
	return n, err
}

func (t *tap) Write(p []byte) (int, error) {
	t.note(true, p)
	return t.Stream.Write(p)
}

func (t *tap) note(sent bool, b []byte) {
	b = b[:min(len(b), maxTrace-t.size)]
	if len(b) == 0 {
		return
	}
	t.size += len(b)
	if last := len(t.frames) - 1; last >= 0 && t.frames[last].Sent == sent {
		t.frames[last].Bytes = append(t.frames[last].Bytes, b...)
		return
	}
	t.frames = append(t.frames, Frame{sent, bytes.Clone(b)})
}

func (t *tap) forget() { t.frames, t.size = nil, 0 }

// received are the bytes of the board since the last forget.
func (t *tap) received() []byte {
	var out []byte
	for _, f := range t.frames {
		if !f.Sent {
			out = append(out, f.Bytes...)
		}
	}
	return out
}

// What an exchange can end with, besides a *smp.LinkError and the end of ctx.
var (
	errSilent = errors.New("no answer")
	errFlood  = errors.New("over 64 KiB of text and no answer")
)

// A wire sends bytes as they are, broken ones included, and takes answers.
type wire struct {
	tap  *tap
	baud int // 0: no line time
	dec  smp.Decoder
	seq  uint8
	buf  [4096]byte
}

func newWire(t *tap, baud int) *wire { return &wire{tap: t, baud: baud, seq: uint8(rand.Uint32())} }

func (w *wire) next() uint8 {
	w.seq++
	return w.seq
}

// lineTime is how long n bytes take on the line: ten bits each (8N1).
func (w *wire) lineTime(n int) time.Duration {
	if w.baud <= 0 {
		return 0
	}
	return time.Duration(n) * 10 * time.Second / time.Duration(w.baud)
}

// exchange sends raw and reads until wanted takes a message, which it returns
// with the messages before it. errSilent comes when none did in time, counted
// from the last byte sent plus the time of what came on the line.
func (w *wire) exchange(ctx context.Context, raw []byte, timeout time.Duration, wanted func(smp.Message) bool) (*smp.Message, []smp.Message, error) {
	defer w.interruptible(ctx)()
	if err := w.write(ctx, raw); err != nil {
		return nil, nil, err
	}
	var found *smp.Message
	var others []smp.Message
	packet := func(b []byte) {
		m, err := smp.ParseMessage(b)
		if err != nil || found != nil {
			return
		}
		m.Payload = bytes.Clone(m.Payload)
		if wanted(m) {
			found = &m
		} else if len(others) < maxOthers {
			others = append(others, m)
		}
	}
	text, got := 0, 0
	deadline := time.Now().Add(w.lineTime(len(raw)) + timeout)
	for {
		n, err := w.read(ctx, deadline.Add(w.lineTime(min(got, 2*smp.MaxPacket))), packet, func(b []byte) { text += len(b) })
		got += n
		switch {
		case found != nil:
			return found, others, nil
		case ctx.Err() != nil:
			return nil, nil, context.Cause(ctx)
		case text > smp.MaxConsole:
			return nil, others, errFlood
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, others, errSilent
		case err != nil:
			return nil, nil, &smp.LinkError{Err: err}
		}
	}
}

func (w *wire) write(ctx context.Context, raw []byte) error {
	if err := w.tap.SetWriteDeadline(time.Now().Add(w.lineTime(len(raw)) + writeGrace)); err != nil {
		return &smp.LinkError{Err: err}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, err := w.tap.Write(raw); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &smp.LinkError{Err: err}
	}
	return nil
}

func (w *wire) read(ctx context.Context, deadline time.Time, packet, text func([]byte)) (int, error) {
	if err := w.tap.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	n, err := w.tap.Read(w.buf[:])
	w.dec.Feed(w.buf[:n], packet, text)
	return n, err
}

// interruptible makes the end of ctx wake a read or write. The function it
// returns must be called before the next exchange sets deadlines.
func (w *wire) interruptible(ctx context.Context) (release func()) {
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		past := time.Now().Add(-time.Second)
		// A stream that is gone has no deadlines, and nobody waits on it.
		_ = w.tap.SetReadDeadline(past)
		_ = w.tap.SetWriteDeadline(past)
	})
	return func() {
		if !stop() {
			<-woken
		}
	}
}

// answers tells whether m is the answer to r.
func answers(m, r smp.Message) bool {
	return m.Op == r.Op+1 && m.Group == r.Group && m.Seq == r.Seq && m.Cmd == r.Cmd
}

// pause waits for d, or for the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// frame makes the console lines of a message, with a line end before them.
func frame(message []byte) []byte { return smp.AppendPacket(nil, message, false) }

// lines cuts the console lines of a message apart, without their line ends.
func lines(message []byte) [][]byte {
	all := bytes.Split(smp.AppendPacket(nil, message, true), []byte("\n"))
	return slices.DeleteFunc(all, func(l []byte) bool { return len(l) == 0 })
}
