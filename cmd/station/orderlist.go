// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/order"
	"provisioning.example/station/internal/record"
)

// orderRow is one order as list shows it.
type orderRow struct {
	Order    string `json:"order"`
	Product  string `json:"product,omitempty"`
	Serial   string `json:"serial,omitempty"`
	Done     int    `json:"done"`
	Quantity int    `json:"quantity,omitempty"`
	Failed   int    `json:"failed"` // attempts that failed, by unit or station
	Due      string `json:"due,omitempty"`
	Signed   bool   `json:"signed"`
	State    string `json:"state"` // open, complete, late, closed, broken
	Mistake  string `json:"mistake,omitempty"`
}

func newOrderList(g *globals) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "list", Short: "the orders and what is done for them", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			h, err := openHome(g.home)
			if err != nil {
				return err
			}
			r, err := reader.Open(c.Context(), h.ledgerPath())
			if err != nil {
				return unfit(err, "see: station ledger verify")
			}
			defer r.Close()
			rows, err := orderRows(c.Context(), h, r, all)
			if err != nil {
				return err
			}
			return showOrders(c, g, rows)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "the closed ones, too, and those whose file is gone")
	return c
}

// orderRows puts the home's files and the ledger together.
func orderRows(ctx context.Context, h *home, r *reader.Reader, all bool) ([]orderRow, error) {
	last := map[string]record.Body{}
	entries, err := r.Orders(ctx)
	if err != nil {
		return nil, unfit(err, "see: station ledger verify")
	}
	for _, e := range entries {
		last[e.Body.Order] = e.Body
	}
	paths, err := filepath.Glob(h.path("orders", "*.toml"))
	if err != nil {
		return nil, usage(err, "the home must have a name without jokers")
	}
	var rows []orderRow
	for _, path := range paths {
		row := orderOf(h, path)
		row.fill(last[row.Order])
		delete(last, row.Order)
		rows = append(rows, row)
	}
	for name, b := range last { // their files are gone
		row := orderRow{Order: name, State: "gone"}
		row.fill(b)
		rows = append(rows, row)
	}
	rows = slices.DeleteFunc(rows, func(o orderRow) bool { return !all && (o.State == "closed" || o.State == "gone") })
	for i := range rows {
		if err := rows[i].progress(ctx, r); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(rows, func(a, b orderRow) int { return strings.Compare(a.Order, b.Order) })
	return rows, nil
}

// orderOf reads one file; a mistake in it is shown, and hides no other order.
func orderOf(h *home, path string) orderRow {
	row := orderRow{Order: strings.TrimSuffix(filepath.Base(path), ".toml"), State: "open"}
	f, err := h.loadOrder(path)
	if err != nil {
		row.State, row.Mistake = "broken", oneLine(err.Error())
		return row
	}
	row.Product, row.Serial, row.Quantity, row.Signed = f.Product(), f.Serial(), f.Quantity(), f.Signed()
	if !f.Due().IsZero() {
		row.Due = f.Due().Format(time.DateOnly)
	}
	return row
}

// fill takes what only the ledger knows.
func (o *orderRow) fill(b record.Body) {
	if b.Action == "closed" {
		o.State = "closed"
	}
	if o.Quantity == 0 {
		o.Quantity, o.Product = int(b.Count), b.Product
	}
}

func (o *orderRow) progress(ctx context.Context, r *reader.Reader) error {
	if order.CheckName(o.Order) != nil {
		return nil // a broken one: nothing can be on record for it
	}
	counts, err := r.Counts(ctx, time.Time{}, o.Order)
	if err == nil {
		o.Done, err = r.UnitsOf(ctx, o.Order)
	}
	if err != nil {
		return unfit(err, "see: station ledger verify")
	}
	o.Failed = counts.Failed + counts.Error
	switch {
	case o.State != "open":
	case o.Done >= o.Quantity:
		o.State = "complete"
	case o.Due != "" && time.Now().Format(time.DateOnly) > o.Due:
		o.State = "late"
	}
	return nil
}

func showOrders(c *cobra.Command, g *globals, rows []orderRow) error {
	if g.json {
		for _, o := range rows {
			if err := printJSON(c, o); err != nil {
				return err
			}
		}
		return brokenOrders(rows)
	}
	if len(rows) == 0 {
		fmt.Fprintln(c.OutOrStdout(), "no order: import one, or write orders/NAME.toml")
		return nil
	}
	t := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "ORDER\tPRODUCT\tSERIAL\tDONE\tFAILED\tDUE\tSTATE")
	for _, o := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d of %d\t%d\t%s\t%s\n", oneLine(o.Order), o.Product, o.Serial, o.Done, o.Quantity, o.Failed, o.Due, o.State)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return brokenOrders(rows)
}

// brokenOrders names the first mistake.
func brokenOrders(rows []orderRow) error {
	for _, o := range rows {
		if o.Mistake != "" {
			return usage(errors.New(o.Mistake), "mend the order's file, or take it from the office again")
		}
	}
	return nil
}

func newOrderClose(g *globals) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "close NAME", Short: "end an order: nothing more is built for it", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if err := order.CheckName(args[0]); err != nil {
				return usage(err, "see: station order list")
			}
			b, err := openLedger(c.Context(), g)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, b.Close()) }()
			return b.closeOrder(c, g, args[0], reason)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, in your own words")
	return c
}

func (b *bench) closeOrder(c *cobra.Command, g *globals, name, reason string) error {
	ctx := c.Context()
	e, found, err := b.reader.OrderEntry(ctx, name)
	if err != nil {
		return unfit(err, "see: station ledger verify")
	}
	if !found && !exists(b.home.orderPath(name)) {
		return usage(fmt.Errorf("there is no order %s", name), "see: station order list")
	}
	if found && e.Body.Action == "closed" {
		return usage(fmt.Errorf("order %s was closed already, at %s", name, e.Body.Time), "see: station order list --all")
	}
	done, err := b.reader.UnitsOf(ctx, name)
	if err != nil {
		return unfit(err, "see: station ledger verify")
	}
	body := record.Body{
		Kind: record.KindOrder, Order: name, Action: "closed", Reason: record.Plain(reason, 256),
		Product: e.Body.Product, ProductDigest: e.Body.ProductDigest, Count: e.Body.Count, File: e.Body.File, FileDigest: e.Body.FileDigest,
		Detail: fmt.Sprintf("%d units passed", done),
	}
	if err := b.note(ctx, body); err != nil {
		return err
	}
	if g.json {
		return printJSON(c, map[string]any{"event": "closed", "order": name, "done": done, "quantity": e.Body.Count})
	}
	fmt.Fprintf(c.OutOrStdout(), "closed order %s with %d units\n", name, done)
	return nil
}
