// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/provision"
)

// signedRole is the role of who is at work; empty as long as nobody is registered.
func (b *bench) signedRole() string {
	if !b.signed {
		return ""
	}
	return string(b.role)
}

// signoffFlags are those of ledger sign-off.
type signoffFlags struct {
	scope        provision.Scope
	since, until string
	statement    provision.Statement
	show         bool
}

func newLedgerSignoff(g *globals) *cobra.Command {
	var f signoffFlags
	c := &cobra.Command{
		Use: "sign-off", Short: "sign for a shift, an order or a period", Args: cobra.NoArgs,
		Long: `sign-off records that a person of qa signs for entries, and for how the runs in
them ended: how many, how many passed, how many failed. Whoever verifies the
ledger counts again.

Without a selection it is the shift: all entries since the last sign-off that was
not of an order. --order is one work order, --since and --until a period, --from
and --to are entries of the newest epoch. --show tells what would be signed for
and signs nothing.`,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if f.scope.Since, err = parseMoment("--since", f.since); err != nil {
				return err
			}
			if f.scope.Until, err = parseMoment("--until", f.until); err != nil {
				return err
			}
			b, err := openLedger(c.Context(), g)
			if err != nil {
				return err
			}
			defer b.Close()
			return f.run(c, g, b.desk())
		},
	}
	v := c.Flags()
	v.StringVar(&f.scope.Order, "order", "", "one work order")
	v.StringVar(&f.since, "since", "", "not before this day or time, as 2026-11-22 or 2026-11-22T07:31:00Z")
	v.StringVar(&f.until, "until", "", "before this day or time")
	v.Int64Var(&f.scope.From, "from", 0, "first entry")
	v.Int64Var(&f.scope.To, "to", 0, "last entry")
	v.StringVar(&f.statement.Meaning, "meaning", "reviewed", "what the signature means, as reviewed or released")
	v.StringVar(&f.statement.Reason, "reason", "", "why, in your own words")
	v.BoolVar(&f.show, "show", false, "only tell what would be signed for")
	return c
}

func (f *signoffFlags) run(c *cobra.Command, g *globals, d provision.Desk) error {
	spans, err := d.Spans(c.Context(), f.scope)
	if err != nil {
		return judgeError(err)
	}
	var seqs []int64
	if !f.show {
		if seqs, err = d.SignOff(c.Context(), spans, f.statement); err != nil {
			return judgeError(err)
		}
	}
	if g.json {
		return printJSON(c, map[string]any{"event": "signoff", "seqs": append([]int64{}, seqs...), "spans": spanObjects(spans), "meaning": f.statement.Meaning})
	}
	tellSpans(c.OutOrStdout(), spans, seqs, f.statement.Meaning)
	return nil
}

func spanObjects(spans []provision.Span) []map[string]any {
	out := []map[string]any{}
	for _, s := range spans {
		out = append(out, map[string]any{
			"epoch": s.Epoch, "from": s.From, "to": s.To, "order": s.Order, "count": s.Count, "passed": s.Passed, "failed": s.Failed,
		})
	}
	return out
}

// tellSpans says what was signed for; without entries, what would be.
func tellSpans(w io.Writer, spans []provision.Span, seqs []int64, meaning string) {
	if len(spans) == 0 {
		fmt.Fprintln(w, "nothing to sign for: no run has ended since the last sign-off, of this order or in this time")
	}
	for i, s := range spans {
		what := "to be signed for"
		if i < len(seqs) {
			what = fmt.Sprintf("entry %d: %s", seqs[i], meaning)
		}
		if s.Order != "" {
			what += ", order " + s.Order
		}
		fmt.Fprintf(w, "%s: entries %d to %d of epoch %d, %d runs: %d passed, %d failed, %d not the units' fault\n",
			what, s.From, s.To, s.Epoch, s.Count, s.Passed, s.Failed, s.Count-s.Passed-s.Failed)
	}
}
