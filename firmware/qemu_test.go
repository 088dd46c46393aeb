// SPDX-License-Identifier: Apache-2.0

package firmware_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mps2Path is the agent for a Cortex-M3. One that was built with MEASURE=1 says
// through QEMU how much heap and stack it needs (go test -v).
var mps2Path = flag.String("elf", "build/agent-mps2.elf", "agent for a Cortex-M3")

// The memory file, as port/mps2/nvm.c lays it out.
const (
	psram     = 0x21000000 // where the board has it
	otpMagic  = "MPS2-OTP"
	copiesAt  = 4096
	copySize  = 8192
	copiesEnd = copiesAt + 2*copySize
)

// An emulated board is QEMU with the agent's ELF: its memory file, which is
// state(), outlives its process, and link() leads to its UART.
type emulated struct {
	board
	elf     string
	sockets string // a directory
}

// newEmulated starts a board whose memory file is new, or the given header.
func newEmulated(t *testing.T, elf string, header []byte) *emulated {
	t.Helper()
	e := prepareEmulated(t, elf, header)
	e.start(t)
	return e
}

func prepareEmulated(t *testing.T, elf string, header []byte) *emulated {
	t.Helper()
	if _, err := os.Stat(elf); err != nil {
		t.Fatalf("%v; run make -C firmware mps2", err)
	}
	if _, err := exec.LookPath("qemu-system-arm"); err != nil {
		t.Fatalf("%v; run scripts/install-deps.sh test", err)
	}
	elf, err := filepath.Abs(elf)
	if err != nil {
		t.Fatal(err)
	}
	sockets, err := os.MkdirTemp("", "qemu")
	if err != nil {
		t.Fatal(err)
	}
	e := &emulated{board: board{dir: t.TempDir()}, elf: elf, sockets: sockets}
	if err := os.WriteFile(e.state(), header, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(e.state(), 16<<20); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(sockets) })
	return e
}

// gdb is a short path: a socket's may have 107 bytes at most.
func (e *emulated) gdb() string { return filepath.Join(e.sockets, "gdb") }

// ptyName is how QEMU names the pseudo-terminal of a UART.
var ptyName = regexp.MustCompile(`/dev/pts/\d+`)

// start runs QEMU until its UART has a name. What it says later goes to log.
func (e *emulated) start(t *testing.T) {
	t.Helper()
	e.launch(t, new(bytes.Buffer))
}

func (e *emulated) launch(t *testing.T, log io.Writer) {
	t.Helper()
	e.cmd = exec.Command("qemu-system-arm", "-machine", "mps2-an385,memory-backend=nvm",
		"-object", "memory-backend-file,id=nvm,size=16M,share=on,mem-path="+e.state(),
		"-nic", "none", "-display", "none", "-monitor", "none", "-serial", "pty",
		"-gdb", "unix:"+e.gdb()+",server=on,wait=off", "-semihosting", "-kernel", e.elf)
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	e.cmd.Stderr = log
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd := e.cmd
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // fails where it was killed before
		_ = cmd.Wait()
		if log, is := log.(*bytes.Buffer); is && log.Len() > 0 {
			t.Logf("QEMU: %s", log)
		}
	})
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	pty := ptyName.FindString(line)
	if pty == "" {
		t.Fatalf("QEMU names no pseudo-terminal: %q, %v", line, err)
	}
	_ = os.Remove(e.link()) // of a start before
	if err := os.Symlink(pty, e.link()); err != nil {
		t.Fatal(err)
	}
}

func (e *emulated) powerCut(t *testing.T) {
	t.Helper()
	e.kill(t)
	e.start(t)
}

// connect opens the board's UART; its uid must be the one in its memory file.
func (e *emulated) connect(t *testing.T) *talk {
	t.Helper()
	c := connect(t, &e.board)
	header := e.memory(t, 0, 44)
	n := binary.LittleEndian.Uint32(header[8:])
	if string(header[:8]) != otpMagic || n > 32 || !bytes.Equal(c.info.UID, header[12:12+n]) {
		t.Fatalf("the board says uid %x, its memory file %x", c.info.UID, header)
	}
	if e.uid != nil && !bytes.Equal(e.uid, c.info.UID) {
		t.Fatalf("the board's uid was %x and is %x", e.uid, c.info.UID)
	}
	e.uid = c.info.UID
	return c
}

// memory reads bytes of the memory file.
func (e *emulated) memory(t *testing.T, from, to int) []byte {
	t.Helper()
	f, err := os.Open(e.state())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, to-from)
	if _, err := f.ReadAt(b, int64(from)); err != nil {
		t.Fatal(err)
	}
	return b
}

// A watcher waits for a text in what QEMU says.
type watcher struct {
	want string
	seen chan struct{}

	said []byte // of the one goroutine that writes
}

func newWatcher(want string) *watcher { return &watcher{want: want, seen: make(chan struct{})} }

func (w *watcher) Write(b []byte) (int, error) {
	was := bytes.Contains(w.said, []byte(w.want))
	w.said = append(w.said, b...)
	if !was && bytes.Contains(w.said, []byte(w.want)) {
		close(w.seen)
	}
	return len(b), nil
}

func (w *watcher) wait(ctx context.Context, t *testing.T) {
	t.Helper()
	select {
	case <-w.seen:
	case <-ctx.Done():
		t.Fatalf("QEMU never says %q", w.want)
	}
}

// buildPinned builds the agent with a pinned root.
func buildPinned(t *testing.T, root string) string {
	t.Helper()
	elf := filepath.Join(t.TempDir(), "pinned.elf")
	c := exec.CommandContext(deadline(t), "make", "mps2", "ROOT="+root, "MPS2_ELF="+elf)
	// The jobs of a make that runs these tests are not ours to use.
	c.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS") })
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return elf
}
