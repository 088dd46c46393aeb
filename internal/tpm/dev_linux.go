// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// deviceSource is a TPM device of the kernel: /dev/tpmrm0, behind its resource
// manager, or /dev/tpm0, which one process at a time may open.
type deviceSource struct{ path string }

func newDevice(path string) (source, error) {
	path, err := absolute(path, "dev:PATH")
	if err != nil {
		return nil, err
	}
	return deviceSource{path}, nil
}

func (s deviceSource) open(context.Context, int) (link, error) {
	fd, err := unix.Open(s.path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.EACCES):
		return nil, fmt.Errorf("open %s: %w: join the group that owns it (often tss) and log in again", s.path, err)
	case errors.Is(err, unix.EBUSY):
		return nil, fmt.Errorf("open %s: %w: another program holds it; /dev/tpmrm0 can be shared", s.path, err)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", s.path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR {
		return nil, errors.Join(fmt.Errorf("open %s: it is not a device", s.path), err, unix.Close(fd))
	}
	return device(fd), nil
}

func (deviceSource) owned() bool  { return false }
func (deviceSource) fresh() bool  { return false }
func (deviceSource) close() error { return nil }

// device is the file descriptor of a TPM device. It is polled by hand: until
// the answer is there a read of the device gives zero bytes, which an *os.File
// takes for its end.
type device int

func (d device) Send(command []byte, limit time.Duration) ([]byte, error) {
	// A whole command in one write, a whole answer in one read: the driver
	// knows nothing else.
	n, err := ignoringEINTR(func() (int, error) { return unix.Write(int(d), command) })
	if err != nil {
		return nil, os.NewSyscallError("write", err)
	}
	if n != len(command) {
		return nil, fmt.Errorf("the device took %d bytes of a command of %d", n, len(command))
	}
	if err := d.wait(time.Now().Add(limit)); err != nil {
		return nil, err
	}
	answer := make([]byte, maxAnswer)
	n, err = ignoringEINTR(func() (int, error) { return unix.Read(int(d), answer) })
	if err != nil {
		return nil, os.NewSyscallError("read", err)
	}
	return wholeAnswer(answer[:n])
}

// wait returns when there is something to read.
func (d device) wait(until time.Time) error {
	fds := []unix.PollFd{{Fd: int32(d), Events: unix.POLLIN}}
	for {
		left := time.Until(until)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		n, err := unix.Poll(fds, int(left/time.Millisecond)+1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return os.NewSyscallError("poll", err)
		case n > 0 && fds[0].Revents&unix.POLLIN != 0:
			return nil
		case n > 0:
			return fmt.Errorf("the device went away (poll: %#x)", fds[0].Revents)
		}
	}
}

func (d device) Close() error { return unix.Close(int(d)) }

func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
