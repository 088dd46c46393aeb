// SPDX-License-Identifier: Apache-2.0

package line

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openPair makes a pseudo-terminal in raw mode. The slave stays open here, so
// that the line keeps its mode and its bytes when the station lets go of it.
func openPair() (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("open /dev/ptmx", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	defer func() {
		if err != nil {
			master.Close()
			master = nil
		}
	}()
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, os.NewSyscallError("unlock pseudo-terminal", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, os.NewSyscallError("number of pseudo-terminal", err)
	}
	slave, err = openRaw(fmt.Sprintf("/dev/pts/%d", n))
	return master, slave, err
}

// openRaw opens a tty as a line that changes no byte.
func openRaw(name string) (*os.File, error) {
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err == nil {
		t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
		t.Oflag &^= unix.OPOST
		t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
		t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
		t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
		err = unix.IoctlSetTermios(fd, unix.TCSETS, t)
	}
	if err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "set raw mode on", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// watchCloses tells of every close of a tty.
func watchCloses(name string) (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	if _, err := unix.InotifyAddWatch(fd, name, unix.IN_CLOSE); err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "watch", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), "inotify"), nil
}

// unlock takes the lock of a station that let go off the line: a tty that
// somebody else keeps open never sees its last close, which ends TIOCEXCL.
func (l *Line) unlock() {
	var events [4096]byte
	for {
		if _, err := l.closes.Read(events[:]); err != nil {
			return
		}
		raw, err := l.slave.SyscallConn()
		if err != nil {
			return
		}
		_ = raw.Control(func(fd uintptr) { _ = unix.IoctlSetInt(int(fd), unix.TIOCNXCL, 0) }) // a tty always takes it
	}
}
