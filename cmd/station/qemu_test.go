// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

const mps2Product = "name = \"pump-7\"\nmodel = \"mps2\"\n"

// TestCortexM provisions firmware on an emulated Cortex-M3, over the UART of its
// emulator: enrolled, locked, reset, its receipt kept, its chain verified.
func TestCortexM(t *testing.T) {
	t.Parallel()
	p := newPlant(t, mps2Product)
	ports := []string{p.cortexM("a"), p.cortexM("b")}
	units, sum := events(t, p.must(p.batchArgs(ports)...))
	if len(units) != len(ports) || sum.Passed != len(ports) {
		t.Errorf("%d units told, summary %+v", len(units), sum)
	}
	p.content()
	p.readBack(ports)
}

// TestBoardTestCortexM runs the conformance test over an emulated Cortex-M3.
func TestBoardTestCortexM(t *testing.T) {
	p := newBoards(t)
	out := p.expect(exitPassed, []string{" 0 wrong, 0 not checked", "ok           locked/groups", "the board is blank"},
		"board", "test", "--port", p.cortexM("board"), "--model", "mps2")
	if strings.Contains(out, "WRONG") {
		t.Errorf("people read:\n%s", out)
	}
}

// cortexM starts a board whose flash is a file of this name, and returns the
// port that its UART is on.
func (p *plant) cortexM(name string) string {
	p.t.Helper()
	elf, err := filepath.Abs("../../firmware/build/agent-mps2.elf")
	if err != nil {
		p.t.Fatal(err)
	}
	if !exists(elf) {
		p.t.Fatal("firmware/build/agent-mps2.elf is missing: run make firmware")
	}
	c := exec.Command("qemu-system-arm", "-machine", "mps2-an385,memory-backend=nvm",
		"-object", "memory-backend-file,id=nvm,size=16M,share=on,mem-path="+p.path(name),
		"-nic", "none", "-display", "none", "-monitor", "none", "-serial", "pty", "-semihosting", "-kernel", elf)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		p.t.Fatalf("%v; run scripts/install-deps.sh test", err)
	}
	p.t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if p.t.Failed() {
			p.t.Logf("QEMU of board %s: %s", name, &said)
		}
	})
	late := time.AfterFunc(deadline, func() { _ = c.Process.Kill() })
	defer late.Stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	port := regexp.MustCompile(`/dev/pts/\d+`).FindString(line)
	if port == "" {
		p.t.Fatalf("QEMU names no pseudo-terminal: %q, %v", line, err)
	}
	return port
}
