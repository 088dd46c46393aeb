// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/settings"
)

func newLedger(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "ledger", Short: "what happened: list, verify, correct, sign off, export"}
	c.AddCommand(newLedgerList(g), newLedgerVerify(g), newLedgerExport(g), newLedgerCorrect(g), newLedgerSignoff(g), newLedgerFilter(g), newLedgerCosign(g), newLedgerBackup(g), newLedgerRestore(g))
	return c
}

// reading opens a home's ledger for reading; the station may work on.
func reading(ctx context.Context, g *globals) (*home, *reader.Reader, error) {
	h, err := openHome(g.home)
	if err != nil {
		return nil, nil, err
	}
	r, err := reader.Open(ctx, h.ledgerPath())
	if err != nil {
		return nil, nil, unfit(err, ledgerHint(err))
	}
	return h, r, nil
}

func newLedgerList(g *globals) *cobra.Command {
	var f reader.Filter
	var limit int
	var before string
	var all bool
	var ending string
	c := &cobra.Command{
		Use: "list", Short: "how units ended, newest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if limit < 1 || limit > reader.MaxPage {
				return usage(fmt.Errorf("--limit %d", limit), fmt.Sprintf("1 to %d", reader.MaxPage))
			}
			_, r, err := reading(c.Context(), g)
			if err != nil {
				return err
			}
			defer r.Close()
			if ending != "" {
				return expiring(c, g, r, ending, time.Now())
			}
			if !all {
				f.Kinds = []string{record.KindEnd}
			}
			from := reader.Cursor{}
			if before != "" {
				if from, err = place(c.Context(), r, before); err != nil {
					return err
				}
			}
			page, next, more, err := r.Page(c.Context(), f, from, limit)
			if err != nil {
				return unfit(err, "see: station ledger verify")
			}
			if g.json {
				return rawEntries(c.OutOrStdout(), page)
			}
			if err := listing(c, page); err != nil || !more {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "older ones: --before %d/%d\n", next.Epoch, next.Seq)
			return nil
		},
	}
	c.Flags().IntVar(&limit, "limit", 50, "how many")
	c.Flags().StringVar(&before, "before", "", "only entries before this one: NUMBER, or EPOCH/NUMBER")
	c.Flags().StringVar(&ending, "expiring", "", "instead: live certificates that end within so many days, as in 60d")
	c.Flags().BoolVar(&all, "all", false, "every kind of entry, not only how units ended")
	c.Flags().StringVar(&f.SerialPrefix, "serial", "", "serials that begin so")
	c.Flags().StringVar(&f.UID, "uid", "", "one board")
	c.Flags().StringVar(&f.Outcome, "outcome", "", "passed, failed, error or aborted")
	c.Flags().StringVar(&f.Fault, "fault", "", "one fault code")
	c.Flags().StringVar(&f.Order, "order", "", "one work order")
	return c
}

// place reads where an entry stands: its number, in the newest epoch unless
// another is named before a slash.
func place(ctx context.Context, r *reader.Reader, text string) (at reader.Cursor, err error) {
	epoch, seq, named := strings.Cut(text, "/")
	if !named {
		epoch, seq = "", text
		if at.Epoch, _, err = r.Last(ctx); err != nil {
			return at, unfit(err, "see: station ledger verify")
		}
	} else if at.Epoch, err = strconv.Atoi(epoch); err != nil || at.Epoch < 1 || at.Epoch > record.MaxEpoch {
		return at, usage(fmt.Errorf("--before %.40q", text), "NUMBER, or EPOCH/NUMBER")
	}
	if at.Seq, err = strconv.ParseInt(seq, 10, 64); err != nil || at.Seq < 1 || at.Seq >= 1<<40 {
		return at, usage(fmt.Errorf("--before %.40q", text), "NUMBER, or EPOCH/NUMBER")
	}
	return at, nil
}

func listing(c *cobra.Command, page []record.Entry) error {
	t := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "ENTRY\tTIME\tKIND\tSERIAL\tOUTCOME\tFAULT\tCERTIFICATE\tOPERATOR")
	for _, e := range page {
		b := e.Body
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%.16s\t%s\n", e.Seq, b.Time, b.Kind, b.Serial, b.Outcome, b.Fault, b.CertSerial, b.Operator)
	}
	return t.Flush()
}

func readCertificate(path string) (*x509.Certificate, error) {
	raw, err := settings.Read(path)
	if err != nil {
		return nil, err
	}
	b, _ := pem.Decode(raw)
	if b == nil || b.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return x509.ParseCertificate(b.Bytes)
}

// writeChains writes each passed unit's chain as SERIAL.pem, leaf first.
func (b *bench) writeChains(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return b.reader.Scan(ctx, b.ledger.Origin().Epoch, 1, func(e record.Entry) error {
		if e.Body.Kind != record.KindEnd || e.Body.Outcome != record.Passed {
			return nil
		}
		leaf, err := b.reader.Blob(ctx, e.Body.Cert)
		if err != nil {
			return err
		}
		var out []byte
		for _, der := range b.issuer.Chain(leaf) {
			out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
		}
		return settings.Write(filepath.Join(dir, fileName(e.Body.Serial)+".pem"), out, 0o644)
	})
}

// fileName makes a serial a plain file name: it may hold slashes and colons.
func fileName(serial string) string {
	out := []byte(serial)
	for i, c := range out {
		if c == '/' || c == ':' || c == ' ' {
			out[i] = '_'
		}
	}
	return string(out)
}
