// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/provision"
)

func newProfile(*globals) *cobra.Command {
	c := &cobra.Command{Use: "profile", Short: "certificate profiles"}
	c.AddCommand(&cobra.Command{
		Use: "check FILE", Short: "what a profile would do, or the line that is wrong", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			raw, err := os.ReadFile(args[0])
			if err != nil {
				return usage(err, "name a readable profile")
			}
			p, err := issuer.ParseProfile(args[0], raw)
			if err != nil {
				return usage(err, "testdata/profile.toml shows every key")
			}
			fmt.Fprintf(c.OutOrStdout(), "profile %s is right\nlifetime %s, algorithms %s, variables %s\n",
				p.Name(), p.Lifetime(), strings.Join(p.Algorithms(), " "), strings.Join(p.Variables(), " "))
			return nil
		},
	})
	return c
}

func newProduct(*globals) *cobra.Command {
	c := &cobra.Command{Use: "product", Short: "what is built"}
	c.AddCommand(&cobra.Command{
		Use: "check FILE", Short: "what a product would do, or the line that is wrong", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := provision.LoadProduct(args[0])
			if err != nil {
				return usage(err, "testdata/product.toml shows every key")
			}
			baud, _, _ := p.Line()
			fmt.Fprintf(c.OutOrStdout(), "product %s is right\n%d baud, profile %s, serial from %s\n",
				p.Name(), baud, p.Profile(), p.SerialSource())
			if firmware := p.Firmware(); firmware != "" {
				fmt.Fprintln(c.OutOrStdout(), firmware)
			}
			return nil
		},
	})
	return c
}
