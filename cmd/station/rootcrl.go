// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/settings"
)

func newRootCRL(f *rootFlags) *cobra.Command {
	var out string
	days := 180
	var number int64
	c := &cobra.Command{
		Use: "crl", Short: "sign the list of what the root revoked", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if out == "" {
				return usage(errors.New("--out is needed"), "--out is the list, which stations take with: station ca install FILE")
			}
			if err := lasting("next-days", days, 3660); err != nil {
				return err
			}
			if number < 0 {
				return usage(fmt.Errorf("--number %d", number), "1 or more: greater than that of every list before")
			}
			root, err := f.open()
			if err != nil {
				return err
			}
			defer root.Close()
			list, err := root.CRLFrom(number, time.Duration(days)*day, time.Time{})
			if err != nil {
				return usage(err, "nothing was signed")
			}
			if err := settings.Write(out, authority.EncodeCRL(list), 0o644); err != nil {
				return usage(err, "name a writable file with --out, and sign another list")
			}
			fmt.Fprintf(c.OutOrStdout(), "list %d: %d revoked, next by %s\n", list.Number, len(list.RevokedCertificateEntries), list.NextUpdate.Format(time.DateOnly))
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "the list, PEM")
	c.Flags().Int64Var(&number, "number", 0, "the least number to give it, where another program signed lists before, or the record is an old copy")
	c.Flags().IntVar(&days, "next-days", days, "days after which the next list is due")
	return c
}
