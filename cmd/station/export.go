// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/export"
	"provisioning.example/station/internal/record"
)

func newLedgerExport(g *globals) *cobra.Command {
	var format, out string
	var kinds []string
	c := &cobra.Command{
		Use: "export", Short: "write the ledger for others: csv, jsonl", Args: cobra.NoArgs,
		Long: `export writes the ledger to a file that appears whole or not at all. jsonl is the
evidence, the stored bytes; csv is a view for spreadsheets. The export itself is
recorded first.`,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case !slices.Contains(export.Formats(), format):
				return usage(fmt.Errorf("--format %q", format), "allowed: "+strings.Join(export.Formats(), ", "))
			case out == "":
				return usage(errors.New("--out is needed"), "name the file to write")
			}
			b, err := openLedger(c.Context(), g)
			if err != nil {
				return err
			}
			defer b.Close()
			err = b.note(c.Context(), record.Body{
				Kind: record.KindExport, Format: format, File: filepath.Base(out), Filter: strings.Join(kinds, " "),
			})
			if err != nil {
				return err
			}
			moment, err := b.reader.Snapshot(c.Context())
			if err != nil {
				return unfit(err, "see: station ledger verify")
			}
			defer moment.Close()
			res, err := export.File(c.Context(), out, format, moment, export.Options{Kinds: kinds})
			if err != nil {
				return usage(err, "nothing was left behind; name a writable file with --out")
			}
			fmt.Fprintf(c.ErrOrStderr(), "%d entries, %d bytes, SHA-256 %s\n", res.Rows, res.Bytes, res.SHA256)
			return nil
		},
	}
	c.Flags().StringVar(&format, "format", "csv", strings.Join(export.Formats(), " or "))
	c.Flags().StringVar(&out, "out", "", "the file to write")
	c.Flags().StringArrayVar(&kinds, "kind", nil, "only entries of this kind, may be repeated (end: how units ended)")
	return c
}
