// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/order"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

// newOrder deals with work orders: orders/*.toml of the home.
func newOrder(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use: "order", Short: "work orders: import, export, list, close",
		Long: `An order is a file of the home, orders/NAME.toml: product, quantity, where serials
come from, due day; testdata/order.toml shows every key. It is written by hand, or
comes signed from an office on a stick: order_key in station.toml names the office's
key, and from then on an order that it did not sign is refused. What was done for an
order stands in the ledger; the station never makes more units than it wants.`,
	}
	c.AddCommand(newOrderImport(g), newOrderExport(g), newOrderList(g), newOrderClose(g))
	return c
}

// orderFile is an order and the folder that it and its manifest lie in.
type orderFile struct {
	*order.Order
	path string
}

// orderKey is the office's key, nil where station.toml names none.
func (h *home) orderKey() (*ecdsa.PublicKey, error) {
	if h.cfg.OrderKey == "" {
		return nil, nil
	}
	path := h.cfg.OrderKey
	if !filepath.IsAbs(path) {
		path = h.path(path)
	}
	key, err := order.ReadKey(path)
	if err != nil {
		return nil, usage(err, "order_key in station.toml names a PEM file with the office's public key on P-256")
	}
	return key, nil
}

// orderPath is where the order of a name lies.
func (h *home) orderPath(name string) string { return h.path("orders", name+".toml") }

// loadOrder reads an order by its name or by its file.
func (h *home) loadOrder(name string) (*orderFile, error) {
	path := name
	if !strings.HasSuffix(name, ".toml") {
		if err := order.CheckName(name); err != nil {
			return nil, usage(err, "see: station order list")
		}
		path = h.orderPath(name)
	}
	key, err := h.orderKey()
	if err != nil {
		return nil, err
	}
	o, err := order.Load(path, key)
	switch {
	case errors.Is(err, order.ErrSignature):
		return nil, usage(err, "take it from the office again: station order import FILE")
	case errors.Is(err, fs.ErrNotExist):
		return nil, usage(fmt.Errorf("there is no order %s", name), "see: station order list")
	case err != nil:
		return nil, usage(err, "mend the order's file; testdata/order.toml shows every key")
	}
	return &orderFile{o, path}, nil
}

// manifest reads the list of units that the order names, nil where it names none.
func (f *orderFile) manifest() ([]byte, *provision.Units, error) {
	if f.Manifest() == "" {
		return nil, nil, nil
	}
	path := filepath.Join(filepath.Dir(f.path), f.Manifest())
	raw, err := readUnits(path)
	if err == nil {
		err = f.Holds(raw)
	}
	if err != nil {
		return nil, nil, usage(err, "the manifest lies beside the order's file, as the office made it")
	}
	units, err := provision.LoadUnits(path, raw)
	if err == nil && units.Len() < f.Quantity() {
		err = fmt.Errorf("%s: %d units, order %s wants %d", path, units.Len(), f.Name(), f.Quantity())
	}
	if err != nil {
		return nil, nil, usage(err, "the office must mend the manifest")
	}
	return raw, units, nil
}

// takeOrder puts on record that the order's file is what is built from now on,
// where it is new or was changed, and reads its list of units.
func (b *bench) takeOrder(ctx context.Context, f *orderFile) (*provision.Units, error) {
	_, units, err := f.manifest()
	if err != nil {
		return nil, err
	}
	if units != nil {
		if err := b.fitUnits(ctx, units); err != nil {
			return nil, err
		}
	}
	e, found, err := b.reader.OrderEntry(ctx, f.Name())
	if err != nil {
		return nil, unfit(err, "see: station ledger verify")
	}
	action := "created"
	switch {
	case found && e.Body.Action == "closed":
		return nil, usage(fmt.Errorf("order %s was closed at %s", f.Name(), e.Body.Time), "the office makes another order for more units")
	case found && e.Body.FileDigest == f.Digest():
		return units, nil
	case found:
		action = "changed"
	}
	return units, b.note(ctx, f.entry(action, b.product), f.Text())
}

// entry is the order entry for a file.
func (f *orderFile) entry(action string, p *provision.Product) record.Body {
	body := record.Body{
		Kind: record.KindOrder, Order: f.Name(), Action: action, Product: p.Name(), ProductDigest: p.Digest(), Count: int64(f.Quantity()),
		File: record.Plain(filepath.Base(f.path), 256), FileDigest: f.Digest(),
	}
	if f.Signed() {
		body.Detail = "signed by the office"
	}
	return body
}

// orderNow finds the order of a batch or window and makes its product the one
// that is built; nil for no order.
func (g *globals) orderNow(name string) (*orderFile, error) {
	if name == "" {
		return nil, nil
	}
	h, err := openHome(g.home)
	if err != nil {
		return nil, err
	}
	f, err := h.loadOrder(name)
	if err != nil {
		return nil, err
	}
	g.product = f.Product()
	return f, nil
}
