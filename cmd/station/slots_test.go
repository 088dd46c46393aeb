// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"provisioning.example/station/internal/port"
)

// withSockets makes the test binary, as the program, see the ports of a tree
// that a test made instead of this machine's.
const withSockets = "STATION_TEST_SOCKETS"

// stationMain is main, with the tree of a test where there is one.
func stationMain() {
	if os.Getenv(asNobody) != "" {
		becomeNobody()
	}
	dir := os.Getenv(withSockets)
	if dir == "" {
		main()
	}
	os.Exit(process(port.Bus{
		Ports: port.Lister{Root: filepath.Join(dir, "sys"), Dev: filepath.Join(dir, "dev")}.List,
		Events: func(context.Context) (<-chan port.Event, error) {
			return nil, errors.New("a tree of files tells nothing")
		},
	}))
}

// sockets is a bench that boards are plugged into: a tree of sysfs, and a
// folder of nodes. Ports are FT232R adapters.
type sockets struct {
	t    *testing.T
	dir  string
	plug int // how many were plugged in so far
}

func newSockets(t *testing.T) *sockets {
	t.Helper()
	s := &sockets{t: t, dir: t.TempDir()}
	for _, d := range []string{"sys/class/tty", "dev"} {
		s.ok(os.MkdirAll(filepath.Join(s.dir, d), 0o700))
	}
	return s
}

func (s *sockets) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *sockets) env() string { return withSockets + "=" + s.dir }

// node is the name of a port.
func (s *sockets) node(tty string) string { return filepath.Join(s.dir, "dev", tty) }

// in plugs a board in: its port appears as tty at a location (1-1.4:1.0),
// and leads to a file or pseudo-terminal.
func (s *sockets) in(tty, location, leadsTo string) {
	s.t.Helper()
	s.plug++
	device := filepath.Join(s.dir, "sys/devices/usb1", port.Device(location))
	interfaceDir := filepath.Join(device, location)
	terminal := filepath.Join(interfaceDir, tty, "tty", tty)
	s.ok(os.MkdirAll(terminal, 0o700))
	for path, text := range map[string]string{
		filepath.Join(device, "idVendor"):               "0403",
		filepath.Join(device, "idProduct"):              "6001",
		filepath.Join(device, "product"):                "FT232R USB UART",
		filepath.Join(device, "busnum"):                 "1",
		filepath.Join(device, "devnum"):                 fmt.Sprint(s.plug),
		filepath.Join(interfaceDir, "bInterfaceNumber"): "00",
	} {
		s.ok(os.WriteFile(path, []byte(text+"\n"), 0o600))
	}
	s.ok(os.Symlink("../../../"+tty, filepath.Join(terminal, "device")))
	s.ok(os.Symlink(leadsTo, s.node(tty)))
	s.ok(os.Symlink(terminal, filepath.Join(s.dir, "sys/class/tty", tty))) // last: now it is there
}

// out pulls a board's port out.
func (s *sockets) out(tty, location string) {
	s.t.Helper()
	s.ok(os.Remove(filepath.Join(s.dir, "sys/class/tty", tty)))
	s.ok(os.Remove(s.node(tty)))
	s.ok(os.RemoveAll(filepath.Join(s.dir, "sys/devices/usb1", port.Device(location), location, tty)))
}

