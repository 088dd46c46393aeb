// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/port"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/smp"
)

// ptyMatrix is the part of the fault matrix that lies in the line, for boards
// outside this process. Each answer that is lost costs the command's whole
// timeout, up to 10 s: the commands are spread over boards so that no run
// takes long.
func ptyMatrix() []lineFault {
	rows := []lineFault{
		{name: "echo", up: func(l *line, raw []byte) { l.struck.Add(1); l.toStation(raw); l.toBoard(raw) }},
		{name: "prompt", wire: prompt},
		{name: "double", wire: double},
		{name: "pieces", down: pieces},
		{name: "unplug at keygen", on: []command{keygen}, wire: unplug(false), repeats: 1},
		{name: "unplug at commit", on: []command{commit}, wire: unplug(false), repeats: 1},
		{name: "unplug twice", on: []command{get, reset}, wire: unplug(false), repeats: 2},
		{name: "power cut at csr", on: []command{csr}, wire: unplug(true), repeats: 1},
		{name: "power cut at put", on: []command{put}, wire: unplug(true), repeats: 1},
		{name: "power cut at lock", on: []command{lock}, wire: unplug(true), repeats: 1},
		{name: "power cut at reset", on: []command{reset}, wire: unplug(true), repeats: 1},
		{name: "loose", on: []command{keygen, csr, commit}, wire: unplug(false), want: "F-INSTALL-91"},
		{name: "unplug for good", on: []command{commit}, wire: away, want: "F-INSTALL-91"},
		{name: "swap", on: []command{commit}, wire: unplug(false), swapped: true, want: "F-INSTALL-94"},
		{name: "silent", plugged: func(l *line) { l.silent.Store(true) }, want: "F-CONNECT-90"},
		{name: "silent from get", on: []command{get}, wire: hush, want: "F-REQUEST-90"},
		{name: "silent from put", on: []command{put}, wire: hush, want: "F-INSTALL-90"},
		{name: "silent from reset", on: []command{reset}, wire: hush, want: "F-RECEIPT-90"},
		{name: "babbling", plugged: flood(text), want: "F-CONNECT-92"},
		{name: "babbling from csr", on: []command{csr}, wire: floodFrom(text), want: "F-REQUEST-92"},
	}
	for _, c := range []struct {
		name    string
		on      []command
		repeats int
	}{
		{"info get put params reset", []command{info, get, put, params, reset}, 4}, // a reset is not repeated
		{"keygen csr", []command{keygen, csr}, 2},
		{"commit prove", []command{commit, prove}, 2},
		{"tls-sign lock", []command{tlsSign, lock}, 2},
	} {
		rows = append(rows,
			lineFault{name: "lost " + c.name, on: c.on, wire: lost, repeats: c.repeats},
			lineFault{name: "late " + c.name, on: c.on, wire: late, repeats: c.repeats},
			lineFault{name: "noise " + c.name, on: c.on, wire: noise, repeats: c.repeats})
	}
	return rows
}

// text and endless are what boards babble: lines, and one that never ends.
var (
	text    = bytes.Repeat([]byte("panic: assertion failed, restarting\r\n"), 100)
	endless = bytes.Repeat([]byte("="), 4000)
)

func prompt(l *line, _ bool, packet []byte) {
	l.struck.Add(1)
	l.toStation(append([]byte("\nuart:~$ "), bytes.TrimPrefix(packet, []byte("\n"))...))
	l.toStation([]byte("uart:~$ "))
}

func double(l *line, _ bool, packet []byte) {
	l.struck.Add(1)
	l.toStation(packet)
	l.toStation(packet)
}

// pieces hands everything over in pieces of seven bytes.
func pieces(l *line, raw []byte) {
	l.struck.Add(1)
	for p := range slices.Chunk(raw, 7) {
		l.toStation(p)
	}
}

func lost(l *line, unlucky bool, packet []byte) {
	if !unlucky {
		l.toStation(packet)
	}
}

// late keeps the unlucky answer back until the next is due.
func late(l *line, unlucky bool, packet []byte) {
	if unlucky {
		l.held = packet
		return
	}
	l.toStation(l.held)
	l.held = nil
	l.toStation(packet)
}

