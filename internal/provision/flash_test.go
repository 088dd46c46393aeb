// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/virtual"
)

const (
	groupImage = 1
	cmdUpload  = 1
)

// firmware is the image of these tests' product.
func firmware() []byte {
	return virtual.MakeImage(virtual.ImageVersion{Major: 2, Minor: 4, Revision: 7}, bytes.Repeat([]byte("firmware"), 800))
}

// withImage makes the world's product bring its own firmware.
func withImage(w *world) { setImage(w, firmware()) }

func setImage(w *world, data []byte) {
	w.t.Helper()
	w.product.Image = filepath.Join(w.t.TempDir(), "fw.bin")
	if err := os.WriteFile(w.product.Image, data, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func setManifest(w *world, model, more string) {
	w.t.Helper()
	w.product.ImageManifest = filepath.Join(w.t.TempDir(), "fw.toml")
	text := fmt.Sprintf("sha256 = \"%x\"\nversion = \"2.4.7\"\nmodel = %q\n%s", sha256.Sum256(firmware()), model, more)
	if err := os.WriteFile(w.product.ImageManifest, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// wantFirmware checks that a board runs the image, confirmed, and that the
// ledger knows both digests.
func (w *world) wantFirmware(uid string) {
	w.t.Helper()
	running, confirmed := w.boards[portName(1)].Running()
	if !bytes.Equal(running, firmware()) || !confirmed {
		w.t.Errorf("an image of %d bytes runs, confirmed %v", len(running), confirmed)
	}
	file, boot := sha256.Sum256(firmware()), sha256.Sum256(firmware()[:32+8*800])
	for _, kind := range []string{record.KindBegun, record.KindKey, record.KindIssued, record.KindProven, record.KindEnd} {
		bodies := w.entries(uid, kind)
		if len(bodies) == 0 {
			w.t.Errorf("no %s entry", kind)
			continue
		}
		b := bodies[len(bodies)-1]
		if b.Firmware != "fw.bin" || b.FirmwareVersion != "2.4.7" || b.FirmwareDigest != fmt.Sprintf("%x", file) || b.FirmwareReported != fmt.Sprintf("%x", boot) {
			w.t.Errorf("%s says firmware %q %q, file %q, reported %q", kind, b.Firmware, b.FirmwareVersion, b.FirmwareDigest, b.FirmwareReported)
		}
	}
}

func TestFlash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := one(t, withImage, func(w *world) { setManifest(w, "virtual-board", "") })
		defer w.close()
		wantOutcome(t, w.run()[1], record.Passed, "")
		w.wantFirmware(uid1)
		// A locked board that shows its images is looked at, not written to.
		w.open()
		wantOutcome(t, w.run()[1], record.Passed, "")
		setImage(w, virtual.MakeImage(virtual.ImageVersion{Major: 3}, []byte("next")))
		w.product.ImageManifest = ""
		w.open()
		wantOutcome(t, w.run()[1], record.Failed, "F-FLASH-02")
	})
}

// TestFlashSealed: a locked board that takes no images any more counts by what
// the ledger knows.
func TestFlashSealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1, func(c *virtual.Config) { c.Prot = 0 })}, withImage)
		defer w.close()
		wantOutcome(t, w.run()[1], record.Passed, "")
		w.open()
		wantOutcome(t, w.run()[1], record.Passed, "")
		w.wantFirmware(uid1)
		setImage(w, virtual.MakeImage(virtual.ImageVersion{Major: 3}, []byte("next")))
		w.open()
		wantOutcome(t, w.run()[1], record.Failed, "F-FLASH-02")
	})
}

// TestFlashWrongBoard: nothing is written to a board that the image is not for.
func TestFlashWrongBoard(t *testing.T) {
	for name, c := range map[string]struct {
		board  func(*virtual.Config)
		change func(*world)
		want   string
	}{
		"model":    {board: func(c *virtual.Config) { c.Model = "other" }, want: "F-CONNECT-04"},
		"revision": {change: func(w *world) { setManifest(w, "virtual-board", `hardware = ["9"]`) }, want: "F-FLASH-03"},
		"size":     {board: func(c *virtual.Config) { c.SlotSize = 6400 }, want: "F-FLASH-04"},
	} {
		bubble(t, name, func(t *testing.T) {
			if c.board == nil {
				c.board = func(*virtual.Config) {}
			}
			if c.change == nil {
				c.change = func(*world) {}
			}
			b := board(t, 1, c.board)
			before, _ := b.Running()
			w := newWorld(t, map[string]*virtual.Board{portName(1): b}, withImage, c.change)
			defer w.close()
			r := w.run()[1]
			if code(r.Fault) != c.want {
				t.Errorf("ended with %v, want %s", r.Fault, c.want)
			}
			if after, _ := b.Running(); !bytes.Equal(after, before) || len(b.Spare()) > 0 || b.State() != 0 {
				t.Errorf("the board was written to: %d bytes in the other slot, state %d", len(b.Spare()), b.State())
			}
		})
	}
}

