// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/ledger/reader"
)

// protocolVersion is the version of the enrollment protocol (docs/protocol.md)
// this program speaks.
const protocolVersion = 1

func newVersion(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "version, build, protocol and schema", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			v := struct {
				Version  string `json:"version"`
				Build    string `json:"build"`
				Protocol int    `json:"protocol"`
				Schema   int    `json:"schema"`
				Go       string `json:"go"`
			}{version, buildName, protocolVersion, reader.SchemaVersion, runtime.Version()}
			if g.json {
				return json.NewEncoder(c.OutOrStdout()).Encode(v)
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "station %s (%s), protocol %d, ledger schema %d, %s\n",
				v.Version, v.Build, v.Protocol, v.Schema, v.Go)
			return err
		},
	}
}
