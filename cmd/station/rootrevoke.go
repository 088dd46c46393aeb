// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/authority"
)

func newRootRevoke(g *globals, f *rootFlags) *cobra.Command {
	v := authority.Revocation{}
	c := &cobra.Command{
		Use: "revoke", Short: "take a station back: revoke its intermediate or checkpoint key", Args: cobra.NoArgs,
		Long: `revoke records that a certificate of this root is not to be trusted any more.
There is no way back, so somebody else approves it. It takes effect where the
list of station root crl arrives: at stations, at verifiers, in the cloud.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if v.Serial == "" || v.Reason == "" {
				return usage(errors.New("--serial and --reason are needed"), "station root log shows serial numbers; reasons are those of RFC 5280, as keyCompromise")
			}
			// The root's machine has no register of operators: the names are
			// what the two people say, before the root's key holder.
			v.Operator, v.Approver = g.who(), g.approver
			switch v.Approver {
			case "":
				return usage(errors.New("this needs somebody's approval"), "name who approves with --approver")
			case v.Operator:
				return usage(errors.New("who approves must be somebody else than who acts"), "see --approver and --operator")
			}
			root, err := f.open()
			if err != nil {
				return err
			}
			defer root.Close()
			revoked, err := root.Revoke(v)
			if err != nil {
				return usage(err, "nothing was revoked; station root log shows what there is")
			}
			for _, cert := range revoked {
				fmt.Fprintf(c.OutOrStdout(), "revoked %s, serial %x, reason %s\n", cert.Subject, cert.SerialNumber, v.Reason)
			}
			left, err := root.Remaining(revoked[0])
			if err != nil {
				return usage(err, "it is revoked; station root log shows what there is")
			}
			for _, cert := range left {
				fmt.Fprintf(c.OutOrStdout(), "still good, of the same station: %s, serial %x\n", cert.Subject, cert.SerialNumber)
			}
			fmt.Fprintln(c.OutOrStdout(), "next: station root crl --out FILE, and bring the list to stations and verifiers")
			return nil
		},
	}
	c.Flags().StringVar(&v.Serial, "serial", "", "serial number of the certificate, in hex")
	c.Flags().StringVar(&v.Reason, "reason", "", "why: keyCompromise, superseded, cessationOfOperation, ...")
	return c
}
