// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

func newLedgerCorrect(g *globals) *cobra.Command {
	var f provision.Correction
	c := &cobra.Command{
		Use: "correct ENTRY", Short: "record what an entry should have said; the entry itself stays", Args: cobra.ExactArgs(1),
		Long: `correct records a correction: which entry, which field, what stood there, what it
should have said, and why. The entry is never changed, nor what follows from it:
certificates, serial numbers that are taken, counters. Views show the correction
beside what was written: station unit, csv, xlsx and html exports.

ENTRY is the entry's number, or EPOCH/NUMBER; station unit and station ledger list
show it. What the station or the board found out for itself, such as an outcome,
can not be corrected. Fields: ` + strings.Join(record.Correctable(), ", ") + `.`,
		RunE: func(c *cobra.Command, args []string) error {
			b, err := openLedger(c.Context(), g)
			if err != nil {
				return err
			}
			defer b.Close()
			at, err := b.entryNamed(c.Context(), args[0])
			if err != nil {
				return err
			}
			f.Epoch, f.Seq = at.Epoch, at.Seq
			done, err := b.desk().Correct(c.Context(), f)
			if err != nil {
				return judgeError(err)
			}
			if g.json {
				return printJSON(c, map[string]any{
					"event": "correction", "seq": done.Seq, "epoch": done.Epoch, "entry": f.Seq, "field": f.Field, "old": done.Old, "new": f.New, "serial": done.Serial,
				})
			}
			fmt.Fprintf(c.OutOrStdout(), "entry %d corrects entry %d of epoch %d: %s, %s -> %s\n", done.Seq, f.Seq, done.Epoch, f.Field, quoted(done.Old), quoted(f.New))
			return nil
		},
	}
	c.Flags().StringVar(&f.Field, "field", "", strings.Join(record.Correctable(), ", "))
	c.Flags().StringVar(&f.New, "new", "", "what it should have said")
	c.Flags().StringVar(&f.Old, "old", "", "what you saw there; it is refused if another value stands there now")
	c.Flags().StringVar(&f.Reason, "reason", "", "why, in your own words")
	return c
}

// quoted is a value for people; where none stood, that is said.
func quoted(value string) string {
	if value == "" {
		return "nothing"
	}
	return fmt.Sprintf("%q", value)
}

// entryNamed reads where an entry stands: its number, in the newest epoch unless
// another is named before a slash.
func (b *bench) entryNamed(ctx context.Context, text string) (at reader.Cursor, err error) {
	if at, err = place(ctx, b.reader, text); err != nil {
		return at, usage(fmt.Errorf("entry %.40q", text), "NUMBER, or EPOCH/NUMBER: station ledger list shows it")
	}
	return at, nil
}

// judgeError says what a person can do about it.
func judgeError(err error) error {
	if errors.Is(err, provision.ErrRefused) {
		return usage(err, "nothing was recorded; see --help")
	}
	return unfit(err, "look whether it is on record: station ledger list --all")
}
