// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/provision"
)

func newCARevoke(g *globals) *cobra.Command {
	var w whyFlags
	var serial, unit, uid string
	c := &cobra.Command{
		Use: "revoke", Short: "revoke a certificate, or all of a unit", Args: cobra.NoArgs,
		Long: `revoke puts on record that a certificate is not to be trusted any more: one by
its own serial number, or all that a unit has and that have not ended. The unit
itself stays; its board gets no other certificate for the same key. There is no
way back, so somebody else approves it. The next revocation list names the
certificates: station ca crl.

` + reasonsText(),
		RunE: func(c *cobra.Command, _ []string) error {
			if (serial == "") == (unit == "" && uid == "") {
				return usage(errors.New("name either a certificate or a unit"), "--serial is a certificate's serial number, --unit a unit's")
			}
			return g.withdraw(c, &w, func(d provision.Desk, why provision.Why) (*provision.Withdrawn, error) {
				if serial != "" {
					return d.RevokeCertificate(c.Context(), serial, why)
				}
				return d.RevokeUnit(c.Context(), provision.UnitName{Serial: unit, UID: strings.ToLower(uid)}, why)
			}, "revoked")
		},
	}
	w.add(c)
	c.Flags().StringVar(&serial, "serial", "", "serial number of the certificate, in hex")
	c.Flags().StringVar(&unit, "unit", "", "serial number of the unit")
	c.Flags().StringVar(&uid, "uid", "", "the unit's board ID in hex, where its serial number is not enough")
	return c
}

func printJSON(c *cobra.Command, v any) error { return json.NewEncoder(c.OutOrStdout()).Encode(v) }
