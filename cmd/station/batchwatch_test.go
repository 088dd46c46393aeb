// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"provisioning.example/station/internal/record"
)

// watching starts batch --watch on the sockets' bench; what it says to people
// goes into a file, what it is told comes from the returned pipe.
func (p *plant) watching(s *sockets, more ...string) (*talker, *os.File) {
	p.t.Helper()
	k := &talker{t: p.t, cmd: s.station(p.path("home"), append([]string{"batch", "--watch", "--json", "--pin-file", p.path("pin")}, more...)...), lines: make(chan string, 64)}
	out, err := k.cmd.StdoutPipe()
	s.ok(err)
	said, err := os.Create(p.path("said"))
	s.ok(err)
	in, labels, err := os.Pipe()
	s.ok(err)
	k.cmd.Stderr, k.cmd.Stdin = said, in
	s.ok(k.cmd.Start())
	p.t.Cleanup(func() { _ = k.cmd.Process.Kill(); labels.Close() })
	in.Close()
	said.Close()
	go func() {
		defer close(k.lines)
		for r := bufio.NewScanner(out); r.Scan(); {
			k.lines <- r.Text()
		}
	}()
	return k, labels
}

func (p *plant) says(text string) {
	p.t.Helper()
	p.until("it says "+text, func() bool { return strings.Contains(p.read("said"), text) })
}

// TestBatchWatch: boards come and go, each is started where it is plugged in; a
// mistake in the order's file is told and changes nothing, a right change is
// taken over, and the complete order ends the batch.
func TestBatchWatch(t *testing.T) {
	p := newPlant(t, posixProduct+"usb = [\"0403:6001\"]\n")
	agents := p.agents(3)
	s := newSockets(t)
	write := func(quantity string) {
		p.write("home/orders/WO-1.toml", "order = \"WO-1\"\nproduct = \"gw\"\nquantity = "+quantity+"\nserial = \"range\"\nfirst = \"PC-0101\"\nlast = \"PC-0199\"\n")
	}
	write("5")
	k, _ := p.watching(s, "--order", "WO-1")
	s.in("ttyUSB0", "1-1.1:1.0", agents[0])
	k.wants(fields{"event": "unit", "serial": "PC-0101", "outcome": "passed", "slot": 1})
	s.in("ttyUSB1", "1-1.2:1.0", agents[1])
	k.wants(fields{"event": "unit", "serial": "PC-0102", "outcome": "passed", "slot": 2})
	write("many")
	p.says("the order goes on as it was: ")
	p.says("WO-1.toml:3: ")
	s.out("ttyUSB0", "1-1.1:1.0")
	s.in("ttyUSB2", "1-1.1:1.0", agents[0]) // a board that is done passes again, under its own number
	k.wants(fields{"event": "unit", "serial": "PC-0101", "outcome": "passed", "slot": 1, "attempt": 2})
	write("3")
	p.until("the change is on record", func() bool { return p.count(record.KindOrder) == 2 })
	s.out("ttyUSB2", "1-1.1:1.0")
	s.in("ttyUSB3", "1-1.1:1.0", agents[2])
	k.wants(fields{"event": "unit", "serial": "PC-0103", "outcome": "passed", "slot": 1})
	k.wants(fields{"event": "summary", "passed": 4})
	k.ends(exitPassed, nil)
	p.content()
}

// TestBatchWatchScan: labels come from standard input, as a scanner types them.
func TestBatchWatchScan(t *testing.T) {
	p := newPlant(t, posixProduct+"usb = [\"0403:6001\"]\nserial = \"scan\"\n")
	agents := p.agents(1)
	s := newSockets(t)
	k, labels := p.watching(s)
	fmt.Fprintln(labels, "SN-1")
	p.says("refused: no board waits for a label")
	s.in("ttyUSB0", "1-1.1:1.0", agents[0])
	fmt.Fprintln(labels, "=SUM(A1)")
	p.says("is no serial")
	p.until("the board waits for its label", func() bool {
		fmt.Fprintln(labels, "SN-1")
		return strings.Contains(p.read("said"), "slot 1 has its label")
	})
	k.wants(fields{"event": "unit", "serial": "SN-1", "outcome": "passed"})
	if err := k.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	k.wants(fields{"event": "summary", "passed": 1})
	k.ends(exitInterrupted, nil)
	p.content()
}
