// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/label"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

type labelPrintFlags struct {
	printer string
	copies  int
	reason  string
	missing bool
	since   time.Duration
}

func newLabelPrint(g *globals) *cobra.Command {
	var f labelPrintFlags
	c := &cobra.Command{
		Use: "print [SERIAL...]", Short: "print labels again, or those that are missing",
		Long: `print makes the labels of units from the ledger and prints them: PASS for a unit
whose newest run passed, FAIL with the fault for one that failed. It is recorded
who printed what. With --missing it prints the labels of all units that ended
since --since and of which the ledger has no printed label.`,
		RunE: func(c *cobra.Command, args []string) error {
			if f.missing == (len(args) > 0) {
				return usage(errors.New("either units are named, or those whose labels are missing"), "station label print SERIAL, or station label print --missing")
			}
			return labelPrint(c, g, f, args)
		},
	}
	c.Flags().StringVar(&f.printer, "printer", "", "another printer than the station's: "+label.PrinterSpecs)
	c.Flags().IntVar(&f.copies, "copies", 1, "how many of each")
	c.Flags().StringVar(&f.reason, "reason", "", "why, for the record")
	c.Flags().BoolVar(&f.missing, "missing", false, "units that ended and have no printed label")
	c.Flags().DurationVar(&f.since, "since", 24*time.Hour, "how far --missing looks back")
	return c
}

func labelPrint(c *cobra.Command, g *globals, f labelPrintFlags, units []string) (err error) {
	ctx := c.Context()
	if f.copies < 1 || f.copies > label.MaxCopies {
		return usage(fmt.Errorf("--copies %d", f.copies), fmt.Sprintf("1 to %d", label.MaxCopies))
	}
	b, err := openLedger(ctx, g)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	var cfg labelConfig
	if b.home.cfg.Label != nil {
		cfg = *b.home.cfg.Label
	}
	if f.printer != "" {
		cfg.Printer = f.printer
	}
	if cfg.Printer == "" {
		return usage(errors.New("this station has no printer"), "set printer in [label] of station.toml, or use --printer")
	}
	l, err := b.newLabels(cfg, b.home.productIfAny())
	if err != nil {
		return err
	}
	jobs, err := b.labelJobs(ctx, l, f, units)
	if err != nil {
		return err
	}
	return printJobs(ctx, c, l, jobs)
}

// labelJobs are the labels asked for. Nothing is printed when one of them cannot be.
func (b *bench) labelJobs(ctx context.Context, l *provision.Labels, f labelPrintFlags, units []string) ([]label.Job, error) {
	var ends []record.Entry
	if f.missing {
		var err error
		if ends, err = l.Missing(ctx, time.Now().Add(-f.since)); err != nil {
			return nil, unfit(err, "see: station ledger verify")
		}
	}
	for _, unit := range units {
		_, u, err := l.Preview(ctx, unit)
		if err != nil {
			return nil, noLabel(err)
		}
		ends = append(ends, u.End)
	}
	var jobs []label.Job
	for _, e := range ends {
		jobs = append(jobs, label.Job{Epoch: e.Epoch, Seq: e.Seq, Copies: f.copies, Again: !f.missing, Operator: b.who, Word: f.reason})
	}
	return jobs, nil
}

// printJobs stops at the first label that the printer does not take.
func printJobs(ctx context.Context, c *cobra.Command, l *provision.Labels, jobs []label.Job) error {
	for i, j := range jobs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.PrintNow(ctx, j); err != nil {
			return unfit(fmt.Errorf("%d of %d labels were printed: %w", i, len(jobs), err), "see to the printer, then print the rest; what was printed is on record")
		}
		fmt.Fprintf(c.OutOrStdout(), "printed: entry %d, %d copies\n", j.Seq, j.Copies)
	}
	if len(jobs) == 0 {
		fmt.Fprintln(c.OutOrStdout(), "no label is missing")
	}
	return nil
}
