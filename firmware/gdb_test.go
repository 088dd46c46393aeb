// SPDX-License-Identifier: Apache-2.0

package firmware_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
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

// watch makes next stop at stores to a range of the memory file.
func (d *debugger) watch(t *testing.T, from, size int) {
	t.Helper()
	d.area = fmt.Sprintf("2,%x,%x", psram+from, size)
	if err := d.set("Z"); err != nil {
		t.Fatal(err)
	}
}

// set sets the watchpoint, by Z, or takes it off, by z.
func (d *debugger) set(how string) error {
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
		err = d.set("z")
	}
	if err == nil {
		_, err = d.ask("s")
	}
	if err == nil {
		err = d.set("Z")
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
