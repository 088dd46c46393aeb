// SPDX-License-Identifier: Apache-2.0

package firmware_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
	"testing"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/smp"
)

// A Cortex-M3 goes from blank to locked and back, through kill -9 and resets.
func TestCortexMEnrolment(t *testing.T) {
	p := newPlant(t)
	for _, alg := range []string{"ES256", "ES384"} {
		t.Run(alg, func(t *testing.T) {
			ctx := deadline(t)
			b := newEmulated(t, *mps2Path, nil)
			c := b.connect(t)
			if c.info.Model != "mps2" || c.info.State != enroll.Blank || c.info.Prot != 0 || c.info.Root != nil || len(c.info.UID) != 12 {
				t.Fatalf("info %+v", c.info)
			}
			u := install(ctx, t, c, p, alg)
			u.readBack(ctx, t, c)
			u.prove(ctx, t, &b.board, c, alg, enroll.Installed)
			u.rehearse(ctx, t, c, p, alg)

			c.close(t)
			b.powerCut(t)
			c = b.connect(t)
			if c.info.State != enroll.Installed || c.info.SPKI == nil || *c.info.SPKI != u.spki || *c.info.Chain != *digest(u.chain) {
				t.Fatalf("after kill -9: %+v", c.info)
			}
			u.readBack(ctx, t, c)
			u.prove(ctx, t, &b.board, c, alg, enroll.Installed)
			if err := c.Lock(ctx, *digest(u.chain)); err != nil {
				t.Fatal(err)
			}
			u.refusedWhenLocked(ctx, t, c, alg)
			info, err := c.Reset(ctx)
			if err != nil || info.State != enroll.Locked || info.Boot == c.info.Boot {
				t.Fatalf("reset: %+v, %v", info, err)
			}
			u.prove(ctx, t, &b.board, c, alg, enroll.Locked)
			u.unlock(ctx, t, &b.board, c, p)
		})
	}
}

// Two memory files are two boards; one that a person wrote keeps its uid.
func TestCortexMIdentity(t *testing.T) {
	one, two := newEmulated(t, *mps2Path, nil), newEmulated(t, *mps2Path, bytes.Repeat([]byte{0xff}, 64))
	if a, b := one.connect(t), two.connect(t); bytes.Equal(a.info.UID, b.info.UID) || a.info.Boot == b.info.Boot {
		t.Errorf("two boards say uid %x and %x, boot %x and %x", a.info.UID, b.info.UID, a.info.Boot, b.info.Boot)
	}
	uid := random(t, 32)
	header := binary.LittleEndian.AppendUint32([]byte(otpMagic), uint32(len(uid)))
	written := newEmulated(t, *mps2Path, append(header, uid...))
	if c := written.connect(t); !bytes.Equal(c.info.UID, uid) {
		t.Errorf("uid %x, want %x", c.info.UID, uid)
	}
}

// A cut while a board is given its uid leaves no board without one.
func TestCortexMIdentityCutShort(t *testing.T) {
	half := make([]byte, 64)
	copy(half[4:], otpMagic[4:])
	c := newEmulated(t, *mps2Path, half).connect(t)
	if len(c.info.UID) != 12 || bytes.Equal(c.info.UID, make([]byte, 12)) {
		t.Errorf("uid %x", c.info.UID)
	}
}

// A memory file of something else is not touched, and no agent answers.
func TestCortexMForeignMemory(t *testing.T) {
	foreign := []byte("something else is in this file")
	b := prepareEmulated(t, *mps2Path, foreign)
	said := newWatcher("another board")
	b.launch(t, said)
	said.wait(deadline(t), t)
	if got := b.memory(t, 0, len(foreign)); !bytes.Equal(got, foreign) {
		t.Errorf("the file was changed: %q", got)
	}
}

// A reset by software is one of the whole chip: what was only in RAM is gone.
func TestCortexMResetLosesRAM(t *testing.T) {
	ctx := deadline(t)
	p := newPlant(t)
	b := newEmulated(t, *mps2Path, nil)
	c := b.connect(t)
	u := keyAndChain(ctx, t, c, p, "ES256")
	program := openProgram(t)
	staged := func() []byte {
		d := b.attach(ctx, t)
		defer d.detach(t)
		return d.ram(t, program, "staging", len(u.chain))
	}
	if !bytes.Equal(staged(), u.chain) {
		t.Fatal("the chain is not in RAM")
	}
	info, err := c.Reset(ctx)
	if err != nil || info.Boot == c.info.Boot || info.SPKI == nil || *info.SPKI != u.spki {
		t.Fatalf("reset: %+v, %v", info, err)
	}
	if !bytes.Equal(staged(), make([]byte, len(u.chain))) {
		t.Error("RAM outlives the reset")
	}
	// Not by Commit, which puts again what a board has lost.
	commit := smp.Request{Write: true, Group: 64, Cmd: 5, Body: map[string][]byte{"chain": digest(u.chain)[:]}}
	wantRC(t, "commit of what was put before the reset", c.client.Do(ctx, commit, nil), enroll.RCWrongState)
	_, err = c.Get(ctx, "csr") // which keyAndChain asked for
	wantRC(t, "get of a CSR made before the reset", err, enroll.RCWrongState)
	if said := string(c.client.Console()); !strings.Contains(said, "*** enrollment agent on this console") {
		t.Errorf("the console shows no boot: %q", said)
	}
}

