// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/pelletier/go-toml/v2"

	"provisioning.example/station/internal/label"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/settings"
	"provisioning.example/station/internal/tpm"
)

// homeConfig is station.toml: what makes this station this station.
type homeConfig struct {
	Name    string `toml:"name"`    // PLANT/STATION
	Epoch   int    `toml:"epoch"`   // one TPM's time in the ledger, from 1
	TPM     string `toml:"tpm"`     // as --tpm; relative paths lie in the home
	Product string `toml:"product"` // products/NAME.toml
	Slots   int    `toml:"slots"`   // places on the bench
	// MinFree is the free disk space in MiB below which no unit is started.
	MinFree int `toml:"min_free_mib"`

	// ReworkBench is the file with the second key that may unlock boards, PEM; "": none.
	ReworkBench string `toml:"rework_bench,omitempty"`

	// Auto starts boards in the window as soon as they are there.
	Auto bool `toml:"auto,omitempty"`
	// Stop says when failures stop the line; nil: the usual numbers.
	Stop *stopConfig `toml:"stop,omitempty"`

	// Golden is the serial of the unit that the bench is tried with; GoldenEvery how
	// long such a check is good for, 0: none is wanted.
	Golden      string `toml:"golden,omitempty"`
	GoldenEvery period `toml:"golden_every,omitempty"`

	// OrderKey is the file with the key that orders are signed under, PEM; "":
	// orders are taken as they are written.
	OrderKey string `toml:"order_key,omitempty"`

	Keys homeKeys `toml:"keys"`

	// Bench binds slots to USB locations: slot number -> location.
	Bench map[string]string `toml:"bench,omitempty"`

	// Backup says where copies of the ledger go; nil: none are made.
	Backup *backupConfig `toml:"backup,omitempty"`

	// Label says where labels are printed; nil: none are.
	Label *labelConfig `toml:"label,omitempty"`
}

// homeKeys name the station's keys in its TPM. A creation proves where its key
// was made; homes made before the TPM was asked for one have none.
type homeKeys struct {
	CA         *tpm.KeyRef   `toml:"ca,omitempty"`
	CACreation *tpm.Creation `toml:"ca_creation,omitempty"`
	// Next is the key of an intermediate that was asked for and is not installed
	// yet; Retired are those that issued once and still sign revocation lists.
	Next               *tpm.KeyRef   `toml:"next_ca,omitempty"`
	NextCreation       *tpm.Creation `toml:"next_ca_creation,omitempty"`
	Retired            []*tpm.KeyRef `toml:"retired_ca,omitempty"`
	Checkpoint         *tpm.KeyRef   `toml:"checkpoint,omitempty"`
	CheckpointCreation *tpm.Creation `toml:"checkpoint_creation,omitempty"`
	Rework             *tpm.KeyRef   `toml:"rework,omitempty"`
	ReworkCreation     *tpm.Creation `toml:"rework_creation,omitempty"`
	// Counter seals the ledger; a home of before there were seals has none.
	Counter *tpm.CounterRef `toml:"counter,omitempty"`
	// Manifest signs manifests; it is made with the first of them.
	Manifest         *tpm.KeyRef   `toml:"manifest,omitempty"`
	ManifestCreation *tpm.Creation `toml:"manifest_creation,omitempty"`
}

// home is the folder a station lives in.
type home struct {
	dir    string
	cfg    homeConfig
	digest string // of station.toml, hex
	lock   *os.File
}

