// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"provisioning.example/station/internal/smp"
)

// patience bounds waits for what must happen, for the slowest machine; nothing is
// expected to use it up.
const patience = 5 * time.Minute

// An agent is a board outside this process: a posix agent, whose flash is a
// file. SIGKILL is its power cut.
type agent struct {
	dir, uid string
	cmd      *exec.Cmd
}

func (a *agent) link() string { return filepath.Join(a.dir, "agent-"+a.uid) }

// start boots the board and waits until it says that its console is there.
func (a *agent) start() error {
	path, err := filepath.Abs("../../firmware/build/posix-agent")
	if err != nil {
		return err
	}
	a.cmd = exec.Command(path, "--state", filepath.Join(a.dir, "state-"+a.uid), "--link", a.link(),
		"--uid", a.uid, "--model", "posix", "--prot", "7")
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	a.cmd.Stderr = os.Stderr
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := a.cmd.Start(); err != nil {
		return fmt.Errorf("%w (run make firmware first)", err)
	}
	late := time.AfterFunc(patience, func() { _ = a.cmd.Process.Kill() })
	defer late.Stop()
	said, err := bufio.NewReader(out).ReadString('\n')
	if want := "ready " + a.link() + "\n"; said != want {
		return fmt.Errorf("the agent said %q, %w; want %q", said, err, want)
	}
	return nil
}

func (a *agent) cutPower() error {
	err := a.cmd.Process.Kill()
	_ = a.cmd.Wait() // it says that the process was killed
	return err
}

// A command is a group and an id, as a line sees them in an answer.
type command struct {
	group uint16
	id    uint8
}

var (
	info    = command{64, 0}
	keygen  = command{64, 1}
	csr     = command{64, 2}
	get     = command{64, 3}
	put     = command{64, 4}
	commit  = command{64, 5}
	prove   = command{64, 6}
	tlsSign = command{64, 7}
	lock    = command{64, 8}
	reset   = command{0, 5}
	params  = command{0, 6}
)

// A lineFault is one way in which the line between station and board can
// misbehave. The hooks it does not need are nil.
type lineFault struct {
	name    string
	on      []command // whose first answer it befalls
	want    string    // the code the run ends with, "" is PASS
	repeats int       // that the station needs at least to get through
	swapped bool      // another board comes back

	plugged func(*line)                                // after each plugging in
	up      func(l *line, raw []byte)                  // takes what the station sends
	wire    func(l *line, unlucky bool, packet []byte) // takes an answer; unlucky: it is the first to a command of on
	down    func(l *line, raw []byte)                  // passes bytes of the board on
}

// A line joins a pseudo-terminal of its own, which the station opens, to that
// of an agent. Its name is a symbolic link, which is gone while the cable is.
type line struct {
	t     *testing.T
	name  string
	fault lineFault
	agent *agent
	other *agent // that comes back when the fault says so

	answers map[command]int // so far; owned by the goroutine of fromBoard, as is held
	held    []byte          // an answer kept back

	struck atomic.Int64  // how often the fault befell the line
	silent atomic.Bool   // swallows everything
	moved  atomic.Int64  // bytes that a flood got through
	looked chan struct{} // a token when the station found no port here
	done   chan struct{}
	work   sync.WaitGroup

	mu            sync.Mutex // guards everything below
	master, slave *os.File   // nil while unplugged
	board         *os.File
	closed        bool
}

