// SPDX-License-Identifier: Apache-2.0

//go:build !nogui

package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// artifacts is where pictures of the window are kept: make screenshots.
var artifacts = flag.String("artifacts", "", "folder for pictures of the window")

// screen is a display without a screen, and a window manager on it.
type screen struct {
	p       *plant
	display string
}

func newScreen(p *plant) *screen {
	p.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Close()
	// Without -noreset the server starts anew, and drops who connects just then,
	// whenever its last client leaves: the first question of xdotool does.
	x := exec.Command("Xvfb", "-noreset", "-displayfd", "3", "-screen", "0", "1280x800x24", "-nolisten", "tcp")
	x.ExtraFiles = []*os.File{w}
	p.start(x)
	w.Close()
	number, err := bufio.NewReader(r).ReadString('\n') // Xvfb writes it once it listens
	if err != nil {
		p.t.Fatalf("Xvfb: %v", err)
	}
	s := &screen{p: p, display: ":" + strings.TrimSpace(number)}
	wm := s.command("openbox")
	var said strings.Builder
	wm.Stderr = &said
	p.start(wm)
	p.until("openbox manages the display", func() bool {
		if ended(wm) {
			p.t.Fatalf("openbox ended: %s", said.String())
		}
		return s.command("xdotool", "get_desktop").Run() == nil
	})
	return s
}

// start starts a helper process that ends with the test.
func (p *plant) start(c *exec.Cmd) {
	p.t.Helper()
	if c.SysProcAttr == nil {
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	}
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
}

func (s *screen) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Env = s.env(os.Environ())
	return c
}

func (s *screen) env(env []string) []string {
	return append(env, "DISPLAY="+s.display, "LIBGL_ALWAYS_SOFTWARE=1", "WAYLAND_DISPLAY=", "LANG=C.UTF-8", "LC_ALL=C.UTF-8")
}

// described is a line that station --describe writes.
type described struct {
	Screen  string
	Buttons []describedButton
	Slots   []struct {
		Slot                       int
		State, Serial, Step, Fault string
		Entry                      int64
	}
	Counters struct{ Passed, Failed, Ready int }
	Ledger   struct {
		Rows                                    int
		Status, Pane, Note, Page, Form, Refused string
	}
}

// describedButton is a button of it.
type describedButton struct {
	Name       string
	X, Y, W, H int
	Enabled    bool
	Over, Held bool
}

func (d described) button(name string) describedButton {
	for _, b := range d.Buttons {
		if b.Name == name {
			return b
		}
	}
	return describedButton{}
}

// window is the station's window, as a test sees and presses it.
type window struct {
	s   *screen
	cmd *exec.Cmd
	id  string

	mu   sync.Mutex // guards what follows
	last described
	rest strings.Builder // what else was written to standard error
}

func (s *screen) open(c *exec.Cmd) *window {
	s.p.t.Helper()
	c.Env = s.env(c.Env)
	errs, err := c.StderrPipe()
	if err != nil {
		s.p.t.Fatal(err)
	}
	s.p.start(c)
	w := &window{s: s, cmd: c}
	go w.follow(errs)
	w.until("the window is there", func(d described) bool { return len(d.Buttons) > 0 })
	s.p.until("the window has a number", func() bool {
		out, err := s.command("xdotool", "search", "--onlyvisible", "--pid", fmt.Sprint(c.Process.Pid)).Output()
		w.id = strings.TrimSpace(string(out))
		return err == nil && w.id != ""
	})
	return w
}

func (w *window) follow(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var d described
		w.mu.Lock()
		if json.Unmarshal(lines.Bytes(), &d) == nil {
			w.last = d
		} else {
			w.rest.WriteString(lines.Text() + "\n")
		}
		w.mu.Unlock()
	}
}

func (w *window) now() described {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

func (w *window) until(what string, is func(described) bool) {
	w.s.p.t.Helper()
	defer func() {
		if w.s.p.t.Failed() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.s.p.t.Logf("last seen: %+v\n%s", w.last, w.rest.String())
		}
	}()
	w.s.p.until(what, func() bool { return is(w.now()) })
}

