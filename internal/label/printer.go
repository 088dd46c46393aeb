// SPDX-License-Identifier: Apache-2.0

package label

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"provisioning.example/station/internal/settings"
)

// PrinterSpecs are the forms of a printer's name, for people.
const PrinterSpecs = "dev:PATH, tcp:HOST:PORT, file:PATH, folder:PATH"

// Printer is where labels go. It is used by one goroutine at a time.
type Printer struct {
	kind, addr string
	patience   time.Duration // see tcpPatience
	hung       chan struct{} // of a send that was given up: closed when it comes back
}

// ParsePrinter reads a printer's name: dev:PATH a device as /dev/usb/lp0,
// tcp:HOST:PORT (most label printers listen on 9100), file:PATH one file that
// grows, folder:PATH a file for each label.
func ParsePrinter(spec string) (*Printer, error) {
	kind, addr, found := strings.Cut(spec, ":")
	bad := !found || addr == "" || len(spec) > 128 || strings.ContainsFunc(spec, func(r rune) bool { return r < ' ' })
	switch kind {
	case "tcp":
		host, port, err := net.SplitHostPort(addr)
		n, errPort := strconv.Atoi(port)
		bad = bad || err != nil || errPort != nil || host == "" || n < 1 || n > 65535
	case "dev", "file", "folder":
	default:
		bad = true
	}
	if bad {
		return nil, fmt.Errorf("%.130q is no printer; allowed: %s", spec, PrinterSpecs)
	}
	return &Printer{kind: kind, addr: addr, patience: tcpPatience}, nil
}

// In gives the printer with a relative path put into a folder.
func (p *Printer) In(dir string) *Printer {
	if p.kind == "tcp" || filepath.IsAbs(p.addr) {
		return p
	}
	return &Printer{kind: p.kind, addr: filepath.Join(dir, p.addr)}
}

func (p *Printer) String() string { return p.kind + ":" + p.addr }

// ErrHung says that the printer has not come back from an earlier label.
var ErrHung = errors.New("the printer has not come back from the label before")

// Send gives the printer one label and returns when it has taken it, with an
// error, or when ctx ends: whatever the printer or the system does. name names
// the label where it becomes a file. A send that the system does not give back is left alone,
// and until it is back there is no other (ErrHung).
//
// To have taken it means: the system's driver has it, or the other side closed the
// connection in order or kept it open for tcpPatience. Whether ink met paper no printer
// of this kind tells.
func (p *Printer) Send(ctx context.Context, name string, data []byte) error {
	return p.bounded(ctx, func(ctx context.Context) error {
		switch p.kind {
		case "tcp":
			return p.sendTCP(ctx, data)
		case "dev":
			return sendDevice(ctx, p.addr, data)
		case "file":
			return appendFile(p.addr, data)
		}
		return writeInto(p.addr, name, data)
	})
}

// Look tells whether the printer can be reached now; nothing is printed.
func (p *Printer) Look(ctx context.Context) error {
	return p.bounded(ctx, func(ctx context.Context) error {
		switch p.kind {
		case "tcp":
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.addr)
			if err != nil {
				return err
			}
			return c.Close()
		case "dev":
			f, err := openDevice(p.addr)
			if err != nil {
				return err
			}
			return f.Close()
		case "file":
			return isFolder(filepath.Dir(p.addr))
		}
		return isFolder(p.addr)
	})
}

// bounded runs do, and leaves it behind when it does not return soon after ctx ended.
func (p *Printer) bounded(ctx context.Context, do func(context.Context) error) error {
	if p.hung != nil {
		select {
		case <-p.hung:
			p.hung = nil
		default:
			return fmt.Errorf("printer %s: %w", p, ErrHung)
		}
	}
	back, result := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(back)
		result <- do(ctx)
	}()
	select {
	case err := <-result:
		return p.named(err)
	case <-ctx.Done():
	}
	// Most calls end with their context: their own words tell more.
	grace := time.NewTimer(hungGrace)
	defer grace.Stop()
	select {
	case err := <-result:
		return p.named(err)
	case <-grace.C:
		p.hung = back
		return p.named(fmt.Errorf("it does not answer: %w", context.Cause(ctx)))
	}
}

// hungGrace is how long a call may take to notice that its time is over.
const hungGrace = time.Second

func (p *Printer) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("printer %s: %w", p, err)
}

// tcpPatience is how long the other side may keep the connection open after it
// was told that nothing more comes.
const tcpPatience = 2 * time.Second

func (p *Printer) sendTCP(ctx context.Context, data []byte) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write(data); err != nil {
		return err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	// A printer that went away, or throws the label away, resets the connection.
	if err := conn.SetReadDeadline(time.Now().Add(p.patience)); err != nil {
		return err
	}
	if _, err = io.Copy(io.Discard, io.LimitReader(conn, maxAnswer)); errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
		return nil
	}
	return err
}

// maxAnswer bounds what a printer may say to a label, in bytes.
const maxAnswer = 64 << 10

// sendDevice writes without ever blocking in the system for longer than ctx.
func sendDevice(ctx context.Context, path string, data []byte) error {
	f, err := openDevice(path)
	if err != nil {
		return err
	}
	if end, ok := ctx.Deadline(); ok {
		if err := f.SetWriteDeadline(end); err != nil && !errors.Is(err, os.ErrNoDeadline) {
			return errors.Join(err, f.Close())
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err = f.Write(data)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("it takes no more: paper, ribbon or cover? (%w)", err)
	}
	return errors.Join(err, f.Close())
}

func openDevice(path string) (*os.File, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if fi.Mode()&fs.ModeCharDevice == 0 {
		return nil, fmt.Errorf("%s is not a device; file:%s appends to a file", path, path)
	}
	return os.OpenFile(path, os.O_WRONLY|openFlags, 0)
}

// appendFile adds a label to a file whole, or not at all.
func appendFile(path string, data []byte) error {
	fi, err := os.Stat(path)
	if err == nil && !fi.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", path)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		if _, err = f.Write(data); err == nil {
			err = f.Sync()
		}
		if err != nil {
			err = errors.Join(err, f.Truncate(end))
		}
	}
	return errors.Join(err, f.Close())
}

// writeInto makes a new file in a folder; it has its name only when it is whole.
func writeInto(dir, name string, data []byte) error {
	if err := isFolder(dir); err != nil {
		return err
	}
	for n := 1; ; n++ {
		path := filepath.Join(dir, fmt.Sprintf("%s-%d.zpl", name, n))
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return settings.Write(path, data, 0o644)
		} else if err != nil {
			return err
		}
	}
}

func isFolder(path string) error {
	fi, err := os.Stat(path)
	if err == nil && !fi.IsDir() {
		return fmt.Errorf("%s is not a folder", path)
	}
	return err
}
