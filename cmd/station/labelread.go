// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/label"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

func newLabelRead(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "read TEXT", Short: "is this label, as a scanner reads it, of this ledger?", Args: cobra.ExactArgs(1),
		Long: `read takes what a scanner reads from a label's code, "SERIAL WITNESS", and holds it
against the ledger: the entry, the unit, the tree that the witness names, and whether
what the label says still holds.`,
		RunE: func(c *cobra.Command, args []string) error {
			at := strings.LastIndexByte(args[0], ' ')
			serial := args[0][:max(at, 0)]
			w, err := record.ParseWitness(args[0][at+1:])
			if err != nil {
				return usage(err, `quote what the scanner reads: "SERIAL WITNESS"`)
			}
			h, err := openHome(g.home)
			if err != nil {
				return err
			}
			r, err := reader.Open(c.Context(), h.ledgerPath())
			if err != nil {
				return unfit(err, "see: station ledger verify")
			}
			defer r.Close()
			e, err := judgeLabel(c.Context(), r, serial, w)
			if err != nil {
				return err
			}
			if err := labelSince(c.Context(), r, e); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "genuine: unit %s %s, entry %d of %s, %s\n", e.Body.Serial, e.Body.Outcome, e.Seq, w.Origin, e.Body.Time)
			return nil
		},
	}
}

// labelSince refuses a label that the ledger made, and that is not true any more:
// its unit went to rework, was scrapped or did not pass again. A label of a unit that
// passed once more is as good as the newer one.
func labelSince(ctx context.Context, r *reader.Reader, e record.Entry) error {
	since := provision.StillTrue(ctx, r, e)
	refused := (*label.RefusedError)(nil)
	switch {
	case since == nil:
		return nil
	case !errors.As(since, &refused):
		return unfit(since, "see: station ledger verify")
	}
	newest, err := provision.EndOf(ctx, r, e.Body.UID)
	if err != nil {
		return noLabel(err)
	}
	if later := provision.StillTrue(ctx, r, newest); later != nil {
		since = later
	} else if newest.Body.Outcome == e.Body.Outcome && newest.Body.Serial == e.Body.Serial {
		return nil
	}
	return exit(exitUnits, fmt.Errorf("the label is genuine, but no longer true: %w", since), "see its history with: station unit SERIAL")
}

// judgeLabel holds a witness against the ledger: its tree must be the ledger's at
// that size, and the entry that unit's end.
func judgeLabel(ctx context.Context, r *reader.Reader, serial string, w record.Witness) (record.Entry, error) {
	not := func(format string, a ...any) error {
		return exit(exitUnits, fmt.Errorf("not genuine: "+format, a...), "keep the board and its label, and call QA")
	}
	e, err := r.Entry(ctx, w.Origin.Epoch, w.Seq)
	if err != nil {
		return e, not("this ledger has no entry %d in epoch %d", w.Seq, w.Origin.Epoch)
	}
	if e.Body.Station != w.Origin.Station {
		return e, usage(fmt.Errorf("the label is of %s, this ledger is of %s", w.Origin.Station, e.Body.Station), "ask that station")
	}
	size, err := r.Size(ctx, w.Origin.Epoch)
	if err != nil {
		return e, unfit(err, "see: station ledger verify")
	}
	if w.Size > size {
		return e, not("the label names a tree of %d entries, the ledger has %d", w.Size, size)
	}
	root, err := r.Root(ctx, w.Origin.Epoch, w.Size)
	if err != nil {
		return e, unfit(err, "see: station ledger verify")
	}
	switch {
	case [16]byte(root[:16]) != w.Root:
		return e, not("the tree of %d entries that the label names is not this ledger's", w.Size)
	case e.Body.Kind != record.KindEnd:
		return e, not("entry %d is no unit's end", w.Seq)
	case serial != "" && serial != e.Body.Serial:
		return e, not("entry %d is of unit %s, the label says %.80s", w.Seq, e.Body.Serial, serial)
	}
	return e, nil
}
