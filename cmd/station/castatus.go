// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/provision"
)

func newCAStatus(g *globals) *cobra.Command {
	var evidence bool
	var root string
	var trust trustFlags
	c := &cobra.Command{
		Use: "status", Short: "what the intermediate is and how long it lasts", Args: cobra.NoArgs,
		Long: `status shows the intermediate, the chain above it, until when it issues, and what
is to be done. With --evidence it checks again, from the ledger alone, what the
root found out about the TPM; with --vendor-roots or --ek-pin also whose it is.`,
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
			if err := showRetired(c, h); err != nil {
				return err
			}
			if !evidence {
				return nil
			}
			return showEvidence(c, h, root, &trust)
		},
	}
	c.Flags().BoolVar(&evidence, "evidence", false, "check the evidence for the TPM again, from the ledger")
	c.Flags().StringVar(&root, "root", "", "your own copy of the root certificate to judge by")
	trust.add(c)
	return c
}

// showEvidence judges the ledger's evidence for the TPM once more.
func showEvidence(c *cobra.Command, h *home, root string, trust *trustFlags) error {
	believed, err := trust.read()
	if err != nil {
		return err
	}
	a, err := h.anchors(root)
	if err != nil {
		return err
	}
	a.Trust = believed
	r, err := reader.Open(c.Context(), h.ledgerPath())
	if err != nil {
		return unfit(err, "see: station ledger verify")
	}
	defer r.Close()
	moment, err := r.Snapshot(c.Context())
	if err != nil {
		return unfit(err, "see: station ledger verify")
	}
	defer moment.Close()
	report, err := audit.Verify(c.Context(), moment, a)
	if err != nil {
		return unfit(fmt.Errorf("the ledger cannot be judged: %w", err), "see: station ledger verify")
	}
	w := c.OutOrStdout()
	for _, text := range report.TPM {
		fmt.Fprintln(w, "evidence    ", text)
	}
	for _, f := range report.Findings {
		fmt.Fprintln(w, "wrong       ", f)
	}
	if !report.OK() {
		return unfit(fmt.Errorf("the ledger has %d findings", report.Wrong), "see: station ledger verify")
	}
	return nil
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
		fmt.Fprintf(w, "%-12s %s\n", "list", listWords(l))
	}
	for _, r := range s.Remarks {
		fmt.Fprintln(w, r)
	}
}

// showRetired shows what issued once, and whether something is to issue next.
func showRetired(c *cobra.Command, h *home) error {
	retired, err := authority.Retired(h.path("ca"))
	if err != nil {
		return unfit(err, "the folder ca of the home was damaged; bring it back from a backup")
	}
	for _, r := range retired {
		cert := r.Intermediate()
		fmt.Fprintf(c.OutOrStdout(), "%-12s %s\n%12s serial %x, until %s\n", "retired", cert.Subject, "", cert.SerialNumber, cert.NotAfter.UTC().Format(time.DateOnly))
	}
	if h.cfg.Keys.Next != nil {
		fmt.Fprintln(c.OutOrStdout(), "a rotation is under way: have the root sign ca/request.pem, then install what comes back")
	}
	return nil
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
