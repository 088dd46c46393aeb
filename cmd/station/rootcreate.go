// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/authority"
)

func newRootCreate(f *rootFlags) *cobra.Command {
	var cn, org, curve string
	var years int
	var forever bool
	c := &cobra.Command{
		Use: "create", Short: "make a root: an encrypted key file and its certificate", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if cn == "" || len(cn) > 64 {
				return usage(errors.New("--cn is needed"), "the root's common name, 1 to 64 bytes, as it shall stand in its certificate")
			}
			on, err := curves(curve)
			if err != nil {
				return err
			}
			phrase, err := f.pass.readNew("new passphrase of the root key")
			if err != nil {
				return err
			}
			subject := pkix.Name{CommonName: cn}
			if org != "" {
				subject.Organization = []string{org}
			}
			r, err := authority.CreateRoot(f.dir, authority.RootConfig{Subject: subject, Years: years, Forever: forever, Curve: on}, phrase)
			if err != nil {
				return usage(err, "a root is never overwritten; its folder must be new, its passphrase have 12 bytes or more")
			}
			defer r.Close()
			fmt.Fprintf(c.OutOrStdout(), "made root %s, valid until %s, in %s\n", r.Certificate().Subject, r.Certificate().NotAfter.Format(time.DateOnly), f.dir)
			return nil
		},
	}
	c.Flags().StringVar(&cn, "cn", "", "common name of the root")
	c.Flags().StringVar(&org, "org", "", "organization of the root")
	c.Flags().StringVar(&curve, "curve", "P-256", "curve of the root key: P-256 or P-384; boards must be able to verify it")
	c.Flags().IntVar(&years, "years", 20, "years of validity, 1 to 50")
	c.Flags().BoolVar(&forever, "no-expiry", false, "valid without an end, for device identities that have none (profile idevid)")
	return c
}
