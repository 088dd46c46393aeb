// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/settings"
	"provisioning.example/station/internal/tpm"
)

// handoverConfig is handover.toml: a handover that has begun and not ended.
// The file is there from before the first key is made until after station.toml
// names them; while it is there nothing else opens the ledger for work.
type handoverConfig struct {
	Epoch    int      `toml:"epoch"` // the new one
	TPM      string   `toml:"tpm"`
	Reason   string   `toml:"reason"`
	Operator string   `toml:"operator"`
	Approver string   `toml:"approver"`
	Keys     homeKeys `toml:"keys"`

	// Restore says that it is not one: the epoch begins with a ledger that was
	// brought back.
	Restore *restoreConfig `toml:"restore,omitempty"`
}

// handing is a handover under way.
type handing struct {
	b      *bench
	cfg    handoverConfig
	curve  elliptic.Curve
	pin    []byte // nil: the CA key is made already
	rework []byte
	auth   []byte // of the checkpoint key
}

func newHandover(g *globals) *cobra.Command {
	var spec, reason, curve string
	rework := secretFlags{fd: -1}
	c := &cobra.Command{
		Use: "handover", Short: "go on with a new or cleared TPM: new keys, new epoch in the ledger", Args: cobra.NoArgs,
		Long: `handover makes new keys in a TPM that does not hold this station's, because it
was replaced or cleared, and begins a new epoch in the ledger. The ledger's first
entry there names the last checkpoint of the old key and all entries before it;
serials, boards and keys stay unique over all epochs. The certificates of the old
key move to ca/epoch-N. Somebody else than who acts approves it.

A handover that was interrupted goes on with the same command.`,
		RunE: func(c *cobra.Command, _ []string) error {
			x, err := prepareHandover(g, spec, reason, curve, rework)
			if err != nil {
				return err
			}
			defer x.b.Close()
			if err := x.do(c.Context()); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "the ledger goes on as %s\n", x.b.home.origin())
			fmt.Fprintln(c.OutOrStdout(), "the old intermediate's key is gone: it signs no more revocation lists; have the root revoke it if the TPM may be in other hands")
			if x.b.home.cfg.Keys.Rework == nil {
				fmt.Fprintln(c.OutOrStdout(), "there is no rework key: boards are locked for good")
			}
			fmt.Fprintln(c.OutOrStdout(), "boards that were locked before can be unlocked only by the old rework key, which is gone with the old TPM")
			fmt.Fprintln(c.OutOrStdout(), "next: station ca request")
			return nil
		},
	}
	c.Flags().StringVar(&spec, "tpm", "", "the new TPM (default: as in station.toml): "+tpmSpecs)
	c.Flags().StringVar(&reason, "reason", "", "why, for the ledger")
	c.Flags().StringVar(&curve, "curve", "P-256", "curve of the CA key: P-256 or P-384")
	c.Flags().StringVar(&rework.file, "rework-pin-file", "", "file that holds the new rework key's PIN, which QA keeps")
	c.Flags().IntVar(&rework.fd, "rework-pin-fd", -1, "open descriptor that holds the new rework key's PIN")
	return c
}

// prepareHandover asks for everything before anything is done: approval and
// reason, unless they were given to the handover that was interrupted, and the
// PINs of the keys that are still to be made.
func prepareHandover(g *globals, spec, reason, curve string, rework secretFlags) (_ *handing, err error) {
	b, err := openBare(g)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	p, err := g.signIn(b.home)
	if err != nil {
		return nil, err
	}
	b.who = p.ID
	x := &handing{b: b}
	if x.curve, err = curves(curve); err != nil {
		return nil, err
	}
	pending, err := b.home.pendingHandover()
	switch {
	case err != nil:
		return nil, err
	case pending != nil && pending.Restore != nil:
		return nil, interrupted(b.home)
	case pending != nil:
		x.cfg = *pending
	default:
		if x.cfg, err = beginHandover(g, b.home, spec, reason); err != nil {
			return nil, err
		}
		x.cfg.Operator = b.who
	}
	if x.cfg.Keys.CA == nil {
		if x.pin, err = g.pin.readNew("new PIN of the new CA key"); err != nil {
			return nil, err
		}
	}
	if x.cfg.Keys.Rework == nil && (rework.file != "" || rework.fd >= 0) {
		x.rework, err = rework.readNew("new PIN of the new rework key")
	}
	return x, err
}

