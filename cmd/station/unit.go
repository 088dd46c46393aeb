// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

func newUnit(g *globals) *cobra.Command {
	var certs string
	c := &cobra.Command{
		Use: "unit SERIAL", Short: "everything known about a unit", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			h, err := openHome(g.home)
			if err != nil {
				return err
			}
			r, err := reader.Open(c.Context(), h.ledgerPath())
			if err != nil {
				return unfit(err, "see: station ledger verify")
			}
			defer r.Close()
			entries, err := r.Timeline(c.Context(), reader.Query{Serial: args[0]})
			if err != nil {
				return unfit(err, "see: station ledger verify")
			}
			if len(entries) == 0 {
				return usage(fmt.Errorf("no unit %q in the ledger", args[0]), "look it up with: station ledger list")
			}
			if certs != "" {
				return writeCert(c, r, entries, certs)
			}
			if g.json {
				return rawEntries(c.OutOrStdout(), entries)
			}
			return timeline(c.OutOrStdout(), entries)
		},
	}
	c.Flags().StringVar(&certs, "cert", "", "write the unit's live certificate to this file (PEM) instead")
	return c
}

func rawEntries(w io.Writer, entries []record.Entry) error {
	for _, e := range entries {
		o := struct {
			Epoch int             `json:"epoch"`
			Seq   int64           `json:"seq"`
			Body  json.RawMessage `json:"body"`
		}{e.Epoch, e.Seq, e.Raw}
		if err := json.NewEncoder(w).Encode(o); err != nil {
			return err
		}
	}
	return nil
}

func timeline(w io.Writer, entries []record.Entry) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "ENTRY\tTIME\tKIND\tBOARD\tWHAT\tOPERATOR")
	var corrections record.Corrections
	for _, e := range entries {
		corrections.Add(e)
	}
	for _, e := range entries {
		b := e.Body
		what := b.Outcome
		switch {
		case b.Kind == record.KindLabel:
			what = b.Action + " " + b.Template + " " + b.Printer + " " + b.Detail
		case b.Fault != "":
			what += " " + b.Fault + " " + b.Detail
		case b.CertSerial != "":
			what += " certificate " + b.CertSerial
		case b.SPKI != "":
			what += " key " + b.SPKI[:16]
		case b.Kind == record.KindCorrection:
			what = fmt.Sprintf("entry %d: %s: %s -> %s: %s", b.EntrySeq, b.What, quoted(b.Old), quoted(b.New), b.Reason)
		}
		for _, c := range corrections.Newest(e.Place()) {
			what += fmt.Sprintf(" [%s is %q by entry %d]", c.Body.What, c.Body.New, c.Seq)
		}
		if b.Approver != "" {
			what = strings.TrimPrefix(what+", ", ", ") + strings.Join(slices.DeleteFunc(
				[]string{b.Reason, b.Detail, "approved by " + b.Approver}, func(s string) bool { return s == "" }), ", ")
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n", e.Seq, b.Time, b.Kind, b.UID, oneLine(what), b.Operator)
	}
	return t.Flush()
}

// writeCert writes the certificate a relying party would be shown.
func writeCert(c *cobra.Command, r *reader.Reader, entries []record.Entry, path string) error {
	digest := ""
	for _, e := range entries {
		switch e.Body.Kind {
		case record.KindIssued, record.KindRenewed:
			digest = e.Body.Cert
		case record.KindRevoked:
			if e.Body.Cert == digest {
				digest = ""
			}
		}
	}
	if digest == "" {
		return usage(fmt.Errorf("unit %s has no live certificate", entries[0].Body.Serial), "see its timeline with: station unit")
	}
	der, err := r.Blob(c.Context(), digest)
	if err != nil {
		return unfit(err, "see: station ledger verify")
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}
