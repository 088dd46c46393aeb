// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/smp"
)

const agentHow = `The agent for QEMU's mps2-an385, as ` + "`make -C firmware mps2`" + ` builds it: keys ES256
and ES384, chains of both, no RSA, image group, boot loader. Bytes of code count
constants and initial data. The core is the sum of its object files without the
image group, which is optional; all is the linked program, with port, boot loader
and C library. The core's RAM is its state, its configuration and two buffers of
600 bytes, as the linker placed them; staging is the caller's, 3 x the largest
object. Heap and stack are the most that was in use through an enrolment with
ES256 from a blank board to the proof after lock and restart: a counting
allocator, a painted stack. Instructions are counted by QEMU, -icount shift=0,
where each takes a nanosecond of the board's timer (25 MHz, so in steps of 40),
from the interrupt that ends a request to the next sleep: command, storage and
answer; the board tells of a million and more. On silicon there are wait states
besides.`

// Goals of P12, in bytes.
const (
	coreCodeGoal = 6 << 10
	coreRAMGoal  = 4 << 10
	allCodeGoal  = 36 << 10
)

// timerTick is how many instructions a tick of the board's timer is.
const timerTick = 40

// agentSizes are bytes of the agent for a Cortex-M3.
type agentSizes struct {
	core, images, backend int // code of object files: core, image group, our part of crypto
	all, static           int // code of the program, its data and bss without stack
	state, staging, heap  int // RAM: of the core, staging, reserved for the heap
}

// agentRun is what an enrolment on the emulated board needed.
type agentRun struct {
	heap, stack int
	work        map[string]int // instructions of a command
}

// agentCommands are the commands that are counted, in the order of a run.
var agentCommands = []string{"keygen", "csr", "commit", "prove"}

// agentFigures is P12: the agent on a Cortex-M3.
func agentFigures(ctx context.Context, p *plant) (*report, error) {
	build := filepath.Dir(p.agent)
	for _, measure := range []string{"MEASURE=", "MEASURE=1"} {
		if out, err := exec.CommandContext(ctx, "make", "-C", filepath.Dir(build), "mps2", measure).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the agent for a Cortex-M3: %w\n%s", err, out)
		}
	}
	s, err := sizesOf(build)
	if err != nil {
		return nil, err
	}
	run, err := runEmulated(ctx, p, filepath.Join(build, "agent-mps2-measure.elf"))
	if err != nil {
		return nil, err
	}
	r := &report{title: "P12, the agent on a Cortex-M3", how: agentHow, head: []string{"", "bytes"}}
	for _, row := range []struct {
		what  string
		bytes int
	}{
		{"code: core", s.core},
		{"code: image group", s.images},
		{"code: crypto, our part", s.backend},
		{"code: all, linked", s.all},
		{"RAM: the core's state, configuration, two buffers", s.state},
		{"RAM: staging", s.staging},
		{"RAM: data and bss without stack, of it heap " + thousands(s.heap), s.static},
		{"RAM: heap in use, most", run.heap},
		{"RAM: stack in use, most", run.stack},
		{"RAM: all in use, most", s.static - s.heap + run.heap + run.stack},
	} {
		r.rows = append(r.rows, []string{row.what, thousands(row.bytes)})
	}
	for _, name := range agentCommands {
		r.rows = append(r.rows, []string{"instructions: " + name, fmt.Sprintf("%.1f million", float64(run.work[name])/1e6)})
	}
	for _, f := range []struct {
		what        string
		bytes, goal int
	}{
		{"agent on a Cortex-M3: code of the core", s.core, coreCodeGoal},
		{"agent on a Cortex-M3: the core's RAM without staging", s.state, coreRAMGoal},
		{"agent on a Cortex-M3: code of all, with crypto", s.all, allCodeGoal},
	} {
		r.figures = append(r.figures, figure{"P12", f.what, thousands(f.bytes) + " B", thousands(f.goal) + " B", float64(f.bytes) / float64(f.goal), atMost(1)})
	}
	return r, nil
}

// thousands writes a number with its thousands apart.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}

// sizesOf reads sizes from what the build left.
func sizesOf(build string) (agentSizes, error) {
	var s agentSizes
	for dir, sum := range map[string]*int{"core": &s.core, "crypto": &s.backend} {
		objects, err := filepath.Glob(filepath.Join(build, "mps2", dir, "*.o"))
		if err != nil || len(objects) == 0 {
			return s, fmt.Errorf("no objects of %s in %s, %w", dir, build, err)
		}
		for _, name := range objects {
			n, err := codeOf(name)
			if err != nil {
				return s, err
			}
			if filepath.Base(name) == "image.o" {
				s.images = n
			} else {
				*sum += n
			}
		}
	}
	program := filepath.Join(build, "agent-mps2.elf")
	var err error
	if s.all, err = codeOf(program); err != nil {
		return s, err
	}
	return s, ramOf(program, &s)
}

// codeOf is what a file needs in flash: code, constants, initial data.
func codeOf(name string) (int, error) {
	f, err := elf.Open(name)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	total := 0
	for _, section := range f.Sections {
		if section.Flags&elf.SHF_ALLOC != 0 && section.Type != elf.SHT_NOBITS && !strings.HasPrefix(section.Name, ".ARM.") {
			total += int(section.Size)
		}
	}
	return total, nil
}