// noise puts broken frames around every answer, and changes one byte of the
// unlucky ones.
func noise(l *line, unlucky bool, packet []byte) {
	l.toStation([]byte("\x04\x14AAAA\n\x06\x09!?!?\n\x00\xff\xfe\x06\x09AHgIAAAB\n\x06\x09AAsIA"))
	if unlucky {
		packet[len(packet)/2] ^= 1
	}
	l.toStation(packet)
	l.toStation([]byte("\x80\x81 \x06\x09"))
}

// unplug pulls the cable in the middle of the unlucky answer; it comes back.
func unplug(power bool) func(*line, bool, []byte) {
	return func(l *line, unlucky bool, packet []byte) {
		if !unlucky {
			l.toStation(packet)
			return
		}
		l.toStation(packet[:len(packet)/2])
		l.unplug()
		l.work.Go(func() { l.comeBack(power) })
	}
}

func away(l *line, unlucky bool, packet []byte) {
	if unlucky {
		l.unplug()
	}
	l.toStation(packet)
}

// hush has the line swallow everything from the unlucky answer on.
func hush(l *line, unlucky bool, packet []byte) {
	if unlucky {
		l.silent.Store(true)
	}
	l.toStation(packet)
}

// flood has the line send nothing but this, as fast as it is read.
func flood(what []byte) func(*line) {
	return func(l *line) {
		l.silent.Store(true)
		master := l.master // l.mu is held
		l.work.Go(func() {
			for {
				n, err := master.Write(what)
				l.moved.Add(int64(n))
				if err != nil {
					return
				}
			}
		})
	}
}

// floodFrom floods the line from the unlucky answer on.
func floodFrom(what []byte) func(*line, bool, []byte) {
	return func(l *line, unlucky bool, packet []byte) {
		if unlucky {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.master != nil {
				flood(what)(l)
			}
			return
		}
		l.toStation(packet)
	}
}

// A bench is a station over posix agents: some behind faulty lines, and
// among them some behind sound ones.
type bench struct {
	*world
	lines []*line // the faulty ones
	sound []*line
}

// soundEvery is how many faulty lines share a sound one: the kernel may allow
// a user no more than 128 agents (each has an inotify instance).
const soundEvery = 4

func newBench(t *testing.T, faults []lineFault, change ...func(*world)) *bench {
	t.Helper()
	dir := t.TempDir()
	b := &bench{}
	byName := map[string]*line{}
	var ports []string
	add := func(uid string, f lineFault) *line {
		l := newLine(t, dir, uid, f)
		byName[l.name], ports = l, append(ports, l.name)
		return l
	}
	for i, f := range faults {
		if i%soundEvery == 0 {
			b.sound = append(b.sound, add(fmt.Sprintf("600dbeef%04x", i), lineFault{}))
		}
		b.lines = append(b.lines, add(fmt.Sprintf("0badf00d%04x", i), f))
	}
	b.world = newWorld(t, nil, append(change, func(w *world) {
		w.product.Model, w.ports = "posix", ports
		w.dial = func(ctx context.Context, name string) (smp.Stream, error) {
			p, err := port.Open(ctx, name, port.Options{Baud: w.product.Baud})
			if err != nil {
				select {
				case byName[name].looked <- struct{}{}:
				default:
				}
				return nil, err
			}
			return p, nil
		}
	})...)
	t.Cleanup(b.close)
	return b
}

// provision runs every board and returns how each ended, by port; meanwhile is
// called again and again.
func (b *bench) provision(t *testing.T, meanwhile func()) map[string]provision.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b.station.Provision()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for b.station.Busy() > 0 {
		select {
		case <-tick.C:
			meanwhile()
		case <-ctx.Done():
			t.Fatalf("%d boards are still busy", b.station.Busy())
		}
	}
	byPort := map[string]provision.Result{}
	for _, r := range b.finish() {
		byPort[r.Port] = r
	}
	return byPort
}