// TestFlashMendsBoard: what the old firmware lacks does not matter when the
// product brings its own; what the new one lacks does.
func TestFlashMendsBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := one(t, withImage, func(w *world) { w.product.Prot = []int{3} })
		defer w.close()
		wantOutcome(t, w.run()[1], record.Failed, "F-CONNECT-07")
		if running, _ := w.boards[portName(1)].Running(); !bytes.Equal(running, firmware()) {
			t.Error("the board was judged by its old firmware")
		}
	})
}

// TestFlashThroughFaults: whatever a station gets an enrolment through, it gets
// an image through.
func TestFlashThroughFaults(t *testing.T) {
	for _, f := range virtual.Faults() {
		if !f.Pass {
			continue
		}
		bubble(t, f.Name, func(t *testing.T) {
			w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1, func(c *virtual.Config) { c.Fault = f.Name })}, withImage)
			defer w.close()
			wantOutcome(t, w.run()[1], record.Passed, "")
			w.wantFirmware(uid1)
		})
	}
}

// TestFlashPortLost: a board on its own USB takes its port away with every
// restart, and a swap takes long.
func TestFlashPortLost(t *testing.T) {
	for _, fault := range []string{"", "image-slow"} {
		bubble(t, fault, func(t *testing.T) {
			w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1, func(c *virtual.Config) { c.Fault = fault })},
				withImage, func(w *world) { cutAt(w, groupOS, osReset, 1000, beforeReset) })
			defer w.close()
			wantOutcome(t, w.run()[1], record.Passed, "")
			w.wantFirmware(uid1)
		})
	}
}

// TestFlashStopped stops the station in the middle of an image: the board keeps
// its firmware, and the next run goes on where this one stopped.
func TestFlashStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := one(t, withImage)
		defer w.close()
		before, _ := w.boards[portName(1)].Running()
		uploads := countUploads(w, func(n int) {
			if n == 6 {
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				_ = w.station.Stop(ctx) // does not wait: this is the run's own goroutine
			}
		})
		if r := w.run()[1]; r.Outcome != record.Aborted {
			t.Errorf("ended %q with %v", r.Outcome, r.Fault)
		}
		if after, _ := w.boards[portName(1)].Running(); !bytes.Equal(after, before) {
			t.Error("half an image runs")
		}
		end := w.entries(uid1, record.KindEnd)[0]
		if end.Firmware != "fw.bin" || end.FirmwareReported != "" {
			t.Errorf("the end entry says firmware %q, reported %q", end.Firmware, end.FirmwareReported)
		}
		first := *uploads
		w.open()
		wantOutcome(t, w.run()[1], record.Passed, "")
		w.wantFirmware(uid1)
		if again := *uploads - first; again >= len(firmware())/480 {
			t.Errorf("%d chunks were sent after %d", again, first)
		}
	})
}

// counter is a stream that counts chunks of images.
type counter struct {
	smp.Stream
	dec smp.Decoder
	n   *int
	on  func(int)
}

func (c *counter) Write(p []byte) (int, error) {
	c.dec.Feed(p, func(m []byte) {
		if m[5] == groupImage && m[7] == cmdUpload {
			*c.n++
			c.on(*c.n)
		}
	}, func([]byte) {})
	return c.Stream.Write(p)
}

func countUploads(w *world, on func(n int)) *int {
	n := new(int)
	dial := w.dial
	w.dial = func(ctx context.Context, port string) (smp.Stream, error) {
		s, err := dial(ctx, port)
		if err != nil {
			return nil, err
		}
		return &counter{Stream: s, n: n, on: on}, nil
	}
	return n
}

// TestFlashProgress: the card says how far the image is, at most every 2 %.
func TestFlashProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var notes []string
		big := virtual.MakeImage(virtual.ImageVersion{Major: 5}, bytes.Repeat([]byte("x"), 200<<10))
		w := one(t, func(w *world) {
			setImage(w, big)
			w.watch = func(v provision.SlotView) { notes = append(notes, v.Note) }
		})
		defer w.close()
		wantOutcome(t, w.run()[1], record.Passed, "")
		told := 0
		for _, n := range notes {
			if strings.HasPrefix(n, "Flash fw.bin 5.0.0, ") {
				told++
			}
		}
		if told < 30 || told > 52 {
			t.Errorf("progress was told %d times", told)
		}
		if joined := strings.Join(notes, "\n"); !strings.Contains(joined, "Flash fw.bin 5.0.0, 62 %") || !strings.Contains(joined, "Flash fw.bin 5.0.0, 100 %") {
			t.Errorf("the card said\n%s", joined)
		}
	})
}

