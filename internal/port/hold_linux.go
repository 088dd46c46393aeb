// SPDX-License-Identifier: Apache-2.0

package port

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A hold is our own descriptor of a port beside the serial library's. It
// carries the lock from before the library opens the port until after it is
// closed.
type hold struct {
	mu   sync.Mutex // guards fd and bell, so that nothing is done to a descriptor that is given back
	fd   int        // -1 when closed
	bell int        // eventfd(2): rung by wake
	pty  bool
}

// grab opens a port without waiting for a carrier, locks it and switches
// hang-up on close off. TIOCEXCL, which the library takes last, is no
// lock: root passes it, and two may be on their way to it at once.
func grab(name string) (*hold, error) {
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, openError(name, err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", name, os.NewSyscallError("eventfd", err)), unix.Close(fd))
	}
	h := &hold{fd: fd, bell: bell}
	if err := h.lock(name); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func (h *hold) lock(name string) error {
	settings, err := unix.IoctlGetTermios(h.fd, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("open %s: this is not a serial port: %w", name, err)
	}
	if err := unix.Flock(h.fd, unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return &BusyError{Name: name}
	} else if err != nil {
		return fmt.Errorf("open %s: lock: %w", name, err)
	}
	settings.Cflag &^= unix.HUPCL
	if err := unix.IoctlSetTermios(h.fd, unix.TCSETS, settings); err != nil {
		return fmt.Errorf("open %s: switch hang-up on close off: %w", name, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(h.fd, &st); err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	major := unix.Major(st.Rdev)
	h.pty = major >= 136 && major <= 143 // Unix98 slaves, Documentation/admin-guide/devices.txt
	return nil
}

// settle runs when the library has opened the port. On a pseudo-terminal its
// TIOCEXCL outlives a killed process as long as the other end is open, and
// would lock the next one out.
func (h *hold) settle() error {
	if !h.pty {
		return nil
	}
	if err := unix.IoctlSetInt(h.fd, unix.TIOCNXCL, 0); err != nil {
		return fmt.Errorf("share pseudo-terminal: %w", err)
	}
	return nil
}

// noModemLines reports whether err says that the port has no DTR and RTS.
func (h *hold) noModemLines(err error) bool {
	return errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL)
}

// discardOutput throws away what was not sent and wakes a writer that waits for
// room: not every driver does so when flushed, but all do when restarted.
func (h *hold) discardOutput() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fd < 0 {
		return
	}
	// The line may be gone, and then nothing waits for room.
	_ = unix.IoctlSetInt(h.fd, unix.TCFLSH, unix.TCOFLUSH)
	_ = unix.IoctlSetInt(h.fd, unix.TCXONC, unix.TCOOFF)
	_ = unix.IoctlSetInt(h.fd, unix.TCXONC, unix.TCOON)
}

// await returns when the library's Read has something to say at once: bytes, or
// that the line is gone. It also returns after wake, and may return early. Its
// caller must be out of it before Close.
func (h *hold) await() {
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(h.fd), Events: unix.POLLIN}, {Fd: int32(h.bell), Events: unix.POLLIN}}, -1)
}

// wake ends await, now and ever after.
func (h *hold) wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fd >= 0 {
		_, _ = unix.Write(h.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // a full counter has rung already
	}
}

// Close gives the lock back.
func (h *hold) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fd < 0 {
		return nil
	}
	fd := h.fd
	h.fd = -1
	if err := errors.Join(unix.Close(fd), unix.Close(h.bell)); err != nil {
		return fmt.Errorf("close lock: %w", err)
	}
	return nil
}