// bareHome is a home as far as the bench needs one; there is no TPM to it.
func bareHome(t *testing.T, more string) string {
	t.Helper()
	dir := t.TempDir()
	text := "name = \"plant/line-1\"\ntpm = \"sim\" # none here\nslots = 4\n" + more
	if err := os.WriteFile(filepath.Join(dir, "station.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (s *sockets) station(home string, args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), asStation+"=1", "STATION_HOME="+home, s.env())
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

// do runs a command to its end and checks the exit code.
func (s *sockets) do(code int, home string, args ...string) (out, errs string) {
	s.t.Helper()
	var o, e strings.Builder
	c := s.station(home, args...)
	c.Stdout, c.Stderr = &o, &e
	if got := exitCode(s.t, c.Run()); got != code {
		s.t.Fatalf("station %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, code, o.String(), e.String())
	}
	return o.String(), e.String()
}

func has(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, w := range wants {
		if !strings.Contains(text, w) {
			t.Errorf("there is no %q in:\n%s", w, text)
		}
	}
}

// A talker is a command that writes JSON lines as things happen.
type talker struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
	errs  strings.Builder
}

func (s *sockets) start(home string, args ...string) *talker {
	s.t.Helper()
	k := &talker{t: s.t, cmd: s.station(home, args...), lines: make(chan string, 64)}
	out, err := k.cmd.StdoutPipe()
	s.ok(err)
	k.cmd.Stderr = &k.errs
	s.ok(k.cmd.Start())
	s.t.Cleanup(func() { _ = k.cmd.Process.Kill() })
	go func() {
		defer close(k.lines)
		r := bufio.NewScanner(out)
		for r.Scan() {
			k.lines <- r.Text()
		}
		_, _ = io.Copy(io.Discard, out)
	}()
	return k
}

// wants waits for the next line and compares what it says with some fields.
func (k *talker) wants(fields map[string]any) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), deadline)
	defer cancel()
	select {
	case line, open := <-k.lines:
		if !open {
			k.t.Fatalf("the command ended, want %v\n%s", fields, k.errs.String())
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			k.t.Fatalf("%v in %q", err, line)
		}
		for key, want := range fields {
			if fmt.Sprint(got[key]) != fmt.Sprint(want) {
				k.t.Fatalf("got %s, want %v", line, fields)
			}
		}
	case <-ctx.Done():
		k.t.Fatalf("waited in vain for %v", fields)
	}
}

// ends checks the exit code, after a signal if there is one.
func (k *talker) ends(code int, signal os.Signal) {
	k.t.Helper()
	if signal != nil {
		if err := k.cmd.Process.Signal(signal); err != nil {
			k.t.Fatal(err)
		}
	}
	for line := range k.lines {
		k.t.Errorf("and then: %s", line)
	}
	if got := exitCode(k.t, k.cmd.Wait()); got != code {
		k.t.Errorf("exit %d, want %d\n%s", got, code, k.errs.String())
	}
}

type fields = map[string]any

// TestSlotsBind plugs boards in as a person does, mistakes included.
func TestSlotsBind(t *testing.T) {
	s := newSockets(t)
	home := bareHome(t, "\n[bench]\n4 = '1-1.9:1.0' # by the wall\n")
	s.in("ttyUSB0", "1-1.1:1.0", os.DevNull)
	k := s.start(home, "slots", "bind", "--json")
	k.wants(fields{"event": "wait", "slot": 1})
	s.in("ttyUSB1", "1-1.9:1.0", os.DevNull)
	k.wants(fields{"event": "refused", "slot": 1, "usb": "1-1.9:1.0", "other": 4})
	s.in("ttyUSB2", "1-1.2:1.0", os.DevNull)
	k.wants(fields{"event": "bound", "slot": 1, "usb": "1-1.2:1.0", "port": s.node("ttyUSB2")})
	k.wants(fields{"event": "wait", "slot": 2})
	s.in("ttyUSB3", "1-1.2:1.1", os.DevNull) // the same board's second port
	s.out("ttyUSB0", "1-1.1:1.0")
	s.in("ttyUSB4", "1-1.10:1.0", os.DevNull)
	k.wants(fields{"event": "bound", "slot": 2, "usb": "1-1.10:1.0"})
	k.wants(fields{"event": "wait", "slot": 3})
	_, errs := s.do(exitUnfit, home, "slots", "clear", "1")
	has(t, errs, "another station works in")
	k.ends(exitInterrupted, syscall.SIGINT)
	raw, err := os.ReadFile(filepath.Join(home, "station.toml"))
	s.ok(err)
	has(t, string(raw), "tpm = \"sim\" # none here", "4 = '1-1.9:1.0' # by the wall", "1 = \"1-1.2:1.0\"", "2 = \"1-1.10:1.0\"")

	// What was pulled out and is plugged in where it was counts again.
	s.in("ttyUSB0", "1-1.1:1.0", os.DevNull)
	k = s.start(home, "slots", "bind", "3", "--json")
	k.wants(fields{"event": "wait", "slot": 3})
	s.out("ttyUSB0", "1-1.1:1.0")
	s.in("ttyUSB5", "1-1.7:1.0", os.DevNull)
	k.wants(fields{"event": "bound", "slot": 3, "usb": "1-1.7:1.0"})
	k.ends(exitPassed, nil)

	out, _ := s.do(exitPassed, home, "slots", "list")
	has(t, out, "1     1-1.2:1.0   "+s.node("ttyUSB2")+"  FT232R USB UART", "3     1-1.7:1.0 ")
	out, _ = s.do(exitPassed, home, "slots", "list", "--json")
	has(t, out, `{"slot":4,"usb":"1-1.9:1.0","port":"`+s.node("ttyUSB1")+`"}`)
	out, _ = s.do(exitPassed, home, "slots", "bind")
	has(t, out, "all 4 slots are bound")
}

