// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/label"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/settings"
)

func newLabel(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use: "label", Short: "labels of units: print, preview, check, names, read",
		Long: `label prints the labels of units again, shows them as pictures, and checks
templates. While the line works it prints them by itself, where [label] is set in
station.toml. docs/labels.md has templates, printers and what a label proves.`,
	}
	c.AddCommand(newLabelPrint(g), newLabelPreview(g), newLabelCheck(g), newLabelNames(), newLabelRead(g))
	return c
}

func newLabelNames() *cobra.Command {
	return &cobra.Command{
		Use: "names", Short: "what a template may have in {}", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			t := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
			for _, n := range label.Names() {
				fmt.Fprintf(t, "{%s}\t%s\t%s\n", n.Name, n.Doc, n.Example)
			}
			return t.Flush()
		},
	}
}

func newLabelCheck(g *globals) *cobra.Command {
	var out string
	var dpi int
	c := &cobra.Command{
		Use: "check FILE", Short: "is this template good? and its picture", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if dpi == 0 {
				dpi = defaultDPI
				if h, err := openHome(g.home); err == nil && h.cfg.Label != nil {
					dpi = h.cfg.Label.dpi()
				}
			}
			t, err := label.Load(args[0], dpi)
			if err != nil {
				return usage(err, "what a template may have stands in docs/labels.md; see: station label names")
			}
			x, y, mmX, mmY := t.Size()
			fmt.Fprintf(c.OutOrStdout(), "%s is good: %.4g by %.4g mm, %d by %d dots at %d dots per inch\n", args[0], mmX, mmY, x, y, dpi)
			if !t.Uses("witness") {
				fmt.Fprintln(c.OutOrStdout(), "without {witness} such a label proves nothing by itself")
			}
			if !t.Uses("mark") {
				fmt.Fprintln(c.OutOrStdout(), "without {mark} nothing on it says SIMULATED TPM where that is so")
			}
			if out == "" {
				return nil
			}
			l, err := t.Fill(label.Specimen())
			if err != nil {
				return usage(err, "mend the template")
			}
			return writePicture(l, out)
		},
	}
	c.Flags().StringVarP(&out, "out", "o", "", "write the picture of a specimen to this file (PNG)")
	c.Flags().IntVar(&dpi, "dpi", 0, "dots per inch of the printer: 203, 300 or 600 (default the station's, else 203)")
	return c
}

func newLabelPreview(g *globals) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "preview SERIAL", Short: "a unit's label as a picture; nothing is printed", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return usage(errors.New("there is no file for the picture"), "name one with -o FILE.png")
			}
			h, err := openHome(g.home)
			if err != nil {
				return err
			}
			r, err := reader.Open(c.Context(), h.ledgerPath())
			if err != nil {
				return unfit(err, "see: station ledger verify")
			}
			defer r.Close()
			u, err := h.unitLabel(c.Context(), r, args[0])
			if err != nil {
				return err
			}
			if err := writePicture(u.Label, out); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %s, template %s, entry %d, witness %s\n", out, u.End.Body.Serial, u.Template.Name(), u.End.Seq, u.Witness)
			return nil
		},
	}
	c.Flags().StringVarP(&out, "out", "o", "", "the picture's file (PNG)")
	return c
}

// unitLabel makes a unit's label from the ledger.
func (h *home) unitLabel(ctx context.Context, r *reader.Reader, unit string) (provision.UnitLabel, error) {
	t, err := h.labelTemplates(h.productIfAny(), h.labelDPI())
	if err != nil {
		return provision.UnitLabel{}, err
	}
	e, err := provision.EndOf(ctx, r, unit)
	if err != nil {
		return provision.UnitLabel{}, noLabel(err)
	}
	u, err := provision.LabelOf(ctx, r, t, e.Epoch, e.Seq)
	return u, noLabel(err)
}

func (h *home) labelDPI() int {
	if h.cfg.Label == nil {
		return defaultDPI
	}
	return h.cfg.Label.dpi()
}

// productIfAny is the station's product, nil where none is set or it is not good:
// that keeps nobody from a label.
func (h *home) productIfAny() *provision.Product {
	if h.cfg.Product == "" {
		return nil
	}
	p, err := provision.LoadProduct(h.path("products", h.cfg.Product+".toml"))
	if err != nil {
		return nil
	}
	return p
}

// noLabel says whose fault it is that there is no label.
func noLabel(err error) error {
	if err == nil {
		return nil
	}
	if refused := (*label.RefusedError)(nil); errors.As(err, &refused) {
		return usage(err, "see its history with: station unit SERIAL")
	}
	return unfit(err, "see: station ledger verify")
}

// writePicture writes a label's picture whole, or not at all.
func writePicture(l *label.Label, path string) error {
	var picture bytes.Buffer
	err := l.PNG(&picture)
	if err == nil {
		err = settings.Write(path, picture.Bytes(), 0o644)
	}
	if err != nil {
		return usage(err, "name a file that can be written with -o")
	}
	return nil
}
