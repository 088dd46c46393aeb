// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"crypto/sha256"
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

// TestBatchWatchManifest: an order that is copied before what belongs to it is
// taken over as soon as all of it is there.
func TestBatchWatchManifest(t *testing.T) {
	p := newPlant(t, posixProduct+"usb = [\"0403:6001\"]\n")
	write := func(list string) {
		p.write("home/orders/WO-1.toml", fmt.Sprintf("order = \"WO-1\"\nproduct = \"gw\"\nquantity = 1\nserial = \"manifest\"\nmanifest = \"u.csv\"\nmanifest_sha256 = \"%x\"\n", sha256.Sum256([]byte(list))))
	}
	const before, after = "serial\nA1\n", "serial\nA1\nA2\n"
	p.write("home/orders/u.csv", before)
	write(before)
	k, _ := p.watching(newSockets(t), "--order", "WO-1")
	p.until("the order is on record", func() bool { return p.count(record.KindOrder) == 1 })
	write(after)
	p.says("u.csv is not the manifest that order WO-1 names")
	p.write("home/orders/u.csv", after)
	p.until("the change is on record", func() bool { return p.count(record.KindOrder) == 2 })
	if err := k.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	k.wants(fields{"event": "summary", "passed": 0})
	k.ends(exitInterrupted, nil)
	p.content()
}

// TestBatchWatchScan: labels come from standard input, as a scanner types them.
func TestBatchWatchScan(t *testing.T) {
	p := newPlant(t, posixProduct+"usb = [\"0403:6001\"]\nserial = \"scan\"\n")
	agents := p.agents(1)
	s := newSockets(t)
	k, labels := p.watching(s)
	fmt.Fprintln(labels, strings.Repeat("x", 2*maxLabelLine+1))
	p.says("refused: a line of more than 4096 bytes is no label")
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
