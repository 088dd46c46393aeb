// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	plantdb "provisioning.example/station/internal/plant"
)

// plantFlags are what the commands of a plant have in common. They need no
// station and no home.
type plantFlags struct {
	db string
}

func newPlantCommand(g *globals) *cobra.Command {
	f := &plantFlags{}
	c := &cobra.Command{
		Use: "plant", Short: "bundles of many stations in one PostgreSQL: init, import, duplicates, quarantine, status",
		Long: `plant brings together what the stations of a plant export with
station ledger export --format bundle. It runs on any machine that reaches the
database; it needs no station and no TPM.

What --db does not say comes from PGHOST, PGDATABASE, PGUSER, PGPASSFILE,
PGSERVICEFILE, PGSSLMODE and so on, as with psql. A password does not belong
into --db, where everybody on the machine can read it: it comes from
~/.pgpass (or PGPASSFILE), a service file, or PGPASSWORD.`,
	}
	c.PersistentFlags().StringVar(&f.db, "db", "", "database: postgres://USER@HOST/NAME, or keywords as libpq takes them; without a password")
	c.AddCommand(newPlantInit(g), newPlantImport(g, f), newPlantDuplicates(g, f), newPlantQuarantine(g, f), newPlantStatus(g, f))
	return c
}

// open connects, and makes or migrates the tables.
func (f *plantFlags) open(c *cobra.Command) (*plantdb.Plant, error) {
	p, err := plantdb.Open(c.Context(), f.db)
	if errors.Is(err, plantdb.ErrPassword) {
		return nil, usage(err, "leave it out, and put it into ~/.pgpass, a service file or PGPASSWORD")
	}
	if err != nil {
		return nil, unfit(err, "does psql reach it with the same --db? its user must be able to create tables")
	}
	return p, nil
}

// errPlant is what to do about a plant that cannot be read or written.
func errPlant(err error) error {
	if errors.Is(err, plantdb.ErrChanged) {
		return unfit(err, "keep the database as it is, and import all bundles into a new one: they are the evidence")
	}
	return unfit(err, "nothing was imported of it; is the database reachable, and has it room?")
}

func newPlantDuplicates(g *globals, f *plantFlags) *cobra.Command {
	return &cobra.Command{
		Use: "duplicates", Short: "serials, boards and keys that more than one station has", Args: cobra.NoArgs,
		Long: `duplicates lists serials and boards that live units of two stations hold, and
public keys that two stations ever certified. What a station took back (rework,
scrap) counts no more, but for keys. Exit code 1 when there are any.`,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := f.open(c)
			if err != nil {
				return err
			}
			defer p.Close()
			all, err := p.Duplicates(c.Context())
			if err != nil {
				return errPlant(err)
			}
			if err := tellAll(c, g, all, "WHAT\tVALUE\tSTATION\tENTRY\tTIME\tSERIAL\tBOARD", func(h plantdb.Holder) string {
				return fmt.Sprintf("%s\t%s\t%s\t%s %d\t%s\t%s\t%s/%s", h.What, oneLine(h.Value), h.Station, h.Origin, h.Seq, h.Time, oneLine(h.Serial), h.Model, h.UID)
			}); err != nil || len(all) == 0 {
				return err
			}
			return exit(exitUnits, errors.New("more than one station has the same"), "QA finds out which unit is the right one; the other is revoked and scrapped at its station")
		},
	}
}

func newPlantQuarantine(g *globals, f *plantFlags) *cobra.Command {
	return &cobra.Command{
		Use: "quarantine", Short: "bundles that were not imported, and why", Args: cobra.NoArgs,
		Long: `quarantine lists bundles of which nothing was imported. A fork comes with two
signed checkpoints that cannot both be of one history (--json shows them whole):
the station was rolled back or copied.`,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := f.open(c)
			if err != nil {
				return err
			}
			defer p.Close()
			all, err := p.Quarantine(c.Context())
			if err != nil {
				return errPlant(err)
			}
			return tellAll(c, g, all, "SEEN\tREASON\tSTATION\tFILE\tSHA-256\tDETAIL", func(q plantdb.Quarantined) string {
				return fmt.Sprintf("%s\t%s\t%s\t%s\t%.16s\t%s", q.Seen.UTC().Format("2006-01-02 15:04:05"), q.Reason, oneLine(q.Station), oneLine(q.File), q.Digest, oneLine(q.Detail))
			})
		},
	}
}

func newPlantStatus(g *globals, f *plantFlags) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "what was imported of each station", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := f.open(c)
			if err != nil {
				return err
			}
			defer p.Close()
			all, err := p.Logs(c.Context())
			if err != nil {
				return errPlant(err)
			}
			return tellAll(c, g, all, "LOG\tENTRIES\tCHECKPOINT", func(l plantdb.Log) string {
				return fmt.Sprintf("%s\t%d\t%d", l.Origin, l.Size, l.Proven)
			})
		},
	}
}

// tellAll prints a table, or with --json one object a line.
func tellAll[T any](c *cobra.Command, g *globals, all []T, head string, line func(T) string) error {
	if g.json {
		out := json.NewEncoder(c.OutOrStdout())
		for _, v := range all {
			if err := out.Encode(v); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, head)
	for _, v := range all {
		fmt.Fprintln(t, line(v))
	}
	return t.Flush()
}
