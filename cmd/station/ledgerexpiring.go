// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// maxExpiringDays is further than any certificate lives.
const maxExpiringDays = 36500

// parseDays reads a number of days, as in 60d.
func parseDays(text string) (int, error) {
	days, err := strconv.Atoi(strings.TrimSuffix(text, "d"))
	if err != nil || !strings.HasSuffix(text, "d") || days < 0 || days > maxExpiringDays {
		return 0, usage(fmt.Errorf("--expiring %q", text), fmt.Sprintf("a number of days, 0d to %dd, as in 60d", maxExpiringDays))
	}
	return days, nil
}

// expiring lists the live certificates that end within some days, the first to
// end first, those that have ended included. It streams: the list may be long.
func expiring(c *cobra.Command, g *globals, r *reader.Reader, text string, now time.Time) error {
	days, err := parseDays(text)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
	if !g.json {
		fmt.Fprintln(t, "ENDS\tDAYS\tSERIAL\tBOARD\tCERTIFICATE\tPROFILE\tISSUER")
	}
	total, ended := 0, 0
	for e, err := range r.Expiring(c.Context(), now.AddDate(0, 0, days)) {
		if err != nil {
			return unfit(err, "see: station ledger verify")
		}
		end, err := record.ParseTime(e.Body.NotAfter)
		if err != nil {
			return unfit(err, "see: station ledger verify")
		}
		total++
		if now.After(end) {
			ended++
		}
		if err := tellExpiring(c, g, t, e, end, now); err != nil {
			return err
		}
		if total%100 == 0 { // columns are kept in step by the hundred, memory is not
			if err := t.Flush(); err != nil {
				return err
			}
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if g.json {
		return printJSON(c, map[string]any{"event": "summary", "days": days, "expiring": total - ended, "ended": ended})
	}
	fmt.Fprintf(c.ErrOrStderr(), "%d certificates end within %d days, %d have ended\n", total-ended, days, ended)
	return nil
}

func tellExpiring(c *cobra.Command, g *globals, t *tabwriter.Writer, e record.Entry, end, now time.Time) error {
	b := e.Body
	left := int(end.Sub(now).Hours() / 24)
	if now.After(end) {
		left = -int(now.Sub(end).Hours()/24) - 1
	}
	if g.json {
		return printJSON(c, map[string]any{
			"event": "certificate", "serial": b.Serial, "model": b.Model, "uid": b.UID, "cert_serial": b.CertSerial, "cert_sha256": b.Cert,
			"spki_sha256": b.SPKI, "not_after": end.UTC().Format(time.RFC3339), "days": left, "profile": b.Profile, "issuer_key": b.IssuerKey,
			"kind": b.Kind, "epoch": e.Epoch, "seq": e.Seq,
		})
	}
	_, err := fmt.Fprintf(t, "%s\t%d\t%s\t%s/%s\t%.16s\t%s\t%.16s\n", end.UTC().Format(time.DateOnly), left, oneLine(b.Serial), b.Model, b.UID, b.CertSerial, b.Profile, b.IssuerKey)
	return err
}

// overdue says which revocation list of this station should have been replaced
// by now, and how many revocations wait for one; "" when all is well.
func overdue(ctx context.Context, r *reader.Reader, issuerKey string, now time.Time) (string, error) {
	last, found, err := r.LastCRL(ctx, issuerKey)
	if err != nil {
		return "", err
	}
	waiting := 0
	for v, err := range r.Revocations(ctx, issuerKey) {
		if err != nil {
			return "", err
		}
		if !found && v.Body.Reason == "superseded" {
			continue // a run replaced it on the board itself; where lists are not used, that is no news
		}
		if !found || reader.ID(v.Epoch, v.Seq) > reader.ID(last.Epoch, last.Seq) {
			waiting++
		}
	}
	if waiting > 0 {
		return fmt.Sprintf("%d revoked certificates are on no revocation list yet", waiting), nil
	}
	if !found {
		return "", nil // nobody was ever given one
	}
	due, err := record.ParseTime(last.Body.NextUpdate)
	if err == nil && now.After(due) {
		return fmt.Sprintf("revocation list %d was to be replaced at %s", last.Body.Number, due.Format(time.DateTime)), nil
	}
	return "", err
}