// TestFaultMatrixOnPTYs provisions boards behind misbehaving lines, all at the
// same time: each ends as the matrix says, the sound ones among them pass.
func TestFaultMatrixOnPTYs(t *testing.T) {
	t.Parallel()
	rows := ptyMatrix()
	b := newBench(t, rows)
	ends := b.provision(t, func() {})
	for _, l := range b.lines {
		t.Run(l.fault.name, func(t *testing.T) {
			t.Parallel()
			b.check(t, l, ends[l.name])
		})
	}
	b.checkSound(t, ends)
	report, err := audit.Verify(t.Context(), b.reader, audit.Anchors{})
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() || report.Open > 0 {
		t.Errorf("the ledger: %s %v", report.Verdict(), report.Findings)
	}
}

func (b *bench) checkSound(t *testing.T, ends map[string]provision.Result) {
	t.Helper()
	for _, l := range b.sound {
		if r := ends[l.name]; r.Outcome != record.Passed {
			t.Errorf("the sound board in slot %d ended with %v", r.Slot, r.Fault)
		}
	}
}

func (b *bench) check(t *testing.T, l *line, bad provision.Result) {
	t.Helper()
	if got := code(bad.Fault); got != l.fault.want {
		t.Fatalf("ended with %q (%v), want %q", got, bad.Fault, l.fault.want)
	}
	if bad.Retries < l.fault.repeats {
		t.Errorf("%d retries were counted, it cannot go with less than %d", bad.Retries, l.fault.repeats)
	}
	if n := l.struck.Load() + l.moved.Load(); n < int64(max(len(l.fault.on), 1)) {
		t.Errorf("the fault befell the line %d times only", n)
	}
	b.checkRecord(t, bad)
	counted := 0
	for _, e := range b.entries(bad.UID, record.KindEnd) {
		for _, step := range e.Steps {
			counted += step.Retries
		}
	}
	if bad.UID != "" && counted != bad.Retries {
		t.Errorf("the ledger counts %d retries, shown were %d", counted, bad.Retries)
	}
	if l.fault.want != "" {
		return
	}
	// What the board holds is the certificate on record.
	l.disconnect()
	_, chain := boardState(t, l.agent.link())
	cert, err := b.reader.Blob(t.Context(), bad.CertSHA256)
	if err != nil || !bytes.HasPrefix(chain, cert) {
		t.Errorf("the board holds another certificate than the ledger, %v", err)
	}
}

// TestFloodIsBounded: however much a line sends, the station keeps little of
// it. It must not run beside tests that use memory.
func TestFloodIsBounded(t *testing.T) {
	const allowed = 4 << 20
	// A packet that never gets its last line, then continuations of nothing: no
	// text, so it is no babble and goes on until the command has had its tries.
	packet := bytes.SplitAfter(smp.AppendPacket(nil, make([]byte, 8000), true), []byte("\n"))
	unfinished := bytes.Join(packet[:len(packet)-2], nil)
	frames := append(unfinished, bytes.Repeat(packet[1], 500)...)
	rows := []lineFault{
		{name: "text", plugged: flood(text), want: "F-CONNECT-92"},
		{name: "no line ends", plugged: flood(endless), want: "F-CONNECT-92"},
		{name: "frames", on: []command{get}, wire: floodFrom(frames), want: "F-REQUEST-90"},
	}
	b := newBench(t, rows, func(w *world) { w.product.Baud = 2000000 }) // an answer's line time adds to its timeout
	before, most := heapInUse(), uint64(0)
	measure := func() { most = max(most, heapInUse()) }
	ends := b.provision(t, measure)
	for _, l := range b.lines {
		b.check(t, l, ends[l.name])
	}
	b.checkSound(t, ends)
	// A slow machine needs more than one attempt to see enough.
	for l := b.lines[2]; l.moved.Load() < 2*allowed; {
		if err := b.station.Retry(ends[l.name].Slot); err != nil {
			t.Fatal(err)
		}
		b.provision(t, measure)
	}
	if after := heapInUse(); after > before+allowed || most > before+allowed {
		t.Errorf("heap in use: %d KiB before, up to %d KiB, %d KiB after", before>>10, most>>10, after>>10)
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}
