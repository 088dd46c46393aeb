// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/authority"
)

func newRootLog(f *rootFlags) *cobra.Command {
	return &cobra.Command{
		Use: "log", Short: "what this root has done: its record, checked", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			entries, err := authority.RootLog(f.dir)
			if err != nil {
				return usage(err, "name the root's folder with --root; a record that was changed is evidence: keep it")
			}
			asJSON, _ := c.Flags().GetBool("json")
			for _, e := range entries {
				if asJSON {
					err = json.NewEncoder(c.OutOrStdout()).Encode(logLine(e))
				} else {
					_, err = fmt.Fprintf(c.OutOrStdout(), "%s  %-12s  %s\n", e.Time.Format(time.DateTime), e.Kind, describe(e))
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// describe says in a line what an entry is about.
func describe(e authority.RootEntry) string {
	switch e.Kind {
	case "challenge":
		return fmt.Sprintf("%s  %s  EK %s, %s  until %s", e.ID, e.Origin, e.EK, e.By, e.Expires.Format(time.DateTime))
	case "closed":
		return e.ID + "  answered"
	case "crl":
		return fmt.Sprintf("%d  %d revoked  next by %s", e.CRL.Number, len(e.CRL.RevokedCertificateEntries), e.CRL.NextUpdate.Format(time.DateOnly))
	case "revoked":
		return fmt.Sprintf("%x  %s  %s, by %s, approved by %s", e.Certificate.SerialNumber, e.Certificate.Subject, e.Reason, e.Operator, e.Approver)
	}
	text := fmt.Sprintf("%x  %s  until %s", e.Certificate.SerialNumber, e.Certificate.Subject, e.Certificate.NotAfter.Format(time.DateOnly))
	if e.TPM != "" {
		text += "  " + e.TPM
	}
	return text
}

// logLine is an entry for programs.
func logLine(e authority.RootEntry) map[string]any {
	out := map[string]any{"seq": e.Seq, "time": e.Time.UTC().Format(time.RFC3339), "kind": e.Kind}
	for name, value := range map[string]string{
		"origin": e.Origin, "tpm": e.TPM, "id": e.ID, "ek": e.EK, "by": e.By, "reason": e.Reason, "operator": e.Operator, "approver": e.Approver,
	} {
		if value != "" {
			out[name] = value
		}
	}
	if e.Certificate != nil {
		out["serial"], out["subject"] = fmt.Sprintf("%x", e.Certificate.SerialNumber), e.Certificate.Subject.String()
	}
	if e.CRL != nil {
		out["number"], out["next_update"] = e.CRL.Number, e.CRL.NextUpdate.UTC().Format(time.RFC3339)
	}
	return out
}