// click presses a button the way a finger does: there, down, up. The window
// tells when it saw each; faster than it draws no finger is.
func (w *window) click(name string) {
	w.s.p.t.Helper()
	w.until("the button "+name+" can be pressed", func(d described) bool { return d.button(name).Enabled })
	b := w.now().button(name)
	w.xdotool("mousemove", "--window", w.id, fmt.Sprint(b.X+b.W/2), fmt.Sprint(b.Y+b.H/2))
	w.until("the pointer is over "+name, func(d described) bool { return d.button(name).Over })
	w.xdotool("mousedown", "1")
	w.until(name+" is held down", func(d described) bool { return d.button(name).Held })
	w.xdotool("mouseup", "1")
}

func (w *window) xdotool(args ...string) {
	w.s.p.t.Helper()
	if out, err := w.s.command("xdotool", args...).CombinedOutput(); err != nil {
		w.s.p.t.Fatalf("xdotool %v: %v\n%s", args, err, out)
	}
}

// picture keeps what the window shows.
func (w *window) picture(name string) {
	w.s.p.t.Helper()
	dir := *artifacts
	if dir == "" {
		return
	}
	if out, err := w.s.command("timeout", fmt.Sprint(deadline.Seconds()), "import", "-window", w.id, filepath.Join(dir, name+".png")).CombinedOutput(); err != nil {
		w.s.p.t.Errorf("picture %s: %v\n%s", name, err, out)
	}
}

func all(state string, n int) func(described) bool {
	return func(d described) bool {
		for _, s := range d.Slots {
			if s.State == state {
				n--
			}
		}
		return n <= 0
	}
}

// TestWindow clicks PROVISION in the real window, over real agents and swtpm;
// afterwards openssl verifies every chain read back from the boards, and the
// ledger is valid.
func TestWindow(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(8)
	s := newScreen(p)
	args := append([]string{"--describe", "--theme", "light", "--pin-file", p.path("pin")}, portArgs(ports)...)
	w := s.open(p.station(args...))
	w.until("8 boards are ready", func(d described) bool { return all("READY", 8)(d) })
	w.picture("idle-light")
	w.click("provision")
	w.until("8 boards passed", func(d described) bool { return all("PASS", 8)(d) })
	w.until("the counters say so", func(d described) bool { return d.Counters.Passed == 8 && d.Counters.Failed == 0 })
	w.picture("passed-light")
	w.click("ledger")
	w.until("the ledger is shown", func(d described) bool { return d.Screen == "ledger" })
	w.picture("ledger-light")
	w.qa()
	w.xdotool("windowclose", w.id)
	p.until("the station ends", func() bool { return w.cmd.Process.Signal(syscall.Signal(0)) != nil || ended(w.cmd) })
	p.content()
	p.readBack(ports)
	p.sqlite("select count(*) from entry where kind = 'end' and outcome = 'passed'", "8")
	p.sqlite("select body ->> '$.passed' from entry where kind = 'signoff'", "8")
}

// qa does what qa does at the ledger screen: a unit is looked up by its label,
// the ledger verified, the shift signed off, all by keyboard but for one button.
func (w *window) qa() {
	w.s.p.t.Helper()
	shows := func(what string, is func(d described) bool) { w.s.p.t.Helper(); w.until(what, is) }
	shows("the results are listed", func(d described) bool { return d.Ledger.Rows == 8 })
	serial := w.now().Slots[0].Serial
	w.xdotool("type", "--delay", "10", serial)
	w.xdotool("key", "Return")
	shows("the unit is shown", func(d described) bool { return d.Ledger.Pane == serial && d.Ledger.Note == "Passed" })
	w.xdotool("key", "Right")
	shows("its certificate is shown", func(d described) bool { return d.Ledger.Page == "unit-certificate" })
	w.picture("unit-light")
	w.click("verify")
	shows("the ledger is valid", func(d described) bool {
		return d.Ledger.Page == "verify-verdict" && d.Ledger.Note == "Valid, and proven"
	})
	w.picture("verdict-light")
	w.xdotool("key", "F4")
	shows("the form for a sign-off is there", func(d described) bool { return d.Ledger.Form == "Sign off" })
	w.xdotool("type", "--delay", "10", "shift reviewed")
	w.xdotool("key", "ctrl+Return")
	shows("the shift is signed off", func(d described) bool {
		return d.Ledger.Form == "" && strings.HasPrefix(d.Ledger.Status, "Signed off, on record as entry")
	})
}

// ended tells whether a process has become a zombie: it has, and only the
// test's cleanup waits for it.
func ended(c *exec.Cmd) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.Process.Pid))
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	return strings.HasPrefix(rest, "Z")
}
