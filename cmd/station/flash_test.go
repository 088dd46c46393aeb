// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/virtual"
)

const flashProduct = posixProduct + "image = \"../images/fw.bin\"\nimage_manifest = \"../images/fw.toml\"\nrelease_key = \"release.pem\"\n"

// makeImage writes an image of size bytes around its payload, its manifest and
// the release's signature into the home.
func (p *plant) makeImage(size int) []byte {
	p.t.Helper()
	payload := bytes.Repeat([]byte("firmware of the posix agent\n"), size/28+1)[:size]
	img := virtual.MakeImage(virtual.ImageVersion{Major: 2, Minor: 4, Revision: 7}, payload)
	if err := os.MkdirAll(p.path("home/images"), 0o700); err != nil {
		p.t.Fatal(err)
	}
	p.write("home/images/fw.bin", string(img))
	p.write("home/images/fw.toml", fmt.Sprintf("sha256 = \"%x\"\nversion = \"2.4.7\"\nmodel = \"posix\"\nhardware = [\"posix\"]\n", sha256.Sum256(img)))
	if !exists(p.path("release.key")) {
		p.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", p.path("release.key"))
		p.openssl("ec", "-in", p.path("release.key"), "-pubout", "-out", p.path("home/products/release.pem"))
	}
	p.signManifest()
	return img
}

func (p *plant) signManifest() {
	p.openssl("dgst", "-sha256", "-sign", p.path("release.key"), "-out", p.path("home/images/fw.toml.sig"), p.path("home/images/fw.toml"))
}

// uploaded is how much of an image an agent has in either file of its slots.
func (p *plant) uploaded(board int) int64 {
	p.t.Helper()
	most := int64(0)
	for _, suffix := range []string{".image0", ".image1"} {
		info, err := os.Stat(p.path(fmt.Sprintf("state%d%s", board, suffix)))
		if err != nil {
			p.t.Fatal(err)
		}
		most = max(most, info.Size())
	}
	return most
}

