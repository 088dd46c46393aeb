// SPDX-License-Identifier: Apache-2.0

package port

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// The multicast groups of NETLINK_KOBJECT_UEVENT. The kernel's is always there,
// but comes before udev has set owner and mode of the node; udev's comes after,
// where udev runs. Both are heard: the first finds a board at once, the second
// says that waiting for its node is over.
const (
	groupKernel = 1
	groupUdev   = 2
)

// listen opens the socket of device events. The channel is closed when ctx ends
// or the socket breaks.
func listen(ctx context.Context) (<-chan Event, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("open the socket of device events: %w", err)
	}
	f := os.NewFile(uintptr(fd), "device events")
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groupKernel | groupUdev})
	}
	var conn syscall.RawConn
	if err == nil {
		conn, err = f.SyscallConn()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen to device events: %w", err), f.Close())
	}
	events := make(chan Event, 64)
	hush := context.AfterFunc(ctx, func() { _ = f.Close() }) // wakes the reader
	go func() {
		defer close(events)
		pump(ctx, func(b, control []byte) (message, error) { return hear(conn, b, control) }, events)
		if hush() {
			_ = f.Close()
		}
	}()
	return events, nil
}

// A message is what one receive brought.
type message struct {
	data    []byte
	control []byte
	cut     bool // there was more than fitted
	from    unix.Sockaddr
}

// hear waits for one message.
func hear(conn syscall.RawConn, b, control []byte) (m message, err error) {
	failed := conn.Read(func(fd uintptr) bool {
		var n, cn, flags int
		n, cn, flags, m.from, err = unix.Recvmsg(int(fd), b, control, unix.MSG_DONTWAIT)
		if err == nil {
			m.data, m.control, m.cut = b[:n], control[:cn], flags&unix.MSG_TRUNC != 0
		}
		return !errors.Is(err, unix.EAGAIN)
	})
	return m, errors.Join(failed, err)
}

// pump turns messages into events until ctx ends or receiving fails. When the
// kernel had to drop some, or one cannot be read, that is an event too: the
// list tells the rest.
func pump(ctx context.Context, next func(b, control []byte) (message, error), events chan<- Event) {
	var b [maxUevent]byte
	var control [128]byte
	for {
		m, err := next(b[:], control[:])
		var e Event
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOBUFS):
		case err != nil:
			return
		default:
			var about bool
			if e, about = read(m); !about {
				continue
			}
		}
		select {
		case events <- e:
		case <-ctx.Done():
			return
		}
	}
}

// read turns a message into an event; about is false when it is not about
// ports, or not from whom it should be.
func read(m message) (e Event, about bool) {
	from, ok := m.from.(*unix.SockaddrNetlink)
	if !ok {
		return Event{}, false
	}
	parse := parseKernel
	if fromUdev := from.Groups == groupUdev; fromUdev && sentByRoot(m.control) {
		parse = parseUdev
	} else if fromUdev || from.Groups != groupKernel || from.Pid != 0 { // the kernel's port is 0
		return Event{}, false
	}
	if m.cut {
		return Event{}, true
	}
	u, err := parse(m.data)
	switch {
	case err != nil:
		return Event{}, true
	case u.subsystem != "tty":
		return Event{}, false
	case from.Groups == groupUdev && u.node != "":
		e.Settled = "/dev/" + u.node
	}
	return e, true
}

// sentByRoot reads the credentials that the kernel puts beside a message.
func sentByRoot(control []byte) bool {
	list, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return false
	}
	for i := range list {
		if c, err := unix.ParseUnixCredentials(&list[i]); err == nil {
			return c.Uid == 0
		}
	}
	return false
}
