// SPDX-License-Identifier: Apache-2.0

//go:build linux

package port

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/creack/pty"
	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// patience bounds waits for what must happen, for the slowest machine; nothing is
// expected to use it up.
const patience = 5 * time.Minute

// openPTY returns the board's end of a pseudo-terminal and the name of ours.
// The slave stays open as well, so that a closed port is no hang-up.
func openPTY(t *testing.T) (board *os.File, name string) {
	t.Helper()
	board, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = board.Close() // closed by some tests
		if err := slave.Close(); err != nil {
			t.Error(err)
		}
	})
	return board, slave.Name()
}

func openPort(t *testing.T, name string, o Options) *Port {
	t.Helper()
	p, err := Open(t.Context(), name, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// receive waits for one value of c.
func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing happened")
		panic("unreachable")
	}
}

// await waits until cond holds.
func await(t *testing.T, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("the condition never held")
		}
	}
}

func writeAll(t *testing.T, w io.Writer, b []byte) {
	t.Helper()
	if n, err := w.Write(b); err != nil || n != len(b) {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(b), err)
	}
}

// waiting is how many bytes the board has not read yet.
func waiting(t *testing.T, board *os.File) (n int) {
	t.Helper()
	raw, err := board.SyscallConn()
	if err == nil {
		var asked error
		err = raw.Control(func(fd uintptr) { n, asked = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
		err = errors.Join(err, asked)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Every byte value passes both ways: the line is raw.
func TestRoundTrip(t *testing.T) {
	board, name := openPTY(t)
	p := openPort(t, name, Options{Baud: 921600})
	if p.Name() != name {
		t.Errorf("name is %q", p.Name())
	}
	var all []byte
	for i := range 256 {
		all = append(all, byte(i))
	}
	if err := p.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(all))
	writeAll(t, board, all)
	if _, err := io.ReadFull(p, got); err != nil || !bytes.Equal(got, all) {
		t.Errorf("from the board: %x, %v", got, err)
	}
	clear(got)
	writeAll(t, p, all)
	if _, err := io.ReadFull(board, got); err != nil || !bytes.Equal(got, all) {
		t.Errorf("to the board: %x, %v", got, err)
	}
}

func TestReadDeadline(t *testing.T) {
	board, name := openPTY(t)
	p := openPort(t, name, Options{})
	var b [8]byte
	// Already past, then passing while Read waits.
	for _, d := range []time.Duration{-time.Second, 2 * pollEvery} {
		if err := p.SetReadDeadline(time.Now().Add(d)); err != nil {
			t.Fatal(err)
		}
		if n, err := p.Read(b[:]); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ErrLost) {
			t.Errorf("deadline %v from now: got %d, %v", d, n, err)
		}
	}
	// Moved into the past while Read waits.
	if err := p.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { _, err := p.Read(b[:]); done <- err }()
	await(t, func() bool { p.readBy.mu.Lock(); defer p.readBy.mu.Unlock(); return p.readBy.moved != nil })
	if err := p.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, done); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	// The port is as good as before.
	if err := p.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	writeAll(t, board, []byte("ok"))
	if _, err := io.ReadFull(p, b[:2]); err != nil || string(b[:2]) != "ok" {
		t.Errorf("got %q, %v", b[:2], err)
	}
	if n, err := p.Read(nil); n != 0 || err != nil {
		t.Errorf("reading nothing: %d, %v", n, err)
	}
}

func TestCloseWakesReader(t *testing.T) {
	_, name := openPTY(t)
	p := openPort(t, name, Options{})
	done := make(chan error)
	go func() { _, err := p.Read(make([]byte, 1)); done <- err }()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, done); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v, want os.ErrClosed", err)
	}
}

// The descriptor of a closed port may belong to another board's port at once:
// nothing may be written to it.
func TestNothingAfterClose(t *testing.T) {
	_, name := openPTY(t)
	p := openPort(t, name, Options{})
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var files []*os.File
	for i := range 64 {
		f, err := os.Create(filepath.Join(dir, string(rune('A'+i))))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	if n, err := p.Write([]byte("hello")); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("write: got %d, %v, want os.ErrClosed", n, err)
	}
	if n, err := p.Read(make([]byte, 8)); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("read: got %d, %v, want os.ErrClosed", n, err)
	}
	if err := p.SetReadDeadline(time.Now()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("deadline: got %v, want os.ErrClosed", err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	for _, f := range files {
		if st, err := f.Stat(); err != nil || st.Size() != 0 {
			t.Errorf("%s: %v, %v", f.Name(), st, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// watched is a line that notes a Close while a Read or Write is inside. A Read
// after the first stays inside until leave is closed.
type watched struct {
	serial.Port
	reads   atomic.Int32
	inside  atomic.Int32
	overlap atomic.Bool
	leave   chan struct{}
}

func (w *watched) Read(b []byte) (int, error) {
	w.inside.Add(1)
	defer w.inside.Add(-1)
	if w.reads.Add(1) > 1 {
		<-w.leave
	}
	return w.Port.Read(b)
}

func (w *watched) Write(b []byte) (int, error) {
	w.inside.Add(1)
	defer w.inside.Add(-1)
	return w.Port.Write(b)
}

func (w *watched) Close() error {
	if w.inside.Load() != 0 {
		w.overlap.Store(true)
	}
	return w.Port.Close()
}

// The library frees its descriptor before it wakes a reader, which may then
// read from another file: it is closed only when nobody is inside.
func TestCloseWaitsForReader(t *testing.T) {
	board, name := openPTY(t)
	h, err := grab(name)
	if err != nil {
		t.Fatal(err)
	}
	line, err := serial.Open(name, &serial.Mode{BaudRate: DefaultBaud, DataBits: 8})
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{Port: line, leave: make(chan struct{})}
	p, err := start(name, w, h)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { _, err := p.Write(make([]byte, 1<<20)); done <- err }()
	if _, err := board.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return w.inside.Load() == 2 })
	closed := make(chan error)
	go func() { closed <- p.Close() }()
	await(t, p.isGone)
	close(w.leave)
	if err := receive(t, closed); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, done); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	if w.overlap.Load() {
		t.Error("the line was closed under its reader or writer")
	}
}

// A board that takes no bytes: the write ends at its deadline, the port is
// lost, and closing it gives it back although the kernel was full.
func TestWritePastDeadline(t *testing.T) {
	board, name := openPTY(t)
	p := openPort(t, name, Options{})
	var n int
	done := make(chan error)
	go func() {
		var err error
		n, err = p.Write(make([]byte, 1<<20))
		done <- err
	}()
	await(t, func() bool { return waiting(t, board) >= 2*writePiece }) // of which one at least is counted
	if err := p.SetWriteDeadline(time.Now().Add(pollEvery)); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, done); n <= 0 || n >= 1<<20 || !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, ErrLost) {
		t.Fatalf("got %d, %v", n, err)
	}
	if err := p.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Write([]byte("x")); n != 0 || !errors.Is(err, ErrLost) {
		t.Errorf("next write: %d, %v", n, err)
	}
	if _, err := p.Read(make([]byte, 1)); !errors.Is(err, ErrLost) || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("next read: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	openPort(t, name, Options{})
}

func TestCloseDuringStuckWrite(t *testing.T) {
	_, name := openPTY(t)
	p := openPort(t, name, Options{})
	done := make(chan error)
	go func() { _, err := p.Write(make([]byte, 1<<20)); done <- err }()
	await(t, func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.writing })
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, done); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v, want os.ErrClosed", err)
	}
	openPort(t, name, Options{})
}