var stationName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,30}/[A-Za-z0-9][A-Za-z0-9_.-]{0,30}$`)

const (
	defaultSlots   = 8
	maxSlots       = 256
	defaultMinFree = 512
)

func (h *home) path(parts ...string) string {
	return filepath.Join(append([]string{h.dir}, parts...)...)
}

func (h *home) ledgerPath() string { return h.path("ledger", "ledger.db") }
func (h *home) authPath() string   { return h.authPathOf(h.cfg.Epoch) }

// authPathOf is where the secret of an epoch's checkpoint key lies.
func (h *home) authPathOf(epoch int) string {
	if epoch == 1 {
		return h.path("tpm", "checkpoint.auth")
	}
	return h.path("tpm", fmt.Sprintf("checkpoint-%d.auth", epoch))
}

// origin names the ledger in checkpoints.
func (h *home) origin() string { return originOf(h.cfg.Name, h.cfg.Epoch) }

// originOf is plant/station/epoch.
func originOf(station string, epoch int) string { return fmt.Sprintf("%s/%d", station, epoch) }

// tpmSpec is the TPM's spec with relative paths put into the home.
func (h *home) tpmSpec() string {
	kind, rest, _ := strings.Cut(h.cfg.TPM, ":")
	switch kind {
	case "sim", "swtpm", "unix":
		if rest != "" && !filepath.IsAbs(rest) {
			return kind + ":" + h.path(rest)
		}
	}
	return h.cfg.TPM
}

// makeHome makes the folders of a new home. It never touches one that is
// there already.
func makeHome(dir string, cfg homeConfig) (*home, error) {
	if _, err := os.Stat(filepath.Join(dir, "station.toml")); err == nil {
		return nil, usage(fmt.Errorf("%s is a station's home already", dir), "name another folder with --home; a home is never overwritten")
	}
	for _, d := range []string{"", "products", "profiles", "orders", "images", "ca", "tpm", "ledger", "backup"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, usage(err, "name a folder that can be made with --home")
		}
	}
	h := &home{dir: dir, cfg: cfg}
	return h, h.acquire()
}

// openHome reads a station's home.
func openHome(dir string) (*home, error) {
	path := filepath.Join(dir, "station.toml")
	raw, err := settings.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage(fmt.Errorf("%s is no station's home", dir), "make one with: station init --home DIR --tpm TPM")
	}
	if err != nil {
		return nil, usage(err, "the home must be readable by who runs the station")
	}
	h := &home{dir: dir}
	if h.cfg, err = parseHome(path, raw); err != nil {
		return nil, usage(err, "mend station.toml; testdata/station.toml shows every key")
	}
	sum := sha256.Sum256(raw)
	h.digest = hex.EncodeToString(sum[:])
	return h, nil
}

// parseHome reads station.toml strictly; mistakes name file and line.
func parseHome(path string, raw []byte) (homeConfig, error) {
	c := homeConfig{Slots: defaultSlots, MinFree: defaultMinFree, Epoch: 1}
	if err := settings.Decode(path, raw, &c); err != nil {
		return c, err
	}
	backup := backupConfig{Dir: "."}
	if c.Backup != nil {
		backup = *c.Backup
	}
	labels := labelConfig{Printer: "folder:."}
	if c.Label != nil {
		labels = *c.Label
	}
	err := settings.Verify(path, raw, []settings.Check{
		{Key: "name", OK: stationName.MatchString(c.Name), Allowed: "PLANT/STATION, letters, digits and . _ - are allowed"},
		{Key: "epoch", OK: c.Epoch >= 1, Allowed: "a number from 1"},
		{Key: "tpm", OK: tpmSpecOK(c.TPM), Allowed: "allowed: " + tpmSpecs},
		{Key: "product", OK: c.Product == "" || c.Product == filepath.Base(c.Product), Allowed: "the name of a file in products, without .toml"},
		{Key: "slots", OK: c.Slots >= 1 && c.Slots <= maxSlots, Allowed: fmt.Sprintf("1 to %d", maxSlots)},
		{Key: "min_free_mib", OK: c.MinFree >= 16, Allowed: "16 or more"},
		{Key: "golden_every", OK: c.goldenOK(), Allowed: "1m to 744h, and golden names the unit"},
		{Key: "stop", OK: c.Stop.ok(), Allowed: fmt.Sprintf("in_a_row, same_fault and same_slot are 0 to %d", provision.MaxStopRule)},
		{Key: "dir", OK: backup.Dir != "", Allowed: "the folder for copies of the ledger"},
		{Key: "every", OK: backup.Every == 0 || backup.Every.ok(), Allowed: backupEveryAllowed},
		{Key: "printer", OK: labels.printerOK(), Allowed: "allowed: " + label.PrinterSpecs},
		{Key: "dpi", OK: labels.DPI == 0 || slices.Contains(label.Resolutions(), labels.DPI), Allowed: "allowed: 203, 300, 600"},
		{Key: "pass", OK: labels.templateOK(labels.Pass), Allowed: labelTemplateAllowed},
		{Key: "fail", OK: labels.templateOK(labels.Fail), Allowed: labelTemplateAllowed},
		{Key: "copies", OK: labels.Copies >= 0 && labels.Copies <= label.MaxCopies, Allowed: fmt.Sprintf("1 to %d", label.MaxCopies)},
		{Key: "timeout", OK: labels.Timeout == 0 || labels.Timeout.ok(), Allowed: labelTimeoutAllowed},
		{Key: "keep", OK: backup.Keep >= 0 && backup.Keep <= maxBackupKeep, Allowed: fmt.Sprintf("how many copies stay, 1 to %d; 0: all", maxBackupKeep)},
	})
	if err != nil {
		return c, err
	}
	return c, verifyBench(path, raw, c)
}

const tpmSpecs = "sim, sim:FILE, swtpm:DIR, unix:PATH, tcp:HOST:PORT, dev:PATH, tbs"

func tpmSpecOK(spec string) bool {
	kind, rest, _ := strings.Cut(spec, ":")
	switch kind {
	case "sim":
		return true
	case "tbs":
		return rest == ""
	case "swtpm", "unix", "tcp", "dev":
		return rest != ""
	}
	return false
}

// save writes station.toml as a whole: the old one or the new one is there
// after a power cut.
func (h *home) save() error {
	raw, err := toml.Marshal(h.cfg)
	if err != nil {
		return err
	}
	if err := settings.Write(h.path("station.toml"), raw, 0o600); err != nil {
		return unfit(err, "the home must be writable")
	}
	sum := sha256.Sum256(raw)
	h.digest = hex.EncodeToString(sum[:])
	return nil
}

// acquire makes this process the home's only one.
func (h *home) acquire() error {
	f, err := os.OpenFile(h.path("lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return unfit(err, "the home must be writable by who runs the station")
	}
	if err := flock(f); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return unfit(fmt.Errorf("another station works in %s", h.dir), "close it first, or use its window")
		}
		return unfit(fmt.Errorf("lock %s: %w", f.Name(), err), "the home must lie on a file system with locks")
	}
	h.lock = f
	return nil
}

// release lets others in.
func (h *home) release() {
	if h.lock != nil {
		h.lock.Close()
		h.lock = nil
	}
}
