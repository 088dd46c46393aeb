// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/port"
)

func newPorts(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "ports", Short: "what is plugged in; opens nothing", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ports, err := port.List()
			if err != nil {
				return unfit(err, "the system's list of devices must be readable")
			}
			if g.json {
				e := json.NewEncoder(c.OutOrStdout())
				for _, p := range ports {
					if err := e.Encode(map[string]string{
						"port": p.Name, "vid": p.USB.VID, "pid": p.USB.PID, "usb": p.USB.Location,
						"serial": p.USB.Serial, "product": p.USB.Product, "manufacturer": p.USB.Manufacturer,
					}); err != nil {
						return err
					}
				}
				return nil
			}
			if len(ports) == 0 {
				fmt.Fprintln(c.OutOrStdout(), "no serial port is plugged in")
				return nil
			}
			t := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(t, "PORT\tUSB\tLOCATION\tPRODUCT\tACCESS")
			for _, p := range ports {
				usb := ""
				if p.USB.VID != "" {
					usb = p.USB.VID + ":" + p.USB.PID
				}
				access := "ok"
				if err := permitted(p.Name); err != nil {
					access = oneLine(err.Error())
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", p.Name, usb, p.USB.Location, p.USB.Product, access)
			}
			return t.Flush()
		},
	}
}
