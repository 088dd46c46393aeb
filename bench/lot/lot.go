// SPDX-License-Identifier: Apache-2.0

// Package lot makes the ledger of a station that has made very many units: of
// any length, on all processors, and as real as a short one. A home that the
// station's own program made is the start; what its ledger says of one unit is
// said of each that follows, with a key, a request, a certificate and a receipt
// of its own. Checkpoints and seals are made by the home's (simulated) TPM.
//
// Only the key that signs the units' certificates is in memory: an intermediate
// of the home's root that is installed before the first unit.
package lot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Config says what is made.
type Config struct {
	Dir     string // of a demo: home, root and root.passphrase are below it; nobody else uses it
	Entries int64  // at least so many are in the ledger in the end

	// Units that share a checkpoint; 0: 4. A station signs one for all that are done when its TPM is free.
	Share int
	// Progress is called now and then, if set.
	Progress func(entries int64)
}

const (
	// tact is the time from one unit to the next: 20 000 in two shifts of eight hours.
	tact = 2880 * time.Millisecond
	// sealed is how many units lie between two seals: ten minutes.
	sealed = 208
	// failing is how many units there are to one that fails at first.
	failing = 40
	// ordered is how many units an order has.
	ordered = 500
	slots   = 8
	// chunk is how many units a processor makes at a time.
	chunk = 64
)

// Make lengthens the ledger of a home.
func Make(ctx context.Context, c Config) error {
	if c.Share == 0 {
		c.Share = 4
	}
	h, err := openHome(ctx, filepath.Join(c.Dir, "home"))
	if err != nil {
		return fmt.Errorf("lot: %w", err)
	}
	err = h.make(ctx, c)
	if err = errors.Join(err, h.Close()); err != nil {
		return fmt.Errorf("lot: %w", err)
	}
	return nil
}

func (h *home) make(ctx context.Context, c Config) error {
	sample, err := readSample(ctx, h.ledger)
	if err != nil {
		return err
	}
	ca, err := newAuthority(c.Dir, h.origin, h.signer)
	if err != nil {
		return err
	}
	s, err := openStore(ctx, h.ledger, h.origin)
	if err != nil {
		return err
	}
	m := &mill{
		home: h, store: s, share: c.Share, want: c.Entries, progress: c.Progress,
		maker: &maker{sample: sample, authority: ca, station: h.origin.Station},
	}
	if err := m.run(ctx); err != nil {
		return errors.Join(err, s.abandon())
	}
	return s.Close()
}

// New makes a lot in a folder that is not there yet: a demo of the station's
// program with one board, and what lengthens it. It is made beside the folder
// and gets its name when it is whole.
func New(ctx context.Context, station string, c Config) error {
	if c.Dir == "" {
		return errors.New("lot: it needs a folder")
	}
	if _, err := os.Lstat(c.Dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("lot: %s: %w", c.Dir, errors.Join(fs.ErrExist, err))
	}
	dir := c.Dir
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("lot: %w", err)
	}
	made, err := os.MkdirTemp(filepath.Dir(dir), ".lot-")
	if err != nil {
		return fmt.Errorf("lot: %w", err)
	}
	defer os.RemoveAll(made) //nolint:errcheck // what is left over harms nobody
	c.Dir = filepath.Join(made, "lot")
	if out, err := exec.CommandContext(ctx, station, "demo", "--headless", "--boards", "1", "--dir", c.Dir).CombinedOutput(); err != nil {
		return fmt.Errorf("lot: %s demo: %w\n%s", station, err, out)
	}
	if err := Make(ctx, c); err != nil {
		return err
	}
	if err := os.Rename(c.Dir, dir); err != nil {
		return fmt.Errorf("lot: %w", err)
	}
	return nil
}

// Path is the ledger of a lot.
func Path(dir string) string { return filepath.Join(dir, "home", "ledger", "ledger.db") }

// Root is the certificate of a lot's root.
func Root(dir string) string { return filepath.Join(dir, "root", "root.pem") }