// TestFlashSlowLine: a step that may take half an hour is not cut off by the
// deadline of another.
func TestFlashSlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := one(t, withImage)
		defer w.close()
		dial := w.dial
		w.dial = func(ctx context.Context, port string) (smp.Stream, error) {
			s, err := dial(ctx, port)
			return &slow{s}, err
		}
		start := time.Now()
		wantOutcome(t, w.run()[1], record.Passed, "")
		if time.Since(start) < time.Minute {
			t.Error("the line was not slow")
		}
	})
}

// slow is a line that holds every packet back for a while.
type slow struct{ smp.Stream }

func (s *slow) Write(p []byte) (int, error) {
	<-time.After(3 * time.Second)
	return s.Stream.Write(p)
}

// TestProductImage: what is wrong with an image, its manifest or its signature
// is told with the line of the product's key, and no board is touched.
func TestProductImage(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := firmware()
	write("fw.bin", string(good))
	write("cut.bin", string(good[:500]))
	manifest := func(sha [32]byte, model string) string {
		return fmt.Sprintf("sha256 = \"%x\"\nversion = \"2.4.7\"\nmodel = %q\n", sha, model)
	}
	write("fw.toml", manifest(sha256.Sum256(good), "m"))
	write("other.toml", manifest([32]byte{1}, "m"))
	write("model.toml", manifest(sha256.Sum256(good), "n"))
	write("bad.toml", "sha256 = 7\n")
	const head = "name = \"x\"\nmodel = \"m\"\n"
	for text, want := range map[string]string{
		"image = \"fw.bin\"\n":                                                           "",
		"image = \"fw.bin\"\nimage_manifest = \"fw.toml\"\n":                             "",
		"image = \"none.bin\"\n":                                                         "p.toml:3: image: ",
		"\nimage = \"cut.bin\"\n":                                                        "p.toml:4: image: ",
		"image_manifest = \"fw.toml\"\n":                                                 "p.toml:3: image_manifest: goes with image",
		"image = \"fw.bin\"\nrelease_key = \"k.pem\"\n":                                  "p.toml:4: release_key: goes with image_manifest",
		"image = \"fw.bin\"\nimage_manifest = \"none.toml\"\n":                           "p.toml:4: image_manifest: ",
		"image = \"fw.bin\"\nimage_manifest = \"bad.toml\"\n":                            "p.toml:4: image_manifest: ",
		"image = \"fw.bin\"\nimage_manifest = \"other.toml\"\n":                          "the manifest is for another image",
		"image = \"fw.bin\"\nimage_manifest = \"model.toml\"\n":                          "the image is for another board",
		"image = \"fw.bin\"\nimage_manifest = \"fw.toml\"\nrelease_key = \"fw.toml\"\n":  "p.toml:5: release_key: ",
		"image = \"fw.bin\"\nimage_manifest = \"fw.toml\"\nrelease_key = \"none.pem\"\n": "p.toml:5: release_key: ",
		"images = \"fw.bin\"\n":                                                          "p.toml:3: unknown key",
	} {
		write("p.toml", head+text)
		p, err := provision.LoadProduct(filepath.Join(dir, "p.toml"))
		switch {
		case want == "" && (err != nil || !strings.HasPrefix(p.Firmware(), "image fw.bin 2.4.7, ")):
			t.Errorf("%q: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if _, err := provision.NewProduct(provision.ProductConfig{Name: "x", Model: "m", Image: filepath.Join(dir, "cut.bin")}); err == nil {
		t.Error(errors.New("a broken image was taken"))
	}
}

// TestExampleImage: the keys that stand commented out in the example hold, with
// the files beside it.
func TestExampleImage(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../testdata")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "product.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"image", "image_manifest", "release_key", "label_pass"} {
		on := bytes.Replace(text, []byte("\n# "+key+" = "), []byte("\n"+key+" = "), 1)
		if bytes.Equal(on, text) {
			t.Errorf("the example does not show %s", key)
		}
		text = on
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := provision.LoadProduct(path)
	if err != nil || !strings.Contains(p.Firmware(), "image pump.bin 2.4.1, 264 bytes, manifest signed by release-key.pem") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pump.toml.sig"), []byte("signed, honestly"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := provision.LoadProduct(path); err == nil || !strings.Contains(err.Error(), "image_manifest: ") || !strings.Contains(err.Error(), "not signed by the release key") {
		t.Errorf("a wrong signature: %v", err)
	}
}
