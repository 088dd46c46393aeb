// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// The numbers of TPM 2.0 Library, Part 2, sections 6.5.2 and 6.6.3, that the
// proxy knows.
const (
	ccSign    = 0x0000015D
	rcYielded = 0x908
	rcRetry   = 0x922
	caHandle  = 0x8100A000 // of a new station's CA key
)

// harm is what the proxy does with one command.
type harm struct {
	rc     uint32          // not 0: the answer; the TPM sees nothing
	before <-chan struct{} // the TPM sees the command when it is closed
	after  <-chan struct{} // the answer, which the TPM has given, waits for it
	lose   bool            // the answer is dropped with the connection
}

// busProxy stands between a station and its TPM. It takes one client at a time,
// as a TPM does.
type busProxy struct {
	upstream string
	judge    func(n int, code, handle uint32) harm // n counts the commands from 1
	over     chan struct{}                         // closed with the test: nothing is held any more

	mu   sync.Mutex // guards what follows
	n    int
	seen map[string]int // by what was done
}

// behindProxy puts a proxy into the plant's way to the TPM.
func (p *plant) behindProxy(judge func(n int, code, handle uint32) harm) *busProxy {
	p.t.Helper()
	l, err := net.Listen("unix", p.path("bus"))
	if err != nil {
		p.t.Fatal(err)
	}
	b := &busProxy{upstream: p.path("sock"), judge: judge, over: make(chan struct{}), seen: map[string]int{}}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			b.serve(client)
		}
	})
	p.t.Cleanup(func() { close(b.over); l.Close(); served.Wait() })
	p.config("unix:"+p.path("sock"), "unix:"+p.path("bus"))
	return b
}

func (b *busProxy) count(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen[what]++
}

func (b *busProxy) counted(what string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen[what]
}

func (b *busProxy) serve(client net.Conn) {
	defer client.Close()
	tpm, err := net.Dial("unix", b.upstream)
	if err != nil {
		return // the TPM is away: so is the client's connection
	}
	defer tpm.Close()
	for {
		command, err := tpmFrame(client)
		if err != nil {
			return
		}
		answer, ok := b.pass(command, tpm)
		if !ok {
			return
		}
		if _, err := client.Write(answer); err != nil {
			return
		}
	}
}

// pass does with a command what is to be done; without ok the connection ends.
func (b *busProxy) pass(command []byte, tpm net.Conn) (answer []byte, ok bool) {
	code, handle := binary.BigEndian.Uint32(command[6:]), uint32(0)
	if len(command) >= 14 {
		handle = binary.BigEndian.Uint32(command[10:])
	}
	b.mu.Lock()
	b.n++
	n := b.n
	b.mu.Unlock()
	h := b.judge(n, code, handle)
	if h.rc != 0 {
		b.count(fmt.Sprintf("%#x", h.rc))
		return binary.BigEndian.AppendUint32([]byte{0x80, 0x01, 0, 0, 0, 10}, h.rc), true
	}
	b.hold(h.before)
	if _, err := tpm.Write(command); err != nil {
		return nil, false
	}
	answer, err := tpmFrame(tpm)
	if err != nil {
		return nil, false
	}
	b.hold(h.after)
	if h.lose {
		b.count("lost")
		return nil, false
	}
	return answer, true
}

// hold waits for what a command or an answer waits for, nil: nothing.
func (b *busProxy) hold(until <-chan struct{}) {
	if until == nil {
		return
	}
	b.count("held")
	select {
	case <-until:
	case <-b.over:
	}
}

// holdSignature lets the n-th signature of the CA key, from 1, wait for release
// before the TPM sees it. The first is the station's own, to try the PIN.
func (p *plant) holdSignature(n int, release <-chan struct{}) *busProxy {
	p.t.Helper()
	signatures := 0 // the proxy's one goroutine counts
	return p.behindProxy(func(_ int, code, handle uint32) harm {
		if code != ccSign || handle != caHandle {
			return harm{}
		}
		if signatures++; signatures != n {
			return harm{}
		}
		return harm{before: release}
	})
}

// tpmFrame reads a command or an answer: ten bytes of header, of which four are
// the length (Part 1, section 18).
func tpmFrame(r io.Reader) ([]byte, error) {
	frame := make([]byte, 10)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(frame[2:])
	if n < 10 || n > 1<<16 {
		return nil, fmt.Errorf("a frame of %d bytes", n)
	}
	frame = append(frame, make([]byte, n-10)...)
	_, err := io.ReadFull(r, frame[10:])
	return frame, err
}

