// SPDX-License-Identifier: Apache-2.0

package port

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"go.bug.st/serial"
)

// DefaultBaud is the line speed of the protocol, in bits per second.
const DefaultBaud = 115200

// Options say how a line is set up. It is always raw, 8N1, without flow control.
type Options struct {
	Baud     int   // bits per second; 0: DefaultBaud
	DTR, RTS *bool // state of the modem lines; nil: as the kernel left them (raised)
}

// A BusyError says that a port is held by another program, or by another slot
// of this one.
type BusyError struct{ Name string }

func (e *BusyError) Error() string {
	return fmt.Sprintf("open %s: the port is in use; %s", e.Name, busyRemedy)
}

const busyRemedy = "close the program that has it open (a terminal, another station)"

// Remedy says what mends it, in one sentence.
func (e *BusyError) Remedy() string { return sentence(busyRemedy) }

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }

// A PermissionError says that the user may not open a port. It matches
// fs.ErrPermission.
type PermissionError struct {
	Name   string
	Group  string // that owns the port, "" when unknown
	Joined bool   // the user belongs to the group, but this session began before
}

func (e *PermissionError) Error() string {
	return fmt.Sprintf("open %s: permission denied; %s", e.Name, e.remedy())
}

func (e *PermissionError) remedy() string {
	switch {
	case e.Group == "" || e.Group == "root":
		return "the port belongs to root: install a udev rule that gives it to a group, and join that group"
	case e.Joined:
		return fmt.Sprintf("you belong to the group %s since you logged in: log out, and in again", e.Group)
	}
	return fmt.Sprintf("run `sudo usermod -aG %s $USER`, then log in again", e.Group)
}

// Remedy says what mends it, in one sentence.
func (e *PermissionError) Remedy() string { return sentence(e.remedy()) }

// Unwrap returns fs.ErrPermission.
func (e *PermissionError) Unwrap() error { return fs.ErrPermission }

// Open opens a serial port or pseudo-terminal for this process alone, with its
// input flushed. Hang-up on close is off: closing does not reset a board, the
// kernel's raising of DTR at the first open may. Errors: *BusyError,
// *PermissionError, fs.ErrNotExist, and the cause of ctx.
func Open(ctx context.Context, name string, o Options) (*Port, error) {
	if o.Baud == 0 {
		o.Baud = DefaultBaud
	}
	if o.Baud < 0 {
		return nil, fmt.Errorf("open %s: %d baud is no line speed", name, o.Baud)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("open %s: %w", name, context.Cause(ctx))
	}
	type result struct {
		p   *Port
		err error
	}
	// A USB adapter that does not answer holds its opener in the kernel.
	opened := make(chan result, 1)
	go func() {
		p, err := open(name, o)
		opened <- result{p, err}
	}()
	select {
	case r := <-opened:
		return r.p, r.err
	case <-ctx.Done():
		go func() {
			if r := <-opened; r.p != nil {
				_ = r.p.Close() // nobody is left to tell
			}
		}()
		return nil, fmt.Errorf("open %s: %w", name, context.Cause(ctx))
	}
}

// open takes the lock, then the line, in this order: a port that somebody else
// has is not touched.
func open(name string, o Options) (*Port, error) {
	h, err := grab(name)
	if err != nil {
		return nil, err
	}
	line, err := serial.Open(name, &serial.Mode{BaudRate: o.Baud, DataBits: 8, Parity: serial.NoParity, StopBits: serial.OneStopBit})
	if err != nil {
		return nil, errors.Join(explain(name, err), h.Close())
	}
	err = setUp(line, h, o)
	if err == nil {
		var p *Port
		if p, err = start(name, line, h); err == nil {
			return p, nil
		}
	} else {
		err = fmt.Errorf("open %s: %w", name, err)
	}
	return nil, errors.Join(err, line.Close(), h.Close())
}

func setUp(line serial.Port, h *hold, o Options) error {
	if err := h.settle(); err != nil {
		return err
	}
	if o.DTR != nil {
		if err := line.SetDTR(*o.DTR); err != nil && !h.noModemLines(err) {
			return fmt.Errorf("set DTR: %w", err)
		}
	}
	if o.RTS != nil {
		if err := line.SetRTS(*o.RTS); err != nil && !h.noModemLines(err) {
			return fmt.Errorf("set RTS: %w", err)
		}
	}
	if err := line.ResetInputBuffer(); err != nil {
		return fmt.Errorf("flush input: %w", err)
	}
	return nil
}

// explain turns an error of the serial library into one of this package.
func explain(name string, err error) error {
	var e *serial.PortError
	if !errors.As(err, &e) {
		return fmt.Errorf("open %s: %w", name, err)
	}
	switch e.Code() {
	case serial.PortBusy:
		return &BusyError{Name: name}
	case serial.PermissionDenied:
		return &PermissionError{Name: name}
	case serial.PortNotFound:
		return notThere(name)
	case serial.InvalidSpeed:
		return fmt.Errorf("open %s: the port does not take this baud rate: %w", name, err)
	}
	return fmt.Errorf("open %s: %w", name, err)
}

func notThere(name string) error {
	return fmt.Errorf("open %s: %w; is the board plugged in?", name, fs.ErrNotExist)
}
