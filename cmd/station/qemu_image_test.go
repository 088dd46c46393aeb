// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/port"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/virtual"
)

const mps2Images = mps2Product + "image = \"../images/fw.bin\"\nimage_manifest = \"../images/fw.toml\"\nrelease_key = \"release.pem\"\n"

// The memory file of a Cortex-M3 behind the agent's copies, as
// firmware/port/mps2/nvm.c and slots.h lay it out.
const (
	bootPages  = 20480
	bootPage   = 4096
	imageFiles = 65536
	imageFile  = 256 << 10
	confirmed  = 1 // the only flag of a slot 0 that is settled
)

// TestCortexMProduct is one product from end to end, by one command: an image
// over SMP, which the emulated Cortex-M3 then runs; key and certificate; a
// rehearsal with a real broker; lock, restart, receipt.
func TestCortexMProduct(t *testing.T) {
	t.Parallel()
	p := newPlant(t, mps2Product)
	p.makeBroker()
	broker := p.startMosquitto("broker", p.path("root/root.pem"))
	img := p.mps2Image(p.mps2Program())
	p.write("home/products/gw.toml", mps2Images+"lock = true\nrehearse = \"mqtt://127.0.0.1:"+strconv.Itoa(broker.port)+"\"\nrehearse_root = \"broker-root.pem\"\n")
	port := p.cortexM("board")
	if fw := p.boardInfo(port).FW; fw != "1.0.0" {
		t.Errorf("the new board runs %s", fw)
	}

	units, sum := events(t, p.must(p.batchArgs([]string{port})...))
	if len(units) != 1 || sum.Passed != 1 || units[0].Outcome != record.Passed {
		t.Fatalf("%+v, %+v", units, sum)
	}
	ends := p.ends()
	if len(ends) != 1 {
		t.Fatalf("%d runs ended", len(ends))
	}
	wantFirmware(t, ends[0], img)
	if r := ends[0].Receipt; ends[0].Rehearsal == "" || r == nil || r.State != int(enroll.Locked) {
		t.Errorf("rehearsal %q, receipt %+v", ends[0].Rehearsal, r)
	}
	cn := regexp.QuoteMeta(p.onlyCertificate(units[0].CertSHA256))
	for _, want := range []string{
		`New client connected from 127\.0\.0\.1:\d+ as ` + cn + ` \(p2, c1, k30, u'` + cn + `'\)`,
		`Sending CONNACK to ` + cn + ` \(0, 0\)`,
	} {
		line := regexp.MustCompile(want)
		p.until("mosquitto says "+want, func() bool { return line.MatchString(broker.said()) })
	}
	p.content()
	p.readBack([]string{port}) // locked; the chain by openssl

	// The board runs the image, and locked it shows its slots to nobody: what
	// they hold is read from its memory.
	if info := p.boardInfo(port); info.FW != "2.4.7" || info.State != enroll.Locked {
		t.Errorf("the board runs %s, %s", info.FW, info.State)
	}
	if first, flags := p.bootRecord("board"); first != 1 || flags != confirmed {
		t.Errorf("slot 0 is file %d, flags %#x; want file 1, confirmed", first, flags)
	}
	if stored := p.memory("board", imageFiles+imageFile, imageFile)[:len(img)]; !bytes.Equal(stored, img) {
		t.Error("slot 0 is not the image byte for byte")
	}
	// Again: nothing is left to do, and nothing is written.
	before := p.memory("board", 0, imageFiles+2*imageFile)
	p.must(p.batchArgs([]string{port})...)
	if !bytes.Equal(before, p.memory("board", 0, imageFiles+2*imageFile)) {
		t.Error("a second run changed the board's memory")
	}
}