// ramOf reads what the linker placed in RAM.
func ramOf(name string, s *agentSizes) error {
	f, err := elf.Open(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	for _, section := range []string{".data", ".bss"} {
		found := f.Section(section)
		if found == nil {
			return fmt.Errorf("%s has no %s", name, section)
		}
		s.static += int(found.Size)
	}
	symbols, err := f.Symbols()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	found := 0
	for _, symbol := range symbols {
		if elf.ST_TYPE(symbol.Info) != elf.STT_OBJECT {
			continue
		}
		base, _, _ := strings.Cut(symbol.Name, ".") // a linker that optimises adds to names
		switch base {
		case "agent", "config", "rx", "tx":
			s.state += int(symbol.Size)
		case "staging":
			s.staging = int(symbol.Size)
		case "heap":
			s.heap = int(symbol.Size)
		default:
			continue
		}
		found++
	}
	if found != 6 {
		return fmt.Errorf("%s: %d of the 6 variables that make up its RAM", name, found)
	}
	return nil
}

// measured is what the program says of itself.
var measured = regexp.MustCompile(`^measured: (?:ticks (\d+)|heap (\d+) stack (\d+))`)

// emulated is a board in QEMU that measures itself.
type emulated struct {
	session *enroll.Session
	ticks   chan int
	run     agentRun      // of the reader until ended
	ended   chan struct{} // the reader has
}

// runEmulated takes a new board through an enrolment.
func runEmulated(ctx context.Context, p *plant, program string) (run agentRun, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*patient)
	defer cancel()
	c := exec.CommandContext(ctx, "qemu-system-arm", "-machine", "mps2-an385,memory-backend=nvm",
		"-object", "memory-backend-file,id=nvm,size=16M,share=on,mem-path="+p.path("nvm"), "-icount", "shift=0",
		"-nic", "none", "-display", "none", "-monitor", "none", "-serial", "unix:"+p.path("uart")+",server=on,wait=off", "-semihosting", "-kernel", program)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said, err := c.StderrPipe()
	if err != nil {
		return run, err
	}
	if err := c.Start(); err != nil {
		return run, err
	}
	b := &emulated{ticks: make(chan int, 64), ended: make(chan struct{}), run: agentRun{work: map[string]int{}}}
	go b.listen(said)
	defer func() {
		_ = c.Process.Kill()
		<-b.ended
		_ = c.Wait() // it says that the process was killed
		run = b.run
		err = errors.Join(err, os.Remove(p.path("nvm")))
	}()
	stream, err := dial(ctx, p.path("uart"))
	if err != nil {
		return run, err
	}
	client := smp.NewClient(smp.ClientConfig{Stream: stream})
	defer client.Close()
	b.session = enroll.New(enroll.Config{Client: client})
	return run, b.enrol(ctx)
}

// dial waits until somebody listens on a socket.
func dial(ctx context.Context, socket string) (net.Conn, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			return conn, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("the emulated board does not start: %w", err)
		}
	}
}

// listen reads what the program says of itself, to QEMU's end.
func (b *emulated) listen(said io.Reader) {
	defer close(b.ended)
	for lines := bufio.NewScanner(said); lines.Scan(); {
		m := measured.FindStringSubmatch(lines.Text())
		switch {
		case m == nil:
		case m[1] != "":
			n, _ := strconv.Atoi(m[1]) // digits
			b.ticks <- n
		default:
			heap, _ := strconv.Atoi(m[2])
			stack, _ := strconv.Atoi(m[3])
			b.run.heap, b.run.stack = max(b.run.heap, heap), max(b.run.stack, stack)
		}
	}
}

// counted carries out a command that is much work, and takes the work that the board tells after
// it for the command's.
func (b *emulated) counted(ctx context.Context, name string, command func() error) error {
	for len(b.ticks) > 0 {
		<-b.ticks
	}
	if err := command(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	select {
	case n := <-b.ticks:
		b.run.work[name] = n * timerTick
		return nil
	case <-b.ended:
		return fmt.Errorf("%s: QEMU ended", name)
	case <-ctx.Done():
		return fmt.Errorf("%s: the board does not tell its work: %w", name, ctx.Err())
	}
}

// enrol goes from a blank board to the proof after lock and restart.
func (b *emulated) enrol(ctx context.Context) error {
	s := b.session
	if _, err := s.WaitInfo(ctx); err != nil {
		return err
	}
	var token, nonce [32]byte
	rand.Read(token[:])
	rand.Read(nonce[:])
	if err := b.counted(ctx, "keygen", func() error {
		_, _, err := s.Keygen(ctx, "ES256", token, false)
		return err
	}); err != nil {
		return err
	}
	var request []byte
	if err := b.counted(ctx, "csr", func() (err error) {
		request, err = s.CSR(ctx, "pump controller 7", "SN-0042", nonce)
		return err
	}); err != nil {
		return err
	}
	chain, err := chainFor(request)
	if err != nil {
		return err
	}
	if err := s.Put(ctx, "chain", chain); err != nil {
		return err
	}
	digest := sha256.Sum256(chain)
	if err := b.counted(ctx, "commit", func() error { return s.Commit(ctx, digest, nil, nil) }); err != nil {
		return err
	}
	prove := func() error {
		_, err := s.Prove(ctx, nonce)
		return err
	}
	if err := b.counted(ctx, "prove", prove); err != nil {
		return err
	}
	if err := s.Lock(ctx, digest); err != nil {
		return err
	}
	if _, err := s.Reset(ctx); err != nil {
		return err
	}
	return b.counted(ctx, "prove", prove)
}

// chainFor is a certificate for a request, and the one of a throw-away issuer.
func chainFor(request []byte) ([]byte, error) {
	r, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	issuer := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Bench issuing"}, NotBefore: now, NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	issuerDER, err := x509.CreateCertificate(rand.Reader, issuer, issuer, key.Public(), key)
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: r.Subject, NotBefore: now, NotAfter: now.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, issuer, r.PublicKey, key)
	return append(leafDER, issuerDER...), err
}
