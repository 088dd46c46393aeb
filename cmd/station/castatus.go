// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/provision"
)

func newCAStatus(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "what the intermediate is and how long it lasts", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			h, err := openHome(g.home)
			if err != nil {
				return err
			}
			s, err := authority.ReadStatus(h.path("ca"), longest(h), time.Now())
			if err != nil {
				return unfit(err, "the folder ca of the home was damaged; bring it back from a backup")
			}
			if s.Installed == nil {
				return unfit(authority.ErrNotInstalled, "install one: station ca request, station root sign, station ca install")
			}
			showStatus(c, s)
			return nil
		},
	}
}

func showStatus(c *cobra.Command, s *authority.Status) {
	w, in := c.OutOrStdout(), s.Installed
	show := func(what string, cert *x509.Certificate) {
		fmt.Fprintf(w, "%-12s %s\n%12s serial %x, until %s\n", what, cert.Subject, "", cert.SerialNumber, cert.NotAfter.UTC().Format(time.DateOnly))
	}
	show("issuing", in.Intermediate())
	fmt.Fprintf(w, "%12s issues until %s\n", "", s.IssuesUntil.UTC().Format(time.DateOnly))
	for _, up := range in.Chain[1:] {
		show("above", up)
	}
	if in.Checkpoint != nil {
		show("checkpoint", in.Checkpoint)
	}
	for _, l := range in.CRLs {
		fmt.Fprintf(w, "%-12s %s\n", "revoked", listWords(l))
	}
	for _, r := range s.Remarks {
		fmt.Fprintln(w, r)
	}
}

// longest is the lifetime of the longest profile that is known here: that of
// the product's profile, else a year.
func longest(h *home) time.Duration {
	var p *issuer.Profile
	product, err := provision.LoadProduct(h.path("products", h.cfg.Product+".toml"))
	if err == nil {
		p, err = loadProfile(h, product.Profile())
	}
	if err != nil {
		return 365 * day
	}
	return p.Lifetime() // 0, without end: the intermediate has none either
}
