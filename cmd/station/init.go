// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/ledger"
)

type initFlags struct {
	tpm    string
	name   string
	curve  string
	rework secretFlags
}

func newInit(g *globals) *cobra.Command {
	f := initFlags{rework: secretFlags{fd: -1}}
	c := &cobra.Command{
		Use: "init", Short: "make a station's home: configuration, TPM keys, empty ledger", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			pin, err := g.pin.readNew("new PIN of the CA key")
			if err != nil {
				return err
			}
			var rework []byte
			if f.rework.file != "" || f.rework.fd >= 0 {
				if rework, err = f.rework.readNew("new PIN of the rework key"); err != nil {
					return err
				}
			}
			if err := initHome(c.Context(), g, f, pin, rework); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "made the home of station %s in %s\n", f.name, g.home)
			if rework == nil {
				fmt.Fprintln(c.OutOrStdout(), "without --rework-pin-file there is no rework key: boards are locked for good")
			}
			fmt.Fprintln(c.OutOrStdout(), "next: station ca request, and a product in products/NAME.toml, named in station.toml")
			return nil
		},
	}
	c.Flags().StringVar(&f.tpm, "tpm", "", "the TPM: "+tpmSpecs)
	c.Flags().StringVar(&f.name, "name", "plant/station", "the station's name, PLANT/STATION")
	c.Flags().StringVar(&f.curve, "curve", "P-256", "curve of the CA key: P-256 or P-384")
	c.Flags().StringVar(&f.rework.file, "rework-pin-file", "", "file that holds the rework key's PIN, which QA keeps")
	c.Flags().IntVar(&f.rework.fd, "rework-pin-fd", -1, "open descriptor that holds the rework key's PIN")
	return c
}

// initHome makes a home. What is left of one that could not be finished is
// taken away again, the TPM's keys excepted: nothing refers to them.
func initHome(ctx context.Context, g *globals, f initFlags, pin, rework []byte) (err error) {
	curve, err := curves(f.curve)
	switch {
	case !tpmSpecOK(f.tpm):
		return usage(fmt.Errorf("--tpm %q", f.tpm), "allowed: "+tpmSpecs)
	case authority.CheckStation(f.name) != nil:
		return usage(authority.CheckStation(f.name), "choose another --name")
	case err != nil:
		return err
	}
	made := !exists(g.home)
	h, err := makeHome(g.home, homeConfig{
		Name: f.name, Epoch: 1, TPM: f.tpm, Slots: defaultSlots, MinFree: defaultMinFree,
	})
	if err != nil {
		return err
	}
	defer func() {
		h.release()
		if err != nil && made {
			err = errors.Join(err, os.RemoveAll(h.dir))
		}
	}()
	return fillHome(ctx, g, h, curve, pin, rework)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// fillHome makes the keys and the ledger. station.toml is written last: a
// folder without it is no home.
func fillHome(ctx context.Context, g *globals, h *home, curve elliptic.Curve, pin, rework []byte) error {
	log, err := g.logger()
	if err != nil {
		return err
	}
	b := &bench{home: h, log: log, who: g.who()}
	if err := b.openTPM(ctx); err != nil {
		return err
	}
	defer func() { b.tpm.Close() }()
	auth, err := makeAuth(h.authPath())
	if err != nil {
		return err
	}
	k := &h.cfg.Keys
	if err := b.makeKeys(ctx, k, keyPlan{curve: curve, pin: pin, auth: auth, rework: rework}); err != nil {
		return err
	}
	c, err := ledgerConfig(ctx, b.tpm, *k, auth, b.who, log)
	if err != nil {
		return unfit(err, "see: station doctor")
	}
	c.Path, c.Origin = h.ledgerPath(), h.origin()
	err = ledger.Create(ctx, c)
	if err != nil {
		return unfit(fmt.Errorf("make the ledger %s: %w", filepath.Base(h.ledgerPath()), err), "the home must be writable")
	}
	return h.save()
}
