// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/order"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/settings"
)

func newOrderImport(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "import FILE", Short: "take a signed order from a stick", Args: cobra.ExactArgs(1),
		Long: `import checks the office's signature (FILE.sig), the order and its manifest beside
it, puts it on record and copies all of them into the home. The same order with
another content replaces the one before; one that was closed stays closed.

The office signs with its key:
  openssl dgst -sha256 -sign office.key -out WO-4711.toml.sig WO-4711.toml`,
		RunE: func(c *cobra.Command, args []string) (err error) {
			h, err := openHome(g.home)
			if err != nil {
				return err
			}
			if h.cfg.OrderKey == "" {
				return usage(errors.New("this station knows no office: order_key is not set"),
					"name the office's public key in station.toml; an order of your own is written into orders/NAME.toml")
			}
			f, err := h.loadOrder(asFile(args[0]))
			if err != nil {
				return err
			}
			b, err := openLedger(c.Context(), g)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, b.Close()) }()
			return b.importOrder(c, g, f)
		},
	}
}

// asFile makes sure that a file is meant, not an order of the home.
func asFile(name string) string {
	if filepath.Ext(name) == ".toml" {
		return name
	}
	return name + ".toml"
}

// importOrder records the order, then copies it: the manifest and the signature
// first, so that an order that is there is one that can be built.
func (b *bench) importOrder(c *cobra.Command, g *globals, f *orderFile) error {
	ctx := c.Context()
	product, err := b.loadProduct(f.Product())
	if err != nil {
		return err
	}
	manifest, _, err := f.manifest()
	if err != nil {
		return err
	}
	sig, err := order.ReadSignature(f.path + order.SignatureSuffix)
	if err != nil {
		return usage(err, "the order's signature lies beside it")
	}
	e, found, err := b.reader.OrderEntry(ctx, f.Name())
	if err != nil {
		return unfit(err, "see: station ledger verify")
	}
	if found && e.Body.Action == "closed" {
		return usage(fmt.Errorf("order %s was closed at %s", f.Name(), e.Body.Time), "the office makes another order for more units")
	}
	if err := b.ownManifest(ctx, f); err != nil {
		return err
	}
	if !found || e.Body.FileDigest != f.Digest() {
		if err := b.note(ctx, f.entry("imported", product), f.Text()); err != nil {
			return err
		}
	}
	if err := b.copyOrder(f, sig, manifest); err != nil {
		return unfit(err, "give the same command again; the home must be writable")
	}
	if g.json {
		return printJSON(c, map[string]any{"event": "imported", "order": f.Name(), "product": f.Product(), "quantity": f.Quantity(), "sha256": f.Digest()})
	}
	fmt.Fprintf(c.OutOrStdout(), "imported order %s: %d of %s\nnext: station batch --order %s\n", f.Name(), f.Quantity(), f.Product(), f.Name())
	return nil
}

// ownManifest refuses an order whose manifest would take the place of another
// order's, of the same name: that order could be built no more.
func (b *bench) ownManifest(ctx context.Context, f *orderFile) error {
	raw, _, err := f.manifest()
	if raw == nil || err != nil {
		return err
	}
	paths, err := filepath.Glob(b.home.path("orders", "*.toml"))
	if err != nil {
		return usage(err, "the home must have a name without jokers")
	}
	for _, path := range paths {
		other, err := b.home.loadOrder(path)
		if err != nil || other.Name() == f.Name() || other.Manifest() != f.Manifest() || other.Holds(raw) == nil {
			continue // a broken order is no worse for it
		}
		e, found, err := b.reader.OrderEntry(ctx, other.Name())
		if err != nil {
			return unfit(err, "see: station ledger verify")
		}
		if !found || e.Body.Action != "closed" {
			return usage(fmt.Errorf("order %s has another manifest that is called %s", other.Name(), f.Manifest()),
				"the office gives each order's manifest a name of its own; or close that order: station order close "+other.Name())
		}
	}
	return nil
}

func (b *bench) copyOrder(f *orderFile, sig, manifest []byte) error {
	to := b.home.orderPath(f.Name())
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if manifest != nil {
		if err := settings.Write(filepath.Join(filepath.Dir(to), f.Manifest()), manifest, 0o600); err != nil {
			return err
		}
	}
	if err := settings.Write(to+order.SignatureSuffix, sig, 0o600); err != nil {
		return err
	}
	return settings.Write(to, f.Text(), 0o600)
}

func newOrderExport(g *globals) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "export NAME", Short: "copy an order to a stick, as it was signed", Args: cobra.ExactArgs(1),
		Long: `export copies an order, its signature and its manifest into a folder, for another
station to import. What was done for it is in the ledger:
  station order list --json
  station ledger export --format csv --kind end --order NAME --out FILE`,
		RunE: func(c *cobra.Command, args []string) error {
			h, err := openHome(g.home)
			if err != nil {
				return err
			}
			f, err := h.loadOrder(args[0])
			if err != nil {
				return err
			}
			return exportOrder(c, g, f, out)
		},
	}
	c.Flags().StringVar(&out, "out", ".", "the folder to copy to")
	return c
}

func exportOrder(c *cobra.Command, g *globals, f *orderFile, out string) error {
	manifest, _, err := f.manifest()
	if err != nil {
		return err
	}
	files := map[string][]byte{f.Name() + ".toml": f.Text()}
	if manifest != nil {
		files[f.Manifest()] = manifest
	}
	sig, err := order.ReadSignature(f.path + order.SignatureSuffix)
	switch {
	case err == nil:
		files[f.Name()+".toml"+order.SignatureSuffix] = sig
	case !errors.Is(err, os.ErrNotExist):
		return usage(err, "the order's signature must be readable")
	}
	for name := range files {
		if exists(filepath.Join(out, name)) {
			return usage(fmt.Errorf("%s is there already", filepath.Join(out, name)), "name another folder with --out")
		}
	}
	for name, data := range files {
		if err := settings.Write(filepath.Join(out, name), data, 0o644); err != nil {
			return usage(err, "name a folder that can be written with --out")
		}
	}
	if g.json {
		return printJSON(c, map[string]any{"event": "exported", "order": f.Name(), "files": len(files), "signed": sig != nil})
	}
	signed := "with its signature"
	if sig == nil {
		signed = "it is not signed: another station takes it only once the office signed it"
	}
	fmt.Fprintf(c.OutOrStdout(), "exported order %s to %s, %s\n", f.Name(), out, signed)
	return nil
}

// readUnits reads a list of units, bounded.
func readUnits(path string) ([]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if fi.Size() > provision.MaxUnitFile {
		return nil, fmt.Errorf("%s: %d bytes, at most %d are read", path, fi.Size(), provision.MaxUnitFile)
	}
	return os.ReadFile(path)
}
