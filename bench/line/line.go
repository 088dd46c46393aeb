// SPDX-License-Identifier: Apache-2.0

// Package line is a serial line between a station and a board behind a
// pseudo-terminal, which has no speed of its own: each direction carries bytes
// at the pace of a baud rate, and who watches sees every byte with its time.
package line

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"provisioning.example/station/bench/clock"
)

// Side is one end of the line.
type Side uint8

// The two sides.
const (
	Station Side = iota
	Board
)

// Passage is some bytes that crossed the line together.
type Passage struct {
	From      Side
	Arrived   time.Time // when its side handed them in
	Delivered time.Time // when the other side could read the last of them
	Bytes     []byte    // valid during the call
}

// Config says what to connect.
type Config struct {
	Board string // the board's tty
	Link  string // becomes a symbolic link to the station's tty
	Baud  int    // bits per second of both directions; 0: no pace
	// Watch is called for each passage from the two carrying goroutines; nil:
	// nobody looks on.
	Watch func(Passage)
}

// Line is a running line.
type Line struct {
	cfg    Config
	board  *os.File
	master *os.File // of the station's pseudo-terminal
	slave  *os.File
	closes *os.File // inotify on the slave
	work   sync.WaitGroup
	once   sync.Once
}

const (
	// grainTime is how much of the line's time is carried at once.
	grainTime = time.Millisecond
	// inFlight bounds what one side may be ahead of the other, in reads.
	inFlight = 64
)

// grain is the most bytes carried at once.
func grain(baud int) int {
	return max(1, int(grainTime*time.Duration(baud)/BitsPerByte/time.Second))
}

// Open connects the board's tty with a new pseudo-terminal and carries until Close.
func Open(cfg Config) (_ *Line, err error) {
	if cfg.Watch == nil {
		cfg.Watch = func(Passage) {}
	}
	l := &Line{cfg: cfg}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.closeFiles())
		}
	}()
	if l.board, err = openRaw(cfg.Board); err != nil {
		return nil, fmt.Errorf("open the board's line: %w", err)
	}
	if l.master, l.slave, err = openPair(); err != nil {
		return nil, fmt.Errorf("make the station's line: %w", err)
	}
	if l.closes, err = watchCloses(l.slave.Name()); err != nil {
		return nil, fmt.Errorf("watch the station's line: %w", err)
	}
	if err := os.Symlink(l.slave.Name(), cfg.Link); err != nil {
		return nil, err
	}
	l.carry(Station, l.master, l.board)
	l.carry(Board, l.board, l.master)
	l.work.Go(l.unlock)
	return l, nil
}

// Close ends the line; bytes under way are lost.
func (l *Line) Close() error {
	var err error
	l.once.Do(func() {
		err = errors.Join(l.closeFiles(), os.Remove(l.cfg.Link))
		l.work.Wait()
	})
	return err
}

func (l *Line) closeFiles() error {
	var errs []error
	for _, f := range []*os.File{l.board, l.master, l.slave, l.closes} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

type arrival struct {
	at    time.Time
	bytes []byte
}

// carry moves bytes one way. One goroutine stamps what arrives, the other lets
// it through when its time has come: a late wake-up delays one piece, not all
// that follow.
func (l *Line) carry(from Side, in, out *os.File) {
	arrivals := make(chan arrival, inFlight)
	done := make(chan struct{})
	l.work.Go(func() {
		defer close(arrivals)
		for {
			b := make([]byte, 4096)
			n, err := in.Read(b)
			if err != nil {
				return // closed, or the board is gone
			}
			select {
			case arrivals <- arrival{time.Now(), b[:n]}:
			case <-done:
				return
			}
		}
	})
	l.work.Go(func() {
		defer close(done)
		clock.Fine()
		pacer, piece := NewPacer(l.cfg.Baud), 4096
		if l.cfg.Baud > 0 {
			piece = grain(l.cfg.Baud)
		}
		for a := range arrivals {
			for len(a.bytes) > 0 {
				b := a.bytes[:min(len(a.bytes), piece)]
				clock.Until(pacer.Cross(a.at, len(b)))
				if _, err := out.Write(b); err != nil {
					return
				}
				l.cfg.Watch(Passage{From: from, Arrived: a.at, Delivered: time.Now(), Bytes: b})
				a.bytes = a.bytes[len(b):]
			}
		}
	})
}
