// SPDX-License-Identifier: Apache-2.0

//go:build !nogui

package main

import (
	"context"
	"os"
	"time"

	"provisioning.example/station/internal/export"
	"provisioning.example/station/internal/operator"
	"provisioning.example/station/ui"
)

// windowExport is how the ledger screen exports; nil where who is signed in may
// not. While nobody is registered there are no roles.
func (b *bench) windowExport() func(context.Context, ui.ExportWish, func(int64)) (ui.Exported, error) {
	if b.signed && !b.role.May(operator.Export) {
		return nil
	}
	return func(ctx context.Context, w ui.ExportWish, tell func(int64)) (ui.Exported, error) {
		f := exportFlags{format: w.Format, out: w.File, since: moment(w.Since), until: moment(w.Until)}
		f.selection = export.Selection{Order: w.Order, Product: w.Product, Serial: w.Serial, Outcome: w.Result, Person: w.Operator}
		if err := f.parse(); err != nil {
			return ui.Exported{}, err
		}
		res, err := b.exportEntries(ctx, f, tell)
		return ui.Exported{Rows: res.Rows, Bytes: res.Bytes, SHA256: res.SHA256}, err
	}
}

// moment is a time as a flag has it.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

// proposedFolder is where the window proposes to write files.
func proposedFolder() string {
	dir, err := os.UserHomeDir()
	if err != nil {
		return os.TempDir()
	}
	return dir
}
