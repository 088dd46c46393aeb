// SPDX-License-Identifier: Apache-2.0

package firmware_test

import (
	"bufio"
	"context"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
)

// A debugger stops an emulated board, at once and at each store to a range of
// its memory (GDB Remote Serial Protocol, the gdbstub of QEMU).
type debugger struct {
	conn net.Conn
	in   *bufio.Reader
	area string // kind, address, size of the watchpoint
}

// attach stops the board.
func (e *emulated) attach(ctx context.Context, t *testing.T) *debugger {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", e.gdb())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // twice, or of a process that was killed
	if limit, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(limit); err != nil {
			t.Fatal(err)
		}
	}
	return &debugger{conn: conn, in: bufio.NewReader(conn)}
}

// detach lets the board run.
func (d *debugger) detach(t *testing.T) {
	t.Helper()
	if answer, err := d.ask("D"); err != nil || answer != "OK" {
		t.Fatalf("detach: %q, %v", answer, err)
	}
	_ = d.conn.Close()
}

// pc returns the address of the next instruction.
func (d *debugger) pc(t *testing.T) uint32 {
	t.Helper()
	const at = 15 * 8 // r0 to r14 before it, in hex
	answer, err := d.ask("g")
	if err != nil || len(answer) < at+8 {
		t.Fatalf("registers: %q, %v", answer, err)
	}
	raw, err := hex.DecodeString(answer[at : at+8])
	if err != nil {
		t.Fatal(err)
	}
	return binary.LittleEndian.Uint32(raw)
}

// set changes a register of the board: 13 is sp, 15 is pc.
func (d *debugger) set(t *testing.T, register int, value uint32) {
	t.Helper()
	// QEMU takes single registers only from who has asked how they are numbered.
	if _, err := d.ask("qXfer:features:read:target.xml:0,fff"); err != nil {
		t.Fatal(err)
	}
	raw := binary.LittleEndian.AppendUint32(nil, value)
	if answer, err := d.ask(fmt.Sprintf("P%x=%x", register, raw)); err != nil || answer != "OK" {
		t.Fatalf("register %d: %q, %v", register, answer, err)
	}
}

// ram reads the first bytes of a variable of the board.
func (d *debugger) ram(t *testing.T, program *elf.File, variable string, n int) []byte {
	t.Helper()
	symbols, err := program.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(symbols, func(s elf.Symbol) bool { return s.Name == variable })
	if at < 0 {
		t.Fatalf("the program has no variable %s", variable)
	}
	answer, err := d.ask(fmt.Sprintf("m%x,%x", symbols[at].Value, n))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(answer)
	if err != nil || len(raw) != n {
		t.Fatalf("memory: %q, %v", answer, err)
	}
	return raw
}

// watch makes next stop at stores to a range of the memory file.
func (d *debugger) watch(t *testing.T, from, size int) {
	t.Helper()
	d.area = fmt.Sprintf("2,%x,%x", psram+from, size)
	if err := d.watchpoint("Z"); err != nil {
		t.Fatal(err)
	}
}

// watchpoint sets it, by Z, or takes it off, by z.
func (d *debugger) watchpoint(how string) error {
	answer, err := d.ask(how + d.area)
	if err == nil && answer != "OK" {
		err = fmt.Errorf("watchpoint: %q", answer)
	}
	return err
}

// next runs the board until it has stored to the range. It stops in front of the
// store, and would do so again: that instruction is done without the watchpoint.
func (d *debugger) next() error {
	answer, err := d.ask("c")
	if err == nil && !strings.Contains(answer, "watch:") {
		err = fmt.Errorf("the board stopped for another reason: %q", answer)
	}
	if err == nil {
		err = d.watchpoint("z")
	}
	if err == nil {
		_, err = d.ask("s")
	}
	if err == nil {
		err = d.watchpoint("Z")
	}
	return err
}

func (d *debugger) ask(command string) (string, error) {
	sum := byte(0)
	for _, b := range []byte(command) {
		sum += b
	}
	if _, err := fmt.Fprintf(d.conn, "$%s#%02x", command, sum); err != nil {
		return "", err
	}
	for {
		// That a debugger came stops the board, which is told too (T02).
		if answer, err := d.packet(); err != nil || !strings.HasPrefix(answer, "T02") {
			return answer, err
		}
	}
}

func (d *debugger) packet() (string, error) {
	if _, err := d.in.ReadString('$'); err != nil { // acknowledgements come before
		return "", err
	}
	answer, err := d.in.ReadString('#')
	if err == nil {
		_, err = d.in.Discard(2) // of the sum: a socket does not lose bytes
	}
	if err == nil {
		_, err = d.conn.Write([]byte("+"))
	}
	return strings.TrimSuffix(answer, "#"), err
}
