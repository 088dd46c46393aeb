// SPDX-License-Identifier: Apache-2.0

//go:build unix

package label_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"provisioning.example/station/internal/label"
)

// within bounds what must end by itself; reaching it is a failure.
const within = 2 * time.Minute

func printer(t *testing.T, spec string) *label.Printer {
	t.Helper()
	p, err := label.ParsePrinter(spec)
	if err != nil {
		t.Fatal(err)
	}
	p.Wait(within)
	return p
}

func bounded(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func aLabel(t *testing.T) []byte {
	t.Helper()
	tp, err := label.Builtin(label.BuiltinPass, 203)
	if err != nil {
		t.Fatal(err)
	}
	_, zpl := fill(t, tp, label.Specimen())
	return zpl
}

// flood is more than any buffer between here and a printer holds.
func flood() []byte { return bytes.Repeat([]byte("^FX nothing\n"), 2<<20) }

func TestPrinterNames(t *testing.T) {
	for _, spec := range []string{"dev:/dev/usb/lp0", "tcp:192.168.7.20:9100", "tcp:[::1]:9100", "tcp:zebra-1:9100", "file:a.zpl", "folder:/x"} {
		if p, err := label.ParsePrinter(spec); err != nil || p.String() != spec {
			t.Errorf("%s: %v %v", spec, p, err)
		}
	}
	for _, spec := range []string{"", "tcp:", "tcp:host", "tcp::9100", "tcp:h:0", "tcp:h:65536", "tcp:h:x", "dev:", "lpr:x", "/dev/usb/lp0", "file:a\nb", "folder:" + strings.Repeat("x", 200)} {
		if p, err := label.ParsePrinter(spec); err == nil {
			t.Errorf("%q was taken as %v", spec, p)
		}
	}
	if p := printer(t, "folder:x").In("/home"); p.String() != "folder:/home/x" {
		t.Error(p)
	}
	if p := printer(t, "tcp:x:1").In("/home"); p.String() != "tcp:x:1" {
		t.Error(p)
	}
}

// serve listens on loopback and gives the first connection to handle.
func serve(t *testing.T, handle func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := l.Accept(); err == nil {
			handle(c.(*net.TCPConn))
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return "tcp:" + l.Addr().String()
}

func TestTCP(t *testing.T) {
	got := make(chan []byte, 1)
	p := printer(t, serve(t, func(c *net.TCPConn) {
		all, _ := io.ReadAll(c)
		got <- all
		c.Close()
	}))
	want := aLabel(t)
	if err := p.Send(bounded(t, within), "x", want); err != nil {
		t.Fatal(err)
	}
	if all := <-got; !bytes.Equal(all, want) {
		t.Errorf("the printer got %q", all)
	}
}

// TestTCPKeptOpen is a printer that answers and never closes.
func TestTCPKeptOpen(t *testing.T) {
	end := make(chan struct{})
	p := printer(t, serve(t, func(c *net.TCPConn) {
		_, _ = c.Write([]byte("ready\r\n"))
		_, _ = io.ReadAll(c)
		<-end
		c.Close()
	}))
	defer close(end)
	p.Wait(time.Millisecond)
	if err := p.Send(bounded(t, within), "x", aLabel(t)); err != nil {
		t.Error(err)
	}
}

func TestTCPOff(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	p := printer(t, "tcp:"+l.Addr().String())
	if err := p.Send(bounded(t, within), "x", aLabel(t)); !errors.Is(err, unix.ECONNREFUSED) {
		t.Error(err)
	}
	if err := p.Look(bounded(t, within)); !errors.Is(err, unix.ECONNREFUSED) {
		t.Error(err)
	}
}

// TestTCPVanishes is a printer that is switched off with the label half printed.
func TestTCPVanishes(t *testing.T) {
	p := printer(t, serve(t, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, 10))
		_ = c.SetLinger(0) // a reset
		c.Close()
	}))
	// What fails first, writing, ending or reading, is the system's choice.
	if err := p.Send(bounded(t, within), "x", aLabel(t)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

// TestTCPHangs is a printer that takes the connection and reads nothing.
func TestTCPHangs(t *testing.T) {
	end := make(chan struct{})
	p := printer(t, serve(t, func(c *net.TCPConn) {
		<-end
		c.Close()
	}))
	defer close(end)
	if err := p.Send(bounded(t, 200*time.Millisecond), "x", flood()); !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// device is a pseudo-terminal as a printer's device: what is written to its path
// comes out of the file.
func device(t *testing.T) (out *os.File, path string) {
	t.Helper()
	out, in, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		out.Close()
		in.Close()
	})
	if _, err := term.MakeRaw(int(in.Fd())); err != nil {
		t.Fatal(err)
	}
	return out, in.Name()
}