// A pinned root is one that was compiled in.
func TestCortexMPinnedRoot(t *testing.T) {
	ctx := deadline(t)
	ours, foreign := newPlant(t), newPlant(t)
	c := newEmulated(t, buildPinned(t, ours.pin(t)), nil).connect(t)
	if c.info.Root == nil || *c.info.Root != *digest(ours.root.Raw) {
		t.Fatalf("info names root %x", c.info.Root)
	}
	u := keyAndChain(ctx, t, c, foreign, "ES256")
	wantRC(t, "commit", c.Commit(ctx, *digest(u.chain), nil, nil), enroll.RCUntrusted)
	mine := ours.certify(t, u.pub)
	if err := c.Put(ctx, "chain", mine); err != nil {
		t.Fatal(err)
	}
	if err := c.Commit(ctx, *digest(mine), nil, nil); err != nil {
		t.Fatal(err)
	}
}

// Requests that come while the board computes wait in its ring; the largest
// packet that it says it takes is taken.
func TestCortexMLargestPacket(t *testing.T) {
	ctx := deadline(t)
	c := newEmulated(t, *mps2Path, nil).connect(t)
	if _, _, err := c.Keygen(ctx, "ES256", token(t), false); err != nil {
		t.Fatal(err)
	}
	object := random(t, c.info.Max)
	if err := c.Put(ctx, "anchors", object); err != nil {
		t.Errorf("put of %d bytes in chunks of %d: %v", len(object), c.info.Chunk, err)
	}
	var echo struct {
		R string `cbor:"r"`
	}
	text := strings.Repeat("x", 128)
	if err := c.client.Do(ctx, smp.Request{Write: true, Body: map[string]string{"d": text}}, &echo); err != nil || echo.R != text {
		t.Errorf("echo %q, %v", echo.R, err)
	}
}

// A board with nothing to do sleeps: it waits for an interrupt, in WFI.
func TestCortexMSleeps(t *testing.T) {
	ctx := deadline(t)
	b := newEmulated(t, *mps2Path, nil)
	b.connect(t)
	program := openProgram(t)
	sleeps := func() bool {
		d := b.attach(ctx, t)
		defer d.detach(t)
		instruction := make([]byte, 2)
		if _, err := program.Section(".text").ReadAt(instruction, int64(d.pc(t))-2); err != nil {
			t.Fatal(err)
		}
		return binary.LittleEndian.Uint16(instruction) == 0xbf30 // WFI (Armv7-M, A7.7.261)
	}
	for tries := 0; !sleeps(); tries++ { // the last byte of its answer may still be on its way
		if tries == 1000 {
			t.Fatal("the board never sleeps")
		}
	}
	for range 10 {
		if !sleeps() {
			t.Fatal("the board woke up, and nothing had come")
		}
	}
}

// A program that went wrong, by a jump to nowhere or too deep a stack, becomes a
// board that boots again and holds what it held.
func TestCortexMFault(t *testing.T) {
	const sp, pc = 13, 15
	for name, wrong := range map[string]struct {
		register int
		value    uint32
	}{"jump to nowhere": {pc, 0x60000000}, "stack at the end of RAM": {sp, 0x20000000}} {
		t.Run(name, func(t *testing.T) {
			ctx := deadline(t)
			b := newEmulated(t, *mps2Path, nil)
			c := b.connect(t)
			spki, _, err := c.Keygen(ctx, "ES256", token(t), false)
			if err != nil {
				t.Fatal(err)
			}
			d := b.attach(ctx, t)
			d.set(t, wrong.register, wrong.value)
			d.detach(t)
			info, err := c.WaitInfo(ctx)
			if err != nil || info.Boot == c.info.Boot || info.SPKI == nil || *info.SPKI != spki {
				t.Fatalf("after the fault: %+v, %v", info, err)
			}
		})
	}
}

func openProgram(t *testing.T) *elf.File {
	t.Helper()
	program, err := elf.Open(*mps2Path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return program
}
