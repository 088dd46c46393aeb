// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/flasher"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/settings"
	"provisioning.example/station/internal/smp"
)

// swapLimit is how long a boot loader may take to swap images before the board
// answers again.
const swapLimit = 90 * time.Second

// maxSwaps is how many restarts for images may take a port away in one run: two
// to get rid of an image that somebody left on trial, one into the new one, and
// one more for a board that lost it.
const maxSwaps = 4

// loadFirmware reads the product's image, with manifest and release key, and
// returns what is wrong with them as checks of the product's keys.
func (p *Product) loadFirmware(dir string) []settings.Check {
	c := p.cfg
	var key *ecdsa.PublicKey
	var keyErr, manifestErr, imageErr error
	if c.ReleaseKey != "" {
		key, keyErr = flasher.ReadReleaseKey(beside(dir, c.ReleaseKey))
	}
	if c.ImageManifest != "" && keyErr == nil {
		p.manifest, manifestErr = flasher.ReadManifest(beside(dir, c.ImageManifest), key)
	}
	if c.Image != "" {
		p.image, imageErr = flasher.ReadImage(beside(dir, c.Image))
	}
	if m := p.manifest; m != nil && p.image != nil {
		manifestErr = m.Describes(p.image)
		if manifestErr == nil && m.Model() != c.Model {
			manifestErr = fmt.Errorf("%w: it is for model %q, the product is %q", flasher.ErrBoard, m.Model(), c.Model)
		}
	}
	return []settings.Check{
		{Key: "image_manifest", OK: c.ImageManifest == "" || c.Image != "", Allowed: "goes with image: what it says of that file"},
		{Key: "release_key", OK: c.ReleaseKey == "" || c.ImageManifest != "", Allowed: "goes with image_manifest: the key that signed it"},
		{Key: "release_key", OK: keyErr == nil, Allowed: fmt.Sprint(keyErr)},
		{Key: "image_manifest", OK: manifestErr == nil, Allowed: fmt.Sprint(manifestErr)},
		{Key: "image", OK: imageErr == nil, Allowed: fmt.Sprint(imageErr)},
	}
}

// Firmware describes the image that the product's boards get, "" for none.
func (p *Product) Firmware() string {
	if p.image == nil {
		return ""
	}
	trust := "no manifest"
	if p.manifest != nil {
		trust = "manifest not signed"
		if p.manifest.Signed() {
			trust = "manifest signed by " + filepath.Base(p.cfg.ReleaseKey)
		}
	}
	file, boot := p.image.FileDigest(), p.image.BootDigest()
	return fmt.Sprintf("image %s %s, %d bytes, %s\n  file digest %x\n  boot loader's digest %x",
		p.image.Name(), p.image.Version(), p.image.Size(), trust, file, boot)
}

// flash puts the product's image on the board, on trial first, and confirms it
// once the board runs it and still is what the product demands. What the board
// is, image and manifest are compared before a byte is written.
//
// Power that fails anywhere here leaves a board that boots: the old image until
// the restart, the new one on trial behind it, the old one again at the restart
// after that unless the new one was confirmed. The next run looks what is left
// to do.
func (r *run) flash(ctx context.Context) error {
	p := r.st.cfg.Product
	if p.image == nil {
		return nil
	}
	if p.manifest != nil {
		if err := p.manifest.Suits(r.info.Model, r.info.HW); err != nil {
			return err
		}
	}
	r.flashing = true
	if r.info.State == enroll.Locked {
		return r.flashedBefore(ctx)
	}
	report, err := flasher.Write(ctx, r.flasher(), p.image)
	if err != nil {
		return err
	}
	r.running = hexOf(report.Running)
	r.log.Info("the board runs the image", "image", p.image.Name(), "version", report.Version, "sent", report.Sent)
	if err := r.reread(ctx); err != nil {
		return err
	}
	if err := errors.Join(r.fits(), r.suits()); err != nil {
		return err
	}
	return r.plan() // the new firmware may not keep what the old one stored
}

func (r *run) flasher() flasher.Config {
	return flasher.Config{Client: r.client, Restart: r.swap, Progress: r.flashProgress(), Log: r.log}
}

// flashedBefore demands that a locked board runs the image already. One that
// keeps its images to itself (protocol, prot bit 0) must have shown it to this
// line before it was locked.
func (r *run) flashedBefore(ctx context.Context) error {
	p := r.st.cfg.Product
	if r.info.Prot&1 == 0 {
		if before := r.history.proven; before != nil && before.FirmwareDigest == r.fileDigest() && before.FirmwareReported != "" {
			r.running = before.FirmwareReported
			return nil
		}
		return &fault{"F-FLASH-02", errors.New("the board is locked, and the ledger does not know that it runs this image")}
	}
	report, there, err := flasher.Running(ctx, r.flasher(), p.image)
	if err != nil {
		return err
	}
	if !there {
		return &fault{"F-FLASH-02", fmt.Errorf("the board is locked with firmware %s, the product's is %s", r.info.FW, p.image.Version())}
	}
	r.running = hexOf(report.Running)
	return nil
}

func (r *run) fileDigest() string {
	d := r.st.cfg.Product.image.FileDigest()
	return hexOf(d[:])
}

// swap restarts the board and waits until the boot loader has swapped its
// images: that takes longer than a boot.
func (r *run) swap(ctx context.Context) error {
	r.swapping = true
	r.swaps++
	ctx, cancel := context.WithTimeoutCause(ctx, swapLimit, fmt.Errorf("%w while it swaps images", smp.ErrTimeout))
	defer cancel()
	old := r.info.Boot
	info, err := r.session.Reset(ctx)
	for errors.Is(err, smp.ErrTimeout) && ctx.Err() == nil {
		info, err = r.session.WaitInfo(ctx)
	}
	if err != nil {
		return err
	}
	r.swapping = false
	if info.Boot == old {
		return enroll.ErrNotReset
	}
	r.info = info
	return nil
}

// flashProgress shows on the card how far the image is, in steps of 2 % and
// more.
func (r *run) flashProgress() func(done, size int) {
	const every = 2
	img, shown := r.st.cfg.Product.image, -every
	return func(done, size int) {
		percent := done * 100 / max(size, 1)
		if percent < shown+every && (percent < 100 || shown == 100) {
			return
		}
		shown = percent
		note := fmt.Sprintf("Flash %s %s, %d %%", record.Plain(img.Name(), 32), img.Version(), percent)
		r.st.show(r, func(v *SlotView) { v.Note = note })
	}
}