func beginHandover(g *globals, h *home, spec, reason string) (handoverConfig, error) {
	c := handoverConfig{Epoch: h.cfg.Epoch + 1, TPM: spec, Reason: reason}
	if spec == "" {
		c.TPM = h.cfg.TPM
	}
	switch {
	case !tpmSpecOK(c.TPM):
		return c, usage(fmt.Errorf("--tpm %q", c.TPM), "allowed: "+tpmSpecs)
	case reason == "":
		return c, usage(errors.New("a handover needs a reason"), "say why, for the ledger, with --reason")
	}
	var err error
	c.Approver, err = g.approvalIn(h)
	return c, err
}

// do makes the handover, or what is left of it. Each step finds out by itself
// whether it was done before the power failed.
func (x *handing) do(ctx context.Context) error {
	for _, step := range x.steps() {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// steps is the one list of what a handover does, in order. If the power fails
//
//	before save        nothing was done
//	during keys        handover.toml names the keys made so far; a key made in the
//	                   last instant may lie in the TPM unused
//	before ledger      the old epoch is the newest; the new keys are unused
//	before station     the new epoch has begun; station.toml names the old one
//	before end         all is done but that handover.toml is still there
//
// and the same command goes on from there.
func (x *handing) steps() []func(context.Context) error {
	return []func(context.Context) error{x.open, x.save, x.keys, x.ledger, x.certificates, x.station, x.end, x.try}
}

// open opens the new TPM. A handover that begins now is refused where there is
// nothing to hand over, and where the ledger is not what was written: the new
// key would vouch for it.
func (x *handing) open(ctx context.Context) error {
	h := x.b.home
	old := h.cfg
	h.cfg.TPM = x.cfg.TPM
	err := x.b.openTPM(ctx)
	h.cfg = old
	if err != nil || x.begun() {
		return err
	}
	found := 0
	for _, ref := range []*tpm.KeyRef{old.Keys.CA, old.Keys.Checkpoint} {
		if ref == nil {
			continue
		}
		_, err := x.b.tpm.Key(ctx, *ref, noPIN)
		switch {
		case err == nil:
			found++
		case !errors.Is(err, tpm.ErrNotFound) && !errors.Is(err, tpm.ErrOtherTPM):
			return unfit(fmt.Errorf("look for the old keys: %w", err), "see: station doctor")
		}
	}
	if found == 2 {
		return usage(errors.New("this TPM holds the station's keys: there is nothing to hand over"), "name the new TPM with --tpm; see: station doctor")
	}
	report, err := verifyLedger(ctx, h, "")
	if err == nil && !report.OK() {
		err = errors.New(report.Verdict())
	}
	if err != nil {
		return unfit(fmt.Errorf("the ledger: %w", err), "a new epoch begins only after a ledger that verifies; bring back a backup")
	}
	return nil
}

// begun tells whether handover.toml is there already.
func (x *handing) begun() bool { return exists(x.b.home.handoverPath()) }

func (x *handing) save(context.Context) error {
	raw, err := toml.Marshal(x.cfg)
	if err != nil {
		return err
	}
	if err := settings.Write(x.b.home.handoverPath(), raw, 0o600); err != nil {
		return unfit(err, "the home must be writable")
	}
	return nil
}

func (x *handing) keys(ctx context.Context) (err error) {
	if x.auth, err = makeAuth(x.b.home.authPathOf(x.cfg.Epoch)); err != nil {
		return err
	}
	return x.b.makeKeys(ctx, &x.cfg.Keys, keyPlan{
		curve: x.curve, pin: x.pin, auth: x.auth, rework: x.rework, created: func() error { return x.save(ctx) },
	})
}

// ledger begins the epoch. From here on the old keys are of no use to this
// station, should they turn up again.
func (x *handing) ledger(ctx context.Context) error {
	h, k, i := x.b.home, x.cfg.Keys, x.b.tpm.Info()
	c, err := ledgerConfig(ctx, x.b.tpm, k, x.auth, x.cfg.Operator, x.b.log)
	if err != nil {
		return unfit(err, "is this the TPM the handover was begun with?")
	}
	c.Path, c.Origin = h.ledgerPath(), originOf(h.cfg.Name, x.cfg.Epoch)
	err = ledger.NextEpoch(ctx, c, record.Body{
		Kind: record.KindHandover, Operator: x.cfg.Operator, Approver: x.cfg.Approver, Reason: x.cfg.Reason,
		Software: software(), TPM: tpmName(i), Simulated: i.Simulated,
	})
	if err != nil {
		return unfit(fmt.Errorf("begin epoch %d of the ledger: %w", x.cfg.Epoch, err), "see: station ledger verify")
	}
	return nil
}

// certificates moves what belongs to the old key out of the way: it is kept for
// the ledger's auditors.
func (x *handing) certificates(context.Context) error {
	from, to := x.b.home.path("ca"), x.b.home.pastCA(x.cfg.Epoch-1)
	names, err := os.ReadDir(from)
	if err == nil {
		err = os.MkdirAll(to, 0o700)
	}
	for _, n := range names {
		if err == nil && !strings.HasPrefix(n.Name(), pastPrefix) && x.b.home.cfg.Epoch < x.cfg.Epoch {
			err = os.Rename(filepath.Join(from, n.Name()), filepath.Join(to, n.Name()))
		}
	}
	if err != nil {
		return unfit(fmt.Errorf("keep the old certificates: %w", err), "the home must be writable")
	}
	return nil
}

// station names the new TPM, keys and epoch in station.toml.
func (x *handing) station(context.Context) error {
	c := &x.b.home.cfg
	c.Epoch, c.TPM, c.Keys = x.cfg.Epoch, x.cfg.TPM, x.cfg.Keys
	return x.b.home.save()
}

func (x *handing) end(context.Context) error {
	if err := os.Remove(x.b.home.handoverPath()); err != nil {
		return unfit(err, "the home must be writable")
	}
	return nil
}

// try opens the ledger as every command does from now on.
func (x *handing) try(ctx context.Context) error {
	err := x.b.tpm.Close() // a TPM takes one client
	x.b.tpm = nil
	if err != nil {
		return unfit(err, "see: station doctor")
	}
	return x.b.openLedger(ctx)
}

func (h *home) handoverPath() string { return h.path("handover.toml") }

// pendingHandover is the handover that was begun and not ended, nil if none was.
func (h *home) pendingHandover() (*handoverConfig, error) {
	raw, err := settings.Read(h.handoverPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var c handoverConfig
	if err == nil {
		err = settings.Decode(h.handoverPath(), raw, &c)
	}
	if err == nil && c.Epoch != h.cfg.Epoch && c.Epoch != h.cfg.Epoch+1 {
		err = fmt.Errorf("%s: epoch %d does not follow epoch %d of station.toml", h.handoverPath(), c.Epoch, h.cfg.Epoch)
	}
	if err != nil {
		return nil, unfit(err, "the station writes this file, nobody changes it; bring it back from a backup")
	}
	return &c, nil
}

// pastPrefix begins the names of folders in ca for keys of earlier epochs.
const pastPrefix = "epoch-"

func (h *home) pastCA(epoch int) string { return h.path("ca", fmt.Sprintf("%s%d", pastPrefix, epoch)) }
