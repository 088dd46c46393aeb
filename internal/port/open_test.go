// SPDX-License-Identifier: Apache-2.0

//go:build linux

package port

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestOneOwner(t *testing.T) {
	_, name := openPTY(t)
	p := openPort(t, name, Options{})
	link := filepath.Join(t.TempDir(), "board")
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{name, link} {
		_, err := Open(t.Context(), n, Options{})
		var busy *BusyError
		if !errors.As(err, &busy) || busy.Name != n {
			t.Errorf("%s: got %v, want a BusyError", n, err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	openPort(t, link, Options{})
}

func TestLineSettings(t *testing.T) {
	_, name := openPTY(t)
	yes, no := true, false
	p := openPort(t, name, Options{DTR: &yes, RTS: &no}) // a pseudo-terminal has neither
	settings, err := unix.IoctlGetTermios(p.hold.fd, unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if settings.Cflag&unix.HUPCL != 0 {
		t.Error("hang-up on close is on")
	}
	if settings.Cflag&unix.CSIZE != unix.CS8 || settings.Cflag&(unix.PARENB|unix.CSTOPB|unix.CRTSCTS) != 0 {
		t.Errorf("not 8N1 without flow control: %#x", settings.Cflag)
	}
	if settings.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 || settings.Iflag&(unix.ICRNL|unix.IXON) != 0 || settings.Oflag&unix.OPOST != 0 {
		t.Errorf("not raw: %#x %#x %#x", settings.Iflag, settings.Oflag, settings.Lflag)
	}
	// It would outlive a killed station and lock the next one out.
	exclusive, err := unix.IoctlGetInt(p.hold.fd, unix.TIOCGEXCL)
	if err != nil || exclusive != 0 {
		t.Errorf("TIOCEXCL is %d on a pseudo-terminal, %v", exclusive, err)
	}
}

func TestOpenFlushesInput(t *testing.T) {
	board, name := openPTY(t)
	writeAll(t, board, []byte("old noise\n"))
	p := openPort(t, name, Options{})
	writeAll(t, board, []byte("new"))
	if err := p.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 3)
	if _, err := io.ReadFull(p, got); err != nil || string(got) != "new" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{file: "not a serial port", os.DevNull: "not a serial port", t.TempDir(): "is a directory"} {
		if p, err := Open(t.Context(), name, Options{}); err == nil {
			t.Errorf("%s was opened: %v", name, p.Close())
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "none"), Options{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "plugged in") {
		t.Errorf("a missing port: %v", err)
	}
	_, name := openPTY(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the technician pressed stop")
	cancel(why)
	if _, err := Open(ctx, name, Options{}); !errors.Is(err, why) {
		t.Errorf("with a context that ended: %v", err)
	}
	if p, err := Open(t.Context(), name, Options{Baud: -1}); err == nil {
		t.Errorf("-1 baud: opened, %v", p.Close())
	}
	openPort(t, name, Options{}) // what was refused left no lock behind
}

func TestPermissionRemedy(t *testing.T) {
	name := filepath.Join(t.TempDir(), "ttyUSB0")
	if err := os.WriteFile(name, nil, 0o660); err != nil {
		t.Fatal(err)
	}
	for _, errno := range []unix.Errno{unix.EACCES, unix.EPERM} {
		err := openError(name, errno)
		var denied *PermissionError
		if !errors.As(err, &denied) || !errors.Is(err, fs.ErrPermission) {
			t.Fatalf("got %v, want a PermissionError", err)
		}
	}
	for group, want := range map[string]string{
		"dialout": "run `sudo usermod -aG dialout $USER`, then log in again",
		"root":    "udev rule",
		"":        "udev rule",
	} {
		if err := (&PermissionError{Name: name, Group: group}); !strings.Contains(err.Error(), want) {
			t.Errorf("group %q: %v", group, err)
		}
	}
	if err := os.Chmod(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if g, _ := groupOf(name); g != "" {
		t.Errorf("joining %q would not help with mode 0600", g)
	}
	var busy *BusyError
	if err := openError(name, unix.EBUSY); !errors.As(err, &busy) {
		t.Errorf("EBUSY: %v", err)
	}
}

// The library panics on descriptors above 1023. Open must refuse instead.
func TestTooManyFiles(t *testing.T) {
	_, name := openPTY(t)
	var files []*os.File
	defer func() {
		for _, f := range files {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
	}()
	for len(files) == 0 || files[len(files)-1].Fd() < unix.FD_SETSIZE {
		f, err := os.Open(os.DevNull)
		if errors.Is(err, unix.EMFILE) {
			return // there can be no such descriptor here
		}
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	if p, err := Open(t.Context(), name, Options{}); err == nil {
		t.Errorf("opened: %v", p.Close())
	} else if !strings.Contains(err.Error(), "too many open files") {
		t.Error(err)
	}
}
