// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/provision"
)

// newSelfcheck tries the bench with a unit that is known to be good.
func newSelfcheck(g *globals) *cobra.Command {
	var port string
	c := &cobra.Command{
		Use: "selfcheck [SERIAL]", Short: "try the bench with the golden unit, at the start of a shift", Args: cobra.MaximumNArgs(1),
		Long: `selfcheck tries port, cable, fixture, TPM and ledger with a unit that passed here and
is kept for this: golden in station.toml names it, or the argument. The board is read
back and compared with the ledger, proves its key, restarts and proves it again;
nothing on it changes. How it went is in the ledger. With golden_every in station.toml
no board is started when the last check is older, or did not pass.`,
		RunE: func(c *cobra.Command, args []string) (err error) {
			b, err := openLedger(c.Context(), g)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, b.Close()) }()
			serial := b.home.cfg.Golden
			if len(args) == 1 {
				serial = args[0]
			}
			if serial == "" {
				return usage(errors.New("no golden unit is named"), "name its serial number, or set golden in station.toml")
			}
			return b.selfcheck(c, g, serial, port)
		},
	}
	c.Flags().StringVar(&port, "port", "", "the golden unit's port (default: the only one that holds a board of the product)")
	return c
}

func (b *bench) selfcheck(c *cobra.Command, g *globals, serial, port string) error {
	line, err := b.lineTo(g, port)
	if err != nil {
		return err
	}
	seq, err := b.desk().Golden(c.Context(), provision.UnitName{Serial: serial}, line)
	switch {
	case errors.Is(err, provision.ErrGolden):
		return unfit(fmt.Errorf("%w (entry %d)", err, seq), "look at port, cable and fixture, then check again; do not start the line before")
	case errors.Is(err, provision.ErrRefused):
		return usage(err, "name a unit that passed here: station ledger list --outcome passed")
	case err != nil:
		return unfit(err, "see: station doctor")
	}
	if g.json {
		return printJSON(c, map[string]any{"event": "selfcheck", "serial": serial, "outcome": "passed", "port": line.Port, "seq": seq})
	}
	fmt.Fprintf(c.OutOrStdout(), "the golden unit %s passed at %s, entry %d\n", serial, line.Port, seq)
	return nil
}

// goldenFit refuses to start the line when the golden unit was not tried for too
// long, or did not pass when it was tried last.
func (b *bench) goldenFit(ctx context.Context) error {
	every, serial := time.Duration(b.home.cfg.GoldenEvery), b.home.cfg.Golden
	if every == 0 || serial == "" {
		return nil
	}
	last, err := provision.LastGolden(ctx, b.reader, serial)
	if err != nil {
		return unfit(err, "see: station ledger verify")
	}
	switch {
	case last.At.IsZero():
		err = fmt.Errorf("the golden unit %s passed never, every %v is wanted", serial, every)
	case !last.Passed:
		err = fmt.Errorf("the golden unit %s did not pass at %s", serial, last.At.Local().Format(time.DateTime))
	case time.Since(last.At) > every:
		err = fmt.Errorf("the golden unit %s passed last at %s, every %v is wanted", serial, last.At.Local().Format(time.DateTime), every)
	default:
		return nil
	}
	return unfit(err, "plug it in and give: station selfcheck")
}

func (c *homeConfig) goldenOK() bool {
	return c.GoldenEvery == 0 || c.GoldenEvery.ok() && c.Golden != ""
}
