// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/provision"
)

func newScrap(g *globals) *cobra.Command {
	var w whyFlags
	var uid string
	c := &cobra.Command{
		Use: "scrap SERIAL", Short: "take a unit out for good and revoke its certificates", Args: cobra.MaximumNArgs(1),
		Long: `scrap takes a unit out for good: its certificates are revoked, its board is
refused from then on, its serial number may go on another board. There is no way
back, so somebody else approves it. The next revocation list names the
certificates: station ca crl.

` + reasonsText(),
		RunE: func(c *cobra.Command, args []string) error {
			name := provision.UnitName{UID: strings.ToLower(uid)}
			if len(args) == 1 {
				name.Serial = args[0]
			}
			if name.Serial == "" && name.UID == "" {
				return usage(errors.New("no unit is named"), "name its serial number, or its board with --uid")
			}
			return g.withdraw(c, &w, func(d provision.Desk, why provision.Why) (*provision.Withdrawn, error) {
				return d.Scrap(c.Context(), name, why)
			}, "scrapped")
		},
	}
	w.add(c)
	c.Flags().StringVar(&uid, "uid", "", "the board's ID in hex, where the serial number is not enough")
	return c
}

// whyFlags say why something is taken back.
type whyFlags struct{ reason, note string }

func (w *whyFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&w.reason, "reason", "", "why: one of the reasons above")
	c.Flags().StringVar(&w.note, "note", "", "why, in your own words")
}

// reasonsText is the table of reasons for the help.
func reasonsText() string {
	var b strings.Builder
	b.WriteString("Reasons (RFC 5280 5.3.1):\n")
	for _, r := range issuer.RevocationReasons() {
		fmt.Fprintf(&b, "  %-21s %s\n", r.Name, r.Doc)
	}
	return strings.TrimRight(b.String(), "\n")
}

// withdraw asks for approval, does what cannot be undone and tells what was.
func (g *globals) withdraw(c *cobra.Command, w *whyFlags, do func(provision.Desk, provision.Why) (*provision.Withdrawn, error), word string) error {
	if _, err := issuer.RevocationReasonNamed(w.reason); err != nil {
		return usage(err, "say why with --reason; --help explains each")
	}
	why := provision.Why{Reason: w.reason, Note: w.note}
	var err error
	if why.Approver, err = g.approval(); err != nil {
		return err
	}
	b, err := openLedger(c.Context(), g)
	if err != nil {
		return err
	}
	defer b.Close()
	if why.Approver == b.who {
		return usage(errors.New("who approves must be somebody else than who acts"), "see --approver and --operator")
	}
	done, err := do(b.desk(), why)
	if errors.Is(err, provision.ErrRefused) {
		return usage(err, "nothing was changed")
	}
	if err != nil {
		return unfit(err, "look whether it is on record: station ledger list --all")
	}
	return tellWithdrawn(c, g, done, word)
}

func tellWithdrawn(c *cobra.Command, g *globals, done *provision.Withdrawn, word string) error {
	if g.json {
		return printJSON(c, map[string]any{
			"event": word, "serial": done.Serial, "model": done.Model, "uid": done.UID, "revoked": append([]string{}, done.Certificates...), "seq": done.Seq,
		})
	}
	what := "certificate"
	if done.UID != "" {
		what = fmt.Sprintf("unit %s (board %s/%s)", done.Serial, done.Model, done.UID)
	}
	fmt.Fprintf(c.OutOrStdout(), "%s %s, entry %d\n", word, what, done.Seq)
	for _, s := range done.Certificates {
		fmt.Fprintf(c.OutOrStdout(), "revoked certificate %s\n", s)
	}
	if len(done.Certificates) > 0 {
		fmt.Fprintln(c.OutOrStdout(), "next: station ca crl, and bring the list to the servers")
	}
	return nil
}

// desk is where units are dealt with that are not on this bench.
func (b *bench) desk() provision.Desk {
	return provision.Desk{Ledger: b.ledger, Operator: b.who, Role: b.signedRole(), Software: software()}
}