// The write deadline of a Write that waits for another one costs no byte.
func TestWriteWaitsForItsTurn(t *testing.T) {
	_, name := openPTY(t)
	p := openPort(t, name, Options{})
	p.turn <- struct{}{} // a write is under way
	done := make(chan error)
	go func() { _, err := p.Write([]byte("x")); done <- err }()
	if err := p.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, done); !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ErrLost) {
		t.Errorf("got %v", err)
	}
	<-p.turn
	if err := p.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	writeAll(t, p, []byte("x"))
}

func TestPeerGone(t *testing.T) {
	board, name := openPTY(t)
	p := openPort(t, name, Options{})
	writeAll(t, board, []byte("last words"))
	await(t, func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.unread) == 10 })
	if err := board.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(p)
	if string(got) != "last words" || !errors.Is(err, ErrLost) {
		t.Errorf("got %q, %v, want ErrLost", got, err)
	}
	if n, err := p.Write([]byte("x")); n != 0 || !errors.Is(err, ErrLost) {
		t.Errorf("write: got %d, %v, want ErrLost", n, err)
	}
}

// The library reports a write that the peer's end cut short as a success.
func TestPeerGoneDuringWrite(t *testing.T) {
	board, name := openPTY(t)
	p := openPort(t, name, Options{})
	const size = 1 << 20
	type result struct {
		n   int
		err error
	}
	done := make(chan result)
	go func() { n, err := p.Write(make([]byte, size)); done <- result{n, err} }()
	if _, err := io.ReadFull(board, make([]byte, 2*writePiece)); err != nil {
		t.Fatal(err)
	}
	if err := board.Close(); err != nil {
		t.Fatal(err)
	}
	if r := receive(t, done); r.n >= size || !errors.Is(r.err, ErrLost) {
		t.Errorf("got %d, %v, want ErrLost", r.n, r.err)
	}
}

// A board that floods the line is held up, not buffered without bound, and no
// byte is lost on the way.
func TestFlood(t *testing.T) {
	board, name := openPTY(t)
	p := openPort(t, name, Options{})
	const size = 1 << 20
	done := make(chan error)
	go func() { _, err := board.Write(bytes.Repeat([]byte{'x'}, size)); done <- err }()
	await(t, func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.unread) >= maxUnread })
	if err := p.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10000)
	for n := 0; n < size; {
		p.mu.Lock()
		if len(p.unread) > maxUnread+4096 || cap(p.unread) > 4*maxUnread {
			t.Errorf("%d bytes are kept", len(p.unread))
		}
		p.mu.Unlock()
		k, err := p.Read(b)
		if err != nil {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		n += k
	}
	if err := receive(t, done); err != nil {
		t.Error(err)
	}
}

// Reader, writer, deadlines and Close at once, on many ports: for the race
// detector, and for descriptors that change hands.
func TestManyAtOnce(t *testing.T) {
	var all sync.WaitGroup
	for range 16 {
		board, name := openPTY(t)
		all.Go(func() {
			for range 5 {
				p, err := Open(t.Context(), name, Options{})
				if err != nil {
					t.Error(err)
					return
				}
				var ends sync.WaitGroup
				ends.Go(func() {
					for {
						if _, err := p.Read(make([]byte, 64)); err != nil {
							if !errors.Is(err, os.ErrClosed) {
								t.Error(err)
							}
							return
						}
					}
				})
				ends.Go(func() {
					for {
						if _, err := p.Write(make([]byte, 256)); err != nil {
							if !errors.Is(err, os.ErrClosed) {
								t.Error(err)
							}
							return
						}
						if p.SetReadDeadline(time.Time{}) != nil {
							return
						}
					}
				})
				if _, err := io.ReadFull(board, make([]byte, 4096)); err != nil {
					t.Error(err)
				}
				if err := p.Close(); err != nil {
					t.Error(err)
				}
				ends.Wait()
			}
		})
	}
	all.Wait()
}
