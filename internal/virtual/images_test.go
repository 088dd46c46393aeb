// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"bytes"
	"testing"

	"provisioning.example/station/internal/smp"
)

// askImage sends one command of the image group and returns its rc (minus that
// of the transport) and the offset in the answer.
func askImage(t *testing.T, b *Board, op, cmd uint8, body obj) (rc, off int) {
	t.Helper()
	payload, err := smp.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	var a struct {
		RC  int `cbor:"rc"`
		Off int `cbor:"off"`
		Err struct {
			Group int `cbor:"group"`
			RC    int `cbor:"rc"`
		} `cbor:"err"`
	}
	_, answer := b.respond(smp.Message{Op: op, Version: 1, Group: groupImage, Cmd: cmd, Payload: payload})
	if err := smp.Unmarshal(answer, &a); err != nil || a.Err.RC != 0 && a.Err.Group != groupImage {
		t.Fatalf("answer %x: %v", answer, err)
	}
	if a.RC != 0 {
		return -a.RC, 0
	}
	return a.Err.RC, a.Off
}

func wantImage(t *testing.T, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %d, want %d", what, got, want)
	}
}

// load writes an image into the other slot.
func load(t *testing.T, b *Board, img []byte) {
	t.Helper()
	for off := 0; off < len(img); {
		rc, next := askImage(t, b, smp.OpWrite, cmdImageUpload, obj{"off": off, "len": len(img), "data": img[off:min(off+100, len(img))]})
		if rc != 0 || next <= off {
			t.Fatalf("upload at %d: rc %d, next %d", off, rc, next)
		}
		off = next
	}
}

func runs(t *testing.T, b *Board, what string, want []byte, confirmed bool) {
	t.Helper()
	if got, ok := b.Running(); !bytes.Equal(got, want) || ok != confirmed {
		t.Errorf("%s: an image of %d bytes runs, confirmed %v", what, len(got), ok)
	}
}

// TestTrial: an image runs once, and stays only when it is confirmed.
func TestTrial(t *testing.T) {
	b := newBoard(t, Config{})
	old, _ := b.Running()
	img := MakeImage(ImageVersion{2, 4, 7, 1}, bytes.Repeat([]byte("new"), 300))
	_, digest, _, _ := imageInfo(img)
	_, first, _, _ := imageInfo(old)
	mark := func(hash []byte, confirm bool) int {
		rc, _ := askImage(t, b, smp.OpWrite, cmdImageState, obj{"hash": hash, "confirm": confirm})
		return rc
	}
	load(t, b, img)
	b.PowerCut()
	runs(t, b, "not marked", old, true)
	wantImage(t, "test", mark(digest, false), 0)
	rc, _ := askImage(t, b, smp.OpWrite, cmdImageErase, obj{})
	wantImage(t, "erase of what starts next", rc, rcNoFreeSlot)
	b.PowerCut()
	runs(t, b, "on trial", img, false)
	if b.firmware() != "2.4.7.1" {
		t.Errorf("firmware %s", b.firmware())
	}
	wantImage(t, "test of the way back", mark(first, false), rcPending)
	rc, _ = askImage(t, b, smp.OpWrite, cmdImageUpload, obj{"off": 0, "len": len(img), "data": img[:64]})
	wantImage(t, "upload over the way back", rc, rcNoFreeSlot)
	b.PowerCut()
	runs(t, b, "not confirmed", old, true)
	wantImage(t, "test again", mark(digest, false), 0)
	b.PowerCut()
	wantImage(t, "test of what runs", mark(digest, false), rcTestActive)
	wantImage(t, "confirm", mark(digest, true), 0)
	b.PowerCut()
	runs(t, b, "confirmed", img, true)
	wantImage(t, "for good", mark(first, true), 0)
	b.PowerCut()
	runs(t, b, "for good", old, true)
	wantImage(t, "no image", mark(make([]byte, 32), false), rcHashNotFound)
	wantImage(t, "nothing", mark([]byte{}, false), rcBadHash)
	rc, _ = askImage(t, b, smp.OpWrite, cmdImageErase, obj{})
	wantImage(t, "erase", rc, 0)
	wantImage(t, "an erased image", mark(digest, false), rcHashNotFound)
}

// TestUpload: what a chunk must be, and where an upload goes on.
func TestUpload(t *testing.T) {
	b := newBoard(t, Config{SlotSize: 2000})
	img := MakeImage(ImageVersion{Major: 3}, make([]byte, 1000))
	sha := []byte("any digest names an upload......")
	up := func(body obj) int {
		rc, off := askImage(t, b, smp.OpWrite, cmdImageUpload, body)
		if rc != 0 {
			return -rc
		}
		return off
	}
	part := func(from, to int) obj { return obj{"off": from, "len": len(img), "sha": sha, "data": img[from:to]} }
	for _, c := range []struct {
		what string
		body obj
		want int
	}{
		{"no offset", obj{"data": img[:64]}, -rcNoOffset},
		{"no length", obj{"off": 0, "data": img[:64]}, -rcNoLength},
		{"no header", part(0, 31), -rcNoHeader},
		{"another magic", obj{"off": 0, "len": 100, "data": img[1:64]}, -rcBadMagic},
		{"over the slot", obj{"off": 0, "len": 2001, "data": img[:64]}, -rcImageTooLarge},
		{"a second image", obj{"image": 1, "off": 0, "len": 100, "data": img[:64]}, plainInvalid},
		{"no upload", part(64, 100), 0},
		{"begin", part(0, 100), 100},
		{"a gap", part(200, 300), 100},
		{"a repeat", part(0, 100), 100},
		{"go on", part(100, 200), 200},
		{"too much", obj{"off": 200, "data": make([]byte, len(img)-199)}, -rcDataOverrun},
		{"another one", obj{"off": 0, "len": len(img), "sha": []byte("other"), "data": img[:50]}, 50},
		{"one without a name", obj{"off": 0, "len": len(img), "data": img[:60]}, 60},
		{"more than was announced", obj{"off": 0, "len": 50, "sha": []byte("short"), "data": img[:64]}, -rcDataOverrun},
		{"which costs the upload under way nothing", obj{"off": 60, "data": img[60:80]}, 80},
		{"begins anew", obj{"off": 0, "len": len(img), "data": img[:40]}, 40},
	} {
		wantImage(t, c.what, up(c.body), c.want)
	}
	wantImage(t, "begin", up(part(0, 100)), 100)
	b.PowerCut()
	wantImage(t, "an upload that RAM has lost", up(part(100, 200)), 0)
	for _, cmd := range []uint8{cmdImageUpload, cmdImageErase, 2, 6} {
		rc, _ := askImage(t, b, smp.OpRead, cmd, obj{})
		wantImage(t, "a read of a write command, or none", rc, -plainUnknown)
	}
}

// TestSealed: a locked board whose images are not verified takes none.
func TestSealed(t *testing.T) {
	e := newEstate(t)
	for prot, want := range map[uint8]int{0: -plainUnknown, 6: -plainUnknown, 1: 0, 7: 0} {
		b := newBoard(t, Config{Root: e.root.cert, Prot: prot})
		b.flash = e.flash(t, stateInstalled)
		rc, _ := askImage(t, b, smp.OpRead, cmdImageState, obj{})
		wantImage(t, "installed", rc, 0)
		b.flash = e.flash(t, stateLocked)
		rc, _ = askImage(t, b, smp.OpRead, cmdImageState, obj{})
		wantImage(t, "locked", rc, want)
	}
}