// TestFleetBehindFaults provisions 32 agents over a bus on which commands are
// put off, answers are lost, and one comes so late that all 32 boards wait for
// it; then swtpm dies with kill -9. All pass in one run.
func TestFleetBehindFaults(t *testing.T) {
	const boards = 32
	p := newPlant(t, posixProduct)
	ports := p.agents(boards, "--root", p.rootDER())
	release := make(chan struct{})
	signatures := 0 // with the CA key; the proxy's one goroutine counts
	b := p.behindProxy(func(n int, code, handle uint32) harm {
		switch {
		case n%7 == 3:
			return harm{rc: rcRetry}
		case n%11 == 5:
			return harm{rc: rcYielded}
		case code != ccSign:
			return harm{}
		case handle != caHandle:
			return harm{lose: n%13 == 1}
		}
		signatures++
		switch {
		case signatures == 2: // the first is the station's own, to try the PIN
			return harm{after: release}
		case signatures%9 == 0:
			return harm{lose: true}
		}
		return harm{}
	})
	c := p.station(p.batchArgs(ports)...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	p.until("an answer is held back", func() bool { return b.counted("held") == 1 })
	p.until("32 boards wait for the TPM", func() bool { return p.count(record.KindIssuing)-p.count(record.KindIssued) == boards })
	p.stopTPM()
	p.startTPM()
	close(release)
	if code := exitCode(t, c.Wait()); code != exitPassed {
		t.Fatalf("batch: exit %d\n%s%s", code, &out, &errs)
	}
	if units, sum := events(t, out.String()); len(units) != boards || sum.Passed != boards {
		t.Errorf("%d units told, summary %+v", len(units), sum)
	}
	for what, least := range map[string]int{"0x922": 5, "0x908": 5, "lost": 3, "held": 1} {
		if n := b.counted(what); n < least {
			t.Errorf("only %d times %s: the test shows nothing", n, what)
		}
	}
	p.content()
	p.readBack(ports)
	p.serials(ports)
}

// TestTPMDiesMidSignature loses exactly one signature of the CA key, in each
// way: the board gets the very certificate whose serial number was recorded
// before, and no other number was spent.
func TestTPMDiesMidSignature(t *testing.T) {
	for name, at := range map[string]struct {
		before, lose, kill bool
	}{
		"the answer is lost":                   {lose: true},
		"swtpm dies before it signs":           {before: true, kill: true},
		"swtpm dies when it has signed":        {kill: true, lose: true},
		"swtpm stays, the answer comes late":   {},
		"swtpm stays, the command comes later": {before: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlant(t, posixProduct)
			ports := p.agents(2)
			release := make(chan struct{})
			signatures := 0
			b := p.behindProxy(func(_ int, code, handle uint32) harm {
				if code != ccSign || handle != caHandle {
					return harm{}
				}
				if signatures++; signatures != 2 {
					return harm{}
				}
				if at.before {
					return harm{before: release}
				}
				return harm{after: release, lose: at.lose}
			})
			c := p.station(p.batchArgs(ports)...)
			var out bytes.Buffer
			c.Stdout, c.Stderr = &out, &out
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			p.until("a signature is under way", func() bool { return b.counted("held") == 1 })
			p.until("both boards wait for it", func() bool { return p.count(record.KindIssuing) == 2 })
			if n := p.count(record.KindIssued); n != 0 {
				t.Errorf("%d certificates although the signature is under way", n)
			}
			if at.kill {
				p.stopTPM()
				p.startTPM()
			}
			close(release)
			if code := exitCode(t, c.Wait()); code != exitPassed {
				t.Fatalf("batch: exit %d\n%s", code, &out)
			}
			p.sqlite(`select count(*) || ' ' || count(distinct json_extract(body, '$.cert_serial')) from entry where kind = 'issuing'`, "2 2")
			p.content()
			p.serials(ports)
		})
	}
}

// serials compares what the boards hold with the ledger: each serial number is
// on one board and in one issued entry, and in the issuing entry before it.
func (p *plant) serials(ports []string) {
	p.t.Helper()
	r, err := reader.Open(p.t.Context(), p.path("home/ledger/ledger.db"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Close()
	issued, err := r.EntriesOf(p.t.Context(), reader.Query{Kinds: []string{record.KindIssued}})
	if err != nil {
		p.t.Fatal(err)
	}
	recorded := map[string]string{}
	for _, e := range issued {
		if recorded[e.Body.CertSerial] != "" {
			p.t.Errorf("serial number %s was issued twice", e.Body.CertSerial)
		}
		recorded[e.Body.CertSerial] = e.Body.Cert
		before, err := r.EntriesOf(p.t.Context(), reader.Query{CertSerial: e.Body.CertSerial, Kinds: []string{record.KindIssuing}})
		if err != nil || len(before) != 1 || before[0].Body.TBS != e.Body.TBS {
			p.t.Errorf("serial number %s has %d issuing entries, %v", e.Body.CertSerial, len(before), err)
		}
	}
	for _, port := range ports {
		block, _ := pem.Decode(p.chainOf(port))
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			p.t.Fatal(err)
		}
		serial, d := hex.EncodeToString(leaf.SerialNumber.Bytes()), sha256.Sum256(leaf.Raw)
		if recorded[serial] != hex.EncodeToString(d[:]) {
			p.t.Errorf("%s holds serial number %s, which the ledger has as %q", port, serial, recorded[serial])
		}
		delete(recorded, serial)
	}
	if len(recorded) > 0 {
		p.t.Errorf("on no board: %v", recorded)
	}
}