// newLine boots an agent and plugs it in.
func newLine(t *testing.T, dir, uid string, f lineFault) *line {
	t.Helper()
	l := &line{
		t: t, name: filepath.Join(dir, "port-"+uid), fault: f, agent: &agent{dir: dir, uid: uid},
		answers: map[command]int{}, looked: make(chan struct{}, 1), done: make(chan struct{}),
	}
	t.Cleanup(l.close)
	err := l.agent.start()
	if err == nil && f.swapped {
		l.other = &agent{dir: dir, uid: uid + "ff"}
		err = l.other.start()
	}
	if err == nil {
		err = l.connect(l.agent)
	}
	if err == nil {
		err = l.plug()
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// connect opens the console of an agent, which is in raw mode already.
func (l *line) connect(a *agent) error {
	board, err := os.OpenFile(a.link(), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return board.Close()
	}
	l.board = board
	l.work.Go(func() { l.fromBoard(board) })
	return nil
}

// plug offers the station a new pseudo-terminal under the line's name.
func (l *line) plug() error {
	master, slave, err := openPTY()
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errors.Join(master.Close(), slave.Close())
	}
	l.master, l.slave = master, slave
	// In one step, so that the station never meets half of a link.
	if err := os.Symlink(slave.Name(), l.name+".new"); err != nil {
		return err
	}
	if err := os.Rename(l.name+".new", l.name); err != nil {
		return err
	}
	l.work.Go(func() { l.fromStation(master) })
	if l.fault.plugged != nil {
		l.fault.plugged(l)
	}
	return nil
}

// openPTY returns a master whose reads and writes end when it is closed, and
// its slave in raw mode. The slave stays open so that the master's reads do
// not fail while the station has it closed.
func openPTY() (master, slave *os.File, err error) {
	m, slave, err := pty.Open()
	if err != nil {
		return nil, nil, err
	}
	if _, err = term.MakeRaw(int(slave.Fd())); err == nil {
		// Of this file the runtime believes that it blocks.
		var fd int
		if fd, err = unix.FcntlInt(m.Fd(), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			err = unix.SetNonblock(fd, true)
			master = os.NewFile(uintptr(fd), m.Name())
		}
	}
	return master, slave, errors.Join(err, m.Close())
}

// unplug pulls the cable on the station's side.
func (l *line) unplug() {
	select {
	case <-l.looked: // an old one
	default:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pull()
}

// pull takes the station's pseudo-terminal away. l.mu is held.
func (l *line) pull() {
	if l.master == nil {
		return
	}
	if err := errors.Join(os.Remove(l.name), l.master.Close(), l.slave.Close()); err != nil {
		l.t.Error(err)
	}
	l.master, l.slave = nil, nil
}

// comeBack plugs the board in again once the station has found it missing,
// after a power cut in between, or another board in its place.
func (l *line) comeBack(power bool) {
	err := l.replace(power)
	if err == nil {
		select {
		case <-l.looked:
			err = l.plug()
		case <-l.done:
		}
	}
	if err != nil {
		l.t.Error(err)
	}
}

func (l *line) replace(power bool) error {
	switch {
	case l.other != nil:
		l.disconnect()
		return l.connect(l.other)
	case power:
		l.disconnect()
		if err := l.agent.cutPower(); err != nil {
			return err
		}
		if err := l.agent.start(); err != nil {
			return err
		}
		return l.connect(l.agent)
	}
	return nil
}

// disconnect lets the agent's console go.
func (l *line) disconnect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.board != nil {
		_ = l.board.Close() // of a console that may be gone
		l.board = nil
	}
}

// close ends the line and its agents.
func (l *line) close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	close(l.done)
	l.pull()
	l.mu.Unlock()
	l.disconnect()
	l.work.Wait()
	for _, a := range []*agent{l.agent, l.other} {
		if a != nil && a.cmd != nil && a.cmd.Process != nil {
			_ = a.cutPower()
		}
	}
}

// fromStation passes on what the station sends.
func (l *line) fromStation(master *os.File) {
	buf := make([]byte, 4096)
	for {
		n, err := master.Read(buf)
		switch {
		case err != nil:
			return // unplugged
		case l.silent.Load():
			l.struck.Add(1)
		case l.fault.up != nil:
			l.fault.up(l, buf[:n])
		default:
			l.toBoard(buf[:n])
		}
	}
}

// fromBoard passes on what the board sends, answer by answer where the fault
// looks at them.
func (l *line) fromBoard(board *os.File) {
	buf := make([]byte, 4096)
	var dec smp.Decoder
	for {
		n, err := board.Read(buf)
		switch {
		case err != nil || n == 0:
			return // disconnected, or the power is cut
		case l.fault.wire != nil:
			dec.Feed(buf[:n], l.answer, l.toStation)
		case l.fault.down != nil:
			l.fault.down(l, buf[:n])
		default:
			l.toStation(buf[:n])
		}
	}
}

// answer takes one answer of the board.
func (l *line) answer(message []byte) {
	m, err := smp.ParseMessage(message)
	if err != nil {
		return
	}
	c := command{m.Group, m.Cmd}
	l.answers[c]++
	unlucky := l.answers[c] == 1 && slices.Contains(l.fault.on, c)
	if unlucky {
		l.struck.Add(1)
	}
	l.fault.wire(l, unlucky, smp.AppendPacket(nil, message, false))
}

// toStation sends raw bytes; a cable that is pulled takes none.
func (l *line) toStation(raw []byte) {
	l.mu.Lock()
	master := l.master
	l.mu.Unlock()
	if master != nil && !l.silent.Load() {
		_, _ = master.Write(raw)
	}
}

func (l *line) toBoard(raw []byte) {
	l.mu.Lock()
	board := l.board
	l.mu.Unlock()
	if board != nil {
		_, _ = board.Write(raw)
	}
}
