// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/provision"
)

func newProfile(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "profile", Short: "certificate profiles"}
	c.AddCommand(newProfileCheck(g), newProfileList())
	return c
}

func newProfileList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "the built-in profiles", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, name := range issuer.BuiltinNames() {
				p, err := issuer.BuiltinProfile(name)
				if err != nil {
					return err
				}
				fmt.Fprintf(c.OutOrStdout(), "%-8s %s\n", name, p.Purpose())
			}
			return nil
		},
	}
}

func newProduct(g *globals) *cobra.Command {
	var show specimenFlags
	c := &cobra.Command{
		Use: "check FILE", Short: "what a product would do, or the line that is wrong", Args: cobra.ExactArgs(1),
		Long: `check reads a product, finds its profile and shows the certificate that one of
its boards would get. The profile is looked for in profiles/ of the station's
home, then beside the product's folder, then among the built-in ones.`,
		RunE: func(c *cobra.Command, args []string) error {
			p, err := provision.LoadProduct(args[0])
			if err != nil {
				return usage(err, "testdata/product.toml shows every key")
			}
			profile, err := profileOfProduct(g, args[0], p.Profile())
			if err != nil {
				return err
			}
			if err := p.Suits(profile); err != nil {
				return usage(err, "change the product's algorithm, or the profile")
			}
			if show.alg == "" {
				show.alg = p.Algorithm()
			}
			if show.model == "" {
				show.model = p.Model()
			}
			s, err := show.make(g, profile)
			if err != nil {
				return err
			}
			if g.json {
				return s.writeJSON(c.OutOrStdout())
			}
			baud, _, _ := p.Line()
			fmt.Fprintf(c.OutOrStdout(), "product %s is right\n%d baud, profile %s, serial from %s\n",
				p.Name(), baud, p.Profile(), p.SerialSource())
			if firmware := p.Firmware(); firmware != "" {
				fmt.Fprintln(c.OutOrStdout(), firmware)
			}
			return s.write(c.OutOrStdout())
		},
	}
	show.add(c)
	product := &cobra.Command{Use: "product", Short: "what is built"}
	product.AddCommand(c)
	return product
}