// TestCortexMRefused: an image for another board, or one too large for the
// slot, is refused with not a byte written. One that this board cannot run, or
// that fails when it starts, leaves it with what it ran before, without a
// certificate.
func TestCortexMRefused(t *testing.T) {
	t.Parallel()
	p := newPlant(t, mps2Images)
	good := p.mps2Image(p.mps2Program())
	port := p.cortexM("board")
	p.boardInfo(port)
	fresh := p.memory("board", 0, imageFiles+2*imageFile)
	refused := func(what, fault string) {
		t.Helper()
		code, out, errs := p.do(p.batchArgs([]string{port})...)
		units, _ := events(t, out)
		if code != exitUnits || len(units) != 1 || units[0].Fault != fault {
			t.Fatalf("%s: exit %d, want %s\n%s%s", what, code, fault, out, errs)
		}
	}
	unwritten := func(what string) {
		t.Helper()
		if !bytes.Equal(fresh, p.memory("board", 0, imageFiles+2*imageFile)) {
			t.Errorf("%s: the board's memory was changed", what)
		}
	}

	p.writeManifest(good, "another-revision")
	refused("an image for another board", "F-FLASH-03")
	unwritten("an image for another board")
	p.mps2Image(make([]byte, imageFile)) // with its header it is larger
	refused("an image over the slot", "F-FLASH-04")
	unwritten("an image over the slot")

	p.mps2Image(bytes.Repeat([]byte("no program of a Cortex-M3\n"), 100))
	refused("an image that is no program", "F-FLASH-08")
	p.mps2Image(restarter())
	refused("a program that restarts at once", "F-FLASH-08")
	if info := p.boardInfo(port); info.FW != "1.0.0" || info.State != enroll.Blank || p.count(record.KindIssuing) != 0 {
		t.Errorf("after the trials the board runs %s and is %s", info.FW, info.State)
	}
	if first, flags := p.bootRecord("board"); first != 0 || flags != confirmed {
		t.Errorf("slot 0 is file %d, flags %#x", first, flags)
	}

	// The same board takes the right one.
	p.mps2Image(p.mps2Program())
	p.must(p.batchArgs([]string{port})...)
	ends := p.ends()
	wantFirmware(t, ends[len(ends)-1], good)
	p.content()
}

// mps2Program is the agent's program, linked for where images run.
func (p *plant) mps2Program() []byte {
	p.t.Helper()
	program, err := os.ReadFile("../../firmware/build/agent-mps2.bin")
	if err != nil {
		p.t.Fatalf("%v: run make firmware", err)
	}
	return program
}

// restarter is a program for the board (Armv7-M, Thumb) that asks for a reset
// as soon as it starts, as one does that finds itself broken.
func restarter() []byte {
	const code = 0x20000 // where images run
	var b []byte
	for _, word := range []uint32{0x20002000, code + 8 + 1} { // stack, entry
		b = binary.LittleEndian.AppendUint32(b, word)
	}
	for _, op := range []uint16{0x4801, 0x4902, 0x6001, 0xe7fe} { // ldr r0, =AIRCR; ldr r1, =key; str r1, [r0]; b .
		b = binary.LittleEndian.AppendUint16(b, op)
	}
	for _, word := range []uint32{0xe000ed0c, 0x05fa0004} {
		b = binary.LittleEndian.AppendUint32(b, word)
	}
	return b
}

// mps2Image writes an image of version 2.4.7 around a program, its manifest and
// the release's signature into the home.
func (p *plant) mps2Image(program []byte) []byte {
	p.t.Helper()
	img := virtual.MakeImage(virtual.ImageVersion{Major: 2, Minor: 4, Revision: 7}, program)
	if err := os.MkdirAll(p.path("home/images"), 0o700); err != nil {
		p.t.Fatal(err)
	}
	if !exists(p.path("release.key")) {
		p.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", p.path("release.key"))
		p.openssl("ec", "-in", p.path("release.key"), "-pubout", "-out", p.path("home/products/release.pem"))
	}
	p.write("home/images/fw.bin", string(img))
	p.writeManifest(img, "qemu-mps2-an385")
	return img
}

func (p *plant) writeManifest(img []byte, hardware string) {
	p.t.Helper()
	p.write("home/images/fw.toml", fmt.Sprintf("sha256 = \"%x\"\nversion = \"2.4.7\"\nmodel = \"mps2\"\nhardware = [%q]\n", sha256.Sum256(img), hardware))
	p.signManifest()
}

// memory reads a board's memory file.
func (p *plant) memory(name string, at, n int) []byte {
	p.t.Helper()
	f, err := os.Open(p.path(name))
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, n)
	if _, err := f.ReadAt(b, int64(at)); err != nil {
		p.t.Fatal(err)
	}
	return b
}

// bootRecord reads which file is slot 0, and the flags, as the boot loader
// would: from the newer of the pages that are valid.
func (p *plant) bootRecord(name string) (first, flags byte) {
	p.t.Helper()
	newest := -1
	for page := range 2 {
		b := p.memory(name, bootPages+page*bootPage, 64)
		if !strings.HasPrefix(string(b), "mps2 boot record, version 1\x00") {
			continue
		}
		if generation := int(binary.LittleEndian.Uint32(b[32:])); generation > newest {
			newest, first, flags = generation, b[36], b[37]
		}
	}
	if newest < 0 {
		p.t.Fatalf("%s has no boot record", name)
	}
	return first, flags
}

// boardInfo asks a board what it is.
func (p *plant) boardInfo(name string) enroll.Info {
	p.t.Helper()
	stream, err := port.Open(p.t.Context(), name, port.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	client := smp.NewClient(smp.ClientConfig{Stream: stream})
	defer client.Close()
	info, err := enroll.New(enroll.Config{Client: client}).WaitInfo(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return info
}