func TestDevice(t *testing.T) {
	out, path := device(t)
	want := aLabel(t)
	got := make(chan []byte, 1)
	go func() {
		all := make([]byte, len(want))
		n, _ := io.ReadFull(out, all)
		got <- all[:n]
	}()
	p := printer(t, "dev:"+path)
	if err := p.Look(bounded(t, within)); err != nil {
		t.Fatal(err)
	}
	if err := p.Send(bounded(t, within), "x", want); err != nil {
		t.Fatal(err)
	}
	if all := <-got; !bytes.Equal(all, want) {
		t.Errorf("the printer got %q", all)
	}
}

// TestDeviceFull is a printer without paper: it takes some bytes and no more.
func TestDeviceFull(t *testing.T) {
	_, path := device(t)
	err := printer(t, "dev:"+path).Send(bounded(t, 200*time.Millisecond), "x", flood())
	if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "it takes no more") {
		t.Error(err)
	}
}

// TestDeviceVanishes is a printer whose plug is pulled while it prints.
func TestDeviceVanishes(t *testing.T) {
	out, path := device(t)
	sent := make(chan error, 1)
	go func() { sent <- printer(t, "dev:"+path).Send(bounded(t, within), "x", flood()) }()
	if _, err := io.ReadFull(out, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	out.Close()
	if err := <-sent; err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestNoDevice(t *testing.T) {
	dir := t.TempDir()
	file, fifo := filepath.Join(dir, "file"), filepath.Join(dir, "fifo")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), unix.Mkfifo(fifo, 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "lp0"): "no such file",
		file:                      "is not a device; file:",
		fifo:                      "is not a device",
		dir:                       "is not a device",
	} {
		p := printer(t, "dev:"+path)
		for _, err := range []error{p.Send(bounded(t, within), "x", aLabel(t)), p.Look(bounded(t, within))} {
			if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "printer dev:") {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "labels.zpl")
	p := printer(t, "file:"+path)
	for _, text := range []string{"one\n", "two\n"} {
		if err := p.Send(bounded(t, within), "x", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); string(got) != "one\ntwo\n" {
		t.Errorf("%q %v", got, err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{dir, fifo, filepath.Join(dir, "none", "x")} {
		if err := printer(t, "file:"+bad).Send(bounded(t, within), "x", []byte("x")); err == nil {
			t.Errorf("%s took a label", bad)
		}
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	p := printer(t, "folder:"+dir)
	for _, text := range []string{"one", "two"} {
		if err := p.Send(bounded(t, within), "label-1-7", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	all, err := os.ReadDir(dir)
	if err != nil || len(all) != 2 || all[0].Name() != "label-1-7-1.zpl" || all[1].Name() != "label-1-7-2.zpl" {
		t.Errorf("%v %v", all, err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "label-1-7-2.zpl")); string(got) != "two" {
		t.Errorf("%q %v", got, err)
	}
	gone := printer(t, "folder:"+filepath.Join(dir, "none"))
	if gone.Send(bounded(t, within), "x", []byte("x")) == nil || gone.Look(bounded(t, within)) == nil {
		t.Error("a folder that is not there took a label")
	}
}

// TestHung is a system call that never comes back: the printer is left alone
// until it does.
func TestHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := printer(t, "folder:"+t.TempDir())
		release := make(chan struct{})
		hang := func(context.Context) error { <-release; return nil }
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := p.Bounded(ctx, hang); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := p.Send(t.Context(), "x", []byte("x")); !errors.Is(err, label.ErrHung) {
			t.Error(err)
		}
		close(release)
		synctest.Wait()
		if err := p.Send(t.Context(), "x", []byte("x")); err != nil {
			t.Error(err)
		}
	})
}