// ends are the end entries in the ledger.
func (p *plant) ends() []record.Body {
	p.t.Helper()
	r, err := reader.Open(p.t.Context(), p.path("home/ledger/ledger.db"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Close()
	entries, err := r.EntriesOf(p.t.Context(), reader.Query{Kinds: []string{record.KindEnd}})
	if err != nil {
		p.t.Fatal(err)
	}
	var out []record.Body
	for _, e := range entries {
		out = append(out, e.Body)
	}
	return out
}

// wantFirmware checks an end entry's evidence of the image.
func wantFirmware(t *testing.T, b record.Body, img []byte) {
	t.Helper()
	file, boot := sha256.Sum256(img), img[len(img)-32:]
	if b.Outcome != record.Passed || b.Firmware != "fw.bin" || b.FirmwareVersion != "2.4.7" ||
		b.FirmwareDigest != fmt.Sprintf("%x", file) || b.FirmwareReported != fmt.Sprintf("%x", boot) {
		t.Errorf("ended %s, firmware %q %q, file %s, reported %s", b.Outcome, b.Firmware, b.FirmwareVersion, b.FirmwareDigest, b.FirmwareReported)
	}
}

// TestFlashThenEnrol: one command writes the firmware, confirms it and
// provisions the boards; again it finds nothing to write.
func TestFlashThenEnrol(t *testing.T) {
	p := newPlant(t, flashProduct)
	img := p.makeImage(60 << 10)
	if out := p.must("product", "check", p.path("home/products/gw.toml")); !strings.Contains(out, fmt.Sprintf("image fw.bin 2.4.7, %d bytes, manifest signed by release.pem", len(img))) {
		t.Errorf("product check: %s", out)
	}
	ports := p.agents(3, "--root", p.rootDER())
	for range 2 {
		p.must(p.batchArgs(ports)...)
	}
	ends := p.ends()
	if len(ends) != 6 {
		t.Fatalf("%d runs ended", len(ends))
	}
	for _, b := range ends {
		wantFirmware(t, b, img)
	}
	for board := range ports {
		if n := p.uploaded(board + 1); n != int64(len(img)) {
			t.Errorf("board %d stores %d bytes", board+1, n)
		}
	}
	p.content()
	p.readBack(ports)
}

// TestFlashKilled kills the station with -9 in the middle of an image. The next
// one goes on where the board stands.
func TestFlashKilled(t *testing.T) {
	p := newPlant(t, flashProduct)
	img := p.makeImage(1000 << 10)
	var ports []string
	half := p.inTheMiddle(img, func(n int) {
		before := p.count(record.KindIssuing)
		p.agent(n)
		ports = []string{p.path(fmt.Sprintf("port%d", n))}
		c := p.station(p.batchArgs(ports)...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		p.until("a part of the image is on the board", func() bool { return p.uploaded(n) > 20<<10 })
		_ = c.Process.Kill()
		_ = c.Wait()
		if begun := p.count(record.KindIssuing) - before; begun != 0 && p.uploaded(n) < int64(len(img)) {
			t.Errorf("%d certificates were begun before the firmware was there", begun)
		}
	})
	code, out, errs := p.do(append([]string{"--log-level", "info"}, p.batchArgs(ports)...)...)
	if code != exitPassed {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	var sent int
	_, rest, _ := strings.Cut(errs, " sent=")
	if _, err := fmt.Sscan(rest, &sent); err != nil || !strings.Contains(errs, "the board goes on with an upload") {
		t.Fatalf("the log does not tell that it went on, %v:\n%s", err, errs)
	}
	if most := int64(len(img)) - half + 4096; int64(sent) > most {
		t.Errorf("%d bytes were sent again, %d were there of %d", sent, half, len(img))
	}
	ends := p.ends()
	wantFirmware(t, ends[len(ends)-1], img)
	p.content()
	p.readBack(ports)
}

// TestFlashRefused: an image that is wrong, damaged, too large or not signed is
// refused before a byte is written to a board; where it is the product's fault,
// before a board is opened.
func TestFlashRefused(t *testing.T) {
	p := newPlant(t, flashProduct)
	img := p.makeImage(4 << 10)
	ports := p.agents(1)
	refused := func(what string, code int, says string) {
		t.Helper()
		got, out, errs := p.do(p.batchArgs(ports)...)
		if got != code || !strings.Contains(out+errs, says) {
			t.Errorf("%s: exit %d, want %d and %q\n%s%s", what, got, code, says, out, errs)
		}
		if n := p.uploaded(1); n != 0 {
			t.Errorf("%s: %d bytes were written", what, n)
		}
	}
	p.write("home/images/fw.bin", string(img[:len(img)-1]))
	refused("a truncated image", exitUsage, "gw.toml:3: image: ")
	p.write("home/images/fw.bin", string(bytes.Replace(img, []byte("posix"), []byte("other"), 1)))
	refused("a damaged image", exitUsage, "the image is damaged")
	p.write("home/images/fw.bin", string(virtual.MakeImage(virtual.ImageVersion{Major: 9}, []byte("another"))))
	refused("another image", exitUsage, "gw.toml:4: image_manifest: the manifest is for another image")
	p.write("home/images/fw.bin", string(img))
	manifest := fmt.Sprintf("sha256 = \"%x\"\nversion = \"2.4.7\"\nmodel = \"posix\"\n", sha256.Sum256(img))
	p.write("home/images/fw.toml", manifest+"hardware = [\"rev-z\"]\n")
	refused("a manifest that is not signed", exitUsage, "the manifest is not signed by the release key")
	if n := p.count(record.KindBegun); n != 0 {
		t.Errorf("%d units were begun", n)
	}
	p.signManifest()
	refused("an image for another revision", exitUnits, "F-FLASH-03")
	p.makeImage(1 << 20) // more than a slot with its header
	refused("an image over the slot", exitUnits, "F-FLASH-04")

	// The same board takes the right one.
	img = p.makeImage(4 << 10)
	p.must(p.batchArgs(ports)...)
	ends := p.ends()
	wantFirmware(t, ends[len(ends)-1], img)
	p.content()
}

// TestFlashPowerCut kills a board with -9 in the middle of an image: it still
// boots its old firmware, and takes the image after that.
func TestFlashPowerCut(t *testing.T) {
	p := newPlant(t, flashProduct)
	img := p.makeImage(1000 << 10)
	var ports []string
	var c *exec.Cmd
	var out bytes.Buffer
	cut := 0
	p.inTheMiddle(img, func(n int) {
		if c != nil {
			_ = c.Wait() // that of the board before: it does not matter any more
		}
		board := p.agent(n)
		ports = []string{p.path(fmt.Sprintf("port%d", n))}
		out.Reset()
		c = p.station(p.batchArgs(ports)...)
		c.Stdout = &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		p.until("a part of the image is on the board", func() bool { return p.uploaded(n) > 20<<10 })
		_ = board.Process.Kill()
		_ = board.Wait()
		cut = n
	})
	p.agent(cut)
	if code := exitCode(t, c.Wait()); code != exitPassed {
		// The board was away for longer than the station waits, or its answers were lost.
		t.Logf("the run that met the power cut: exit %d, %s", code, &out)
		p.must(p.batchArgs(ports)...)
	}
	ends := p.ends()
	wantFirmware(t, ends[len(ends)-1], img)
	p.content()
}

// inTheMiddle stops what writes an image to the n-th board while a part of it is
// there, and returns how much. A machine that is slow to look may find the whole
// image: then there is another board.
func (p *plant) inTheMiddle(img []byte, stop func(n int)) int64 {
	p.t.Helper()
	for n := 1; n <= 5; n++ {
		stop(n)
		if part := p.uploaded(n); part < int64(len(img)) {
			return part
		}
		p.t.Logf("stopped too late: all of the image is on board %d", n)
	}
	p.t.Fatal("stopped too late on each of the boards")
	return 0
}

// agent starts the n-th board and returns when its console is there.
func (p *plant) agent(n int) *exec.Cmd {
	p.t.Helper()
	port := p.path(fmt.Sprintf("port%d", n))
	os.Remove(port) // a board that was killed left its link
	c := exec.Command("../../firmware/build/posix-agent", "--state", p.path(fmt.Sprintf("state%d", n)), "--link", port,
		"--model", "posix", "--uid", fmt.Sprintf("00c0ffee%04x", n), "--prot", "7")
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	p.until(port+" is there", func() bool { return exists(port) })
	return c
}