// TestSlotsByScript binds, lists and clears without a person.
func TestSlotsByScript(t *testing.T) {
	s := newSockets(t)
	home := bareHome(t, "")
	_, errs := s.do(exitUsage, home, "slots", "bind", "--yes")
	has(t, errs, "no board is plugged in at a place that is not bound")
	s.in("ttyUSB7", "1-1.10:1.0", os.DevNull)
	s.in("ttyUSB8", "1-1.2:1.0", os.DevNull)
	s.in("ttyUSB9", "1-1.3:1.0", os.DevNull)
	s.do(exitPassed, home, "slots", "bind", "2=1-1.3:1.0")
	out, _ := s.do(exitPassed, home, "slots", "bind", "--yes")
	has(t, out, "slot 1 is 1-1.2:1.0", "slot 3 is 1-1.10:1.0", "1 slots are still not bound")
	for want, args := range map[string][]string{
		`there is no slot "5"`:         {"5"},
		`there is no slot "one"`:       {"one"},
		`"ttyUSB0" is no USB location`: {"1=ttyUSB0"},
		"slot 1 is named twice":        {"1", "1=1-1.2:1.0"},
		"1-1.10:1.0 is slot 3 already": {"4=1-1.10:1.0"},
	} {
		_, errs := s.do(exitUsage, home, append([]string{"slots", "bind"}, args...)...)
		has(t, errs, want, "hint: ")
	}
	s.do(exitPassed, home, "slots", "bind", "1=1-1.4:1.0") // anew
	_, errs = s.do(exitUsage, home, "slots", "clear")
	has(t, errs, "would clear every slot")
	s.do(exitPassed, home, "slots", "clear", "2", "3")
	out, _ = s.do(exitPassed, home, "slots", "list")
	has(t, out, "1     1-1.4:1.0", "2     any", "3     any")
	s.do(exitPassed, home, "slots", "clear", "--yes")
	out, _ = s.do(exitPassed, home, "slots", "list", "--json")
	has(t, out, `{"slot":1,"usb":""}`)
}

// TestPortsWatch tells what is plugged in and pulled out, with its slot.
func TestPortsWatch(t *testing.T) {
	s := newSockets(t)
	home := bareHome(t, "[bench]\n3 = \"1-1.2:1.0\"\n")
	s.in("ttyUSB0", "1-1.2:1.0", os.DevNull)
	s.in("ttyUSB1", "1-1.3:1.0", os.DevNull)
	out, _ := s.do(exitPassed, home, "ports")
	has(t, out, s.node("ttyUSB0")+"  0403:6001  1-1.2:1.0  3     FT232R USB UART  ok", "1-1.3:1.0  any ")
	k := s.start(home, "ports", "--watch", "--json")
	k.wants(fields{"event": "here", "port": s.node("ttyUSB0"), "slot": 3, "access": "ok", "vid": "0403"})
	k.wants(fields{"event": "here", "port": s.node("ttyUSB1"), "slot": nil})
	s.out("ttyUSB0", "1-1.2:1.0")
	k.wants(fields{"event": "gone", "port": s.node("ttyUSB0"), "slot": 3})
	s.in("ttyUSB5", "1-1.2:1.0", os.DevNull)
	k.wants(fields{"event": "came", "port": s.node("ttyUSB5"), "slot": 3})
	k.ends(exitPassed, syscall.SIGINT)

	out, _ = s.do(exitPassed, filepath.Join(home, "none"), "ports")
	has(t, out, s.node("ttyUSB5"), "any")
	_, errs := s.do(exitUsage, bareHome(t, "[bench]\n9 = \"1-1.2:1.0\"\n"), "ports")
	has(t, errs, "station.toml:5: bench: 9: ")
}

