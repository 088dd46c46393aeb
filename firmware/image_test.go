// SPDX-License-Identifier: Apache-2.0

package firmware_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"testing"

	"provisioning.example/station/internal/flasher"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/virtual"
)

// Where a Cortex-M3 keeps what it boots, and where its images run (port/mps2).
const (
	bootAt    = 20480
	bootSize  = 2 * 4096
	imagesAt  = 65536
	imageSize = 256 << 10
	codeAt    = 0x20000
)

// mps2Image packs the agent that was linked for images: checked, and its bytes.
func mps2Image(t *testing.T, major uint8) (*flasher.Image, []byte) {
	t.Helper()
	program, err := os.ReadFile("build/agent-mps2.bin")
	if err != nil {
		t.Fatalf("%v; run make -C firmware mps2", err)
	}
	raw := virtual.MakeImage(virtual.ImageVersion{Major: major}, program)
	img, err := flasher.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return img, raw
}

// flash has a board run an image, as the station does.
func (c *talk) flash(ctx context.Context, img *flasher.Image) (flasher.Report, error) {
	return flasher.Write(ctx, flasher.Config{Client: c.client, Restart: func(ctx context.Context) error {
		_, err := c.Reset(ctx)
		return err
	}}, img)
}

// A slotState is a slot as the board tells it over SMP.
type slotState struct {
	Slot      uint64 `cbor:"slot"`
	Version   string `cbor:"version"`
	Hash      []byte `cbor:"hash"`
	Pending   bool   `cbor:"pending"`
	Confirmed bool   `cbor:"confirmed"`
	Active    bool   `cbor:"active"`
}

func (c *talk) slots(ctx context.Context, t *testing.T) []slotState {
	t.Helper()
	var answer struct {
		Images []slotState `cbor:"images"`
	}
	if err := c.client.Do(ctx, smp.Request{Group: 1}, &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Images
}

// A Cortex-M3 takes an image, runs that very program, and keeps it through a
// power cut; another one on trial that nobody confirms is gone after the next
// restart.
func TestCortexMImages(t *testing.T) {
	ctx := deadline(t)
	b := newEmulated(t, *mps2Path, nil)
	c := b.connect(t)
	if s := c.slots(ctx, t); len(s) != 0 {
		t.Fatalf("a new board has images %+v", s)
	}
	if pc := b.pc(ctx, t); pc >= codeAt {
		t.Errorf("a new board runs at %#x", pc)
	}
	one, _ := mps2Image(t, 1)
	two, _ := mps2Image(t, 2)
	r, err := c.flash(ctx, one)
	if err != nil || r.Version != "1.0.0" || r.Sent != one.Size() {
		t.Fatalf("%+v, %v", r, err)
	}
	if pc := b.pc(ctx, t); pc < codeAt || pc >= 2*codeAt {
		t.Errorf("the image's agent answers, and the board runs at %#x", pc)
	}
	if r, err = c.flash(ctx, two); err != nil || r.Version != "2.0.0" {
		t.Fatalf("%+v, %v", r, err)
	}
	c.close(t)
	b.powerCut(t)
	c = b.connect(t)
	if s := c.slots(ctx, t); c.info.FW != "2.0.0" || len(s) != 2 || !s[0].Active || !s[0].Confirmed || s[0].Version != "2.0.0" ||
		s[1].Active || s[1].Confirmed || s[1].Version != "1.0.0" || !bytes.Equal(s[0].Hash, r.Running) {
		t.Fatalf("after the power cut: fw %s, slots %+v", c.info.FW, s)
	}

	mark := smp.Request{Write: true, Group: 1, Body: map[string]any{"hash": c.slots(ctx, t)[1].Hash, "confirm": false}}
	if err := c.client.Do(ctx, mark, nil); err != nil {
		t.Fatal(err)
	}
	if s := c.slots(ctx, t); !s[1].Pending {
		t.Errorf("slots %+v", s)
	}
	if info, err := c.Reset(ctx); err != nil || info.FW != "1.0.0" {
		t.Fatalf("on trial: %+v, %v", info, err)
	}
	if s := c.slots(ctx, t); s[0].Confirmed || !s[1].Confirmed || s[0].Version != "1.0.0" {
		t.Errorf("on trial: %+v", s)
	}
	if info, err := c.Reset(ctx); err != nil || info.FW != "2.0.0" {
		t.Fatalf("after the trial: %+v, %v", info, err)
	}
}

// Power is cut at a random store to the boot loader's pages or to an image
// file, again and again, while images are written. The board boots after each
// cut, one of its two images or the one it was made with, and takes the image
// in the end.
func TestCortexMImagePowerCut(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	ctx := deadline(t)
	random := rand.New(rand.NewPCG(seed, 0))
	b := newEmulated(t, *mps2Path, nil)
	versions := map[string]bool{"1.0.0": true}
	c := b.connect(t)
	for round := range 6 {
		img, raw := mps2Image(t, uint8(round+2))
		// The debugger stops at each store. A record is 1,040 of them, and an
		// image has three: trial, swap, confirmation. The erasure of a file is
		// 65,536.
		from, size, limit := bootAt, bootSize, 1+random.IntN(3*1040)
		if round%3 == 2 {
			from, size, limit = imagesAt, 2*imageSize, 1+random.IntN(3000)
		}
		c.cutDuring(ctx, t, b, from, size, limit, func(ctx context.Context) error {
			_, err := c.flash(ctx, img)
			return err
		})
		b.start(t)
		c = b.connect(t)
		versions[img.Version().String()] = true
		if !versions[c.info.FW] {
			t.Fatalf("round %d: after the cut the board runs %s", round, c.info.FW)
		}
		if r, err := c.flash(ctx, img); err != nil || r.Version != img.Version().String() {
			t.Fatalf("round %d: after the cut: %+v, %v", round, r, err)
		}
		if files := b.memory(t, imagesAt, imagesAt+2*imageSize); !bytes.HasPrefix(files, raw) && !bytes.HasPrefix(files[imageSize:], raw) {
			t.Fatalf("round %d: the image is in neither file", round)
		}
		versions = map[string]bool{img.Version().String(): true}
	}
}

// pc is where the board sleeps or works just now.
func (e *emulated) pc(ctx context.Context, t *testing.T) uint32 {
	t.Helper()
	d := e.attach(ctx, t)
	defer d.detach(t)
	return d.pc(t)
}