// TestBatchByPlace provisions boards at their bound slots, without being told
// their ports; a board elsewhere takes a slot that is not bound.
func TestBatchByPlace(t *testing.T) {
	p := newPlant(t, posixProduct+"usb = [\"0403:6001\"]\n")
	agents := p.agents(3)
	s := newSockets(t)
	for i, location := range []string{"1-1.1:1.0", "1-1.2:1.0", "1-1.3:1.0"} {
		s.in(fmt.Sprintf("ttyUSB%d", i), location, agents[i])
	}
	s.do(exitPassed, p.path("home"), "slots", "bind", "1=1-1.3:1.0", "5=1-1.1:1.0")
	for _, args := range [][]string{p.batchArgs(nil), p.batchArgs([]string{agents[0]})} {
		out, _ := s.do(exitPassed, p.path("home"), args...)
		units, sum := events(t, out)
		if sum.Passed != len(units) || len(units) != 3 && len(units) != 1 {
			t.Fatalf("%d of %d passed\n%s", sum.Passed, len(units), out)
		}
		for _, u := range units {
			want := map[string]int{s.node("ttyUSB0"): 5, s.node("ttyUSB1"): 2, s.node("ttyUSB2"): 1, agents[0]: 5}[u.Port]
			if u.Slot != want {
				t.Errorf("%s was in slot %d, want %d", u.Port, u.Slot, want)
			}
		}
	}
	p.sqlite("select count(*) from entry where kind = 'end' and body like '%\"usb\":\"1-1.1:1.0\"%'", "2")
	p.content()
}

// TestSeats is what decides which slot a port gets.
func TestSeats(t *testing.T) {
	s := newSeats(map[string]int{"1-1:1.0": 2, "1-2:1.0": 4}, 5)
	always := func(int) bool { return true }
	bound := seen{"ttyUSB0", "1-1:1.0", "1:1"}
	a, b, c, d := seen{"ttyUSB1", "1-8:1.0", "1:2"}, seen{"pts", "", ""}, seen{"ttyUSB3", "1-9:1.0", "1:4"}, seen{"ttyUSB4", "1-7:1.0", "1:5"}
	want := func(b seen, free func(int) bool, slot int) {
		t.Helper()
		got := s.choose(b, free)
		if got != slot {
			t.Fatalf("%+v: slot %d, want %d", b, got, slot)
		}
		if got > 0 {
			s.sit(got, b)
		}
	}
	want(a, always, 1)
	want(bound, always, 2)
	want(b, always, 3)
	want(c, always, 5)
	want(d, always, 0) // the bench is full: slot 4 waits for its own board
	if gone := s.leave([]seen{bound, a, c}); !slices.Equal(gone, []seen{b}) {
		t.Fatalf("gone: %+v", gone)
	}
	want(d, func(n int) bool { return n != 3 }, 0) // a run there waits for its board
	want(d, always, 3)                             // no slot is new, this one is free
	again := bound
	again.plug = "1:9"
	if gone := s.leave([]seen{again, a, c, d}); !slices.Equal(gone, []seen{bound}) || s.has(again) {
		t.Fatalf("a board that was swapped between two looks: gone %+v", gone)
	}
	want(again, always, 2)
	s.leave(nil)
	renamed := seen{"ttyUSB6", "1-9:1.0", "1:10"}
	want(renamed, always, 5) // its place, whatever its name
	want(seen{"ttyUSB9", "1-2:1.0", "1:11"}, func(int) bool { return false }, 0)
	want(seen{"ttyUSB9", "1-2:1.0", "1:11"}, always, 4)
}
