// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/pem"
	"errors"
	"path/filepath"
	"time"

	"provisioning.example/station/internal/export"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/record/bundle"
)

// bundleFormat is the one export that holds the ledger whole, with what its
// auditor needs.
const bundleFormat = "bundle"

// exportBundle seals the ledger, and writes it as it is then.
func (b *bench) exportBundle(ctx context.Context, f exportFlags, tell func(int64)) (export.Result, error) {
	certs, err := b.home.certificates()
	if err != nil {
		return export.Result{}, err
	}
	if err := b.ledger.Seal(ctx, "export"); err != nil {
		return export.Result{}, err
	}
	moment, err := b.reader.Snapshot(ctx)
	if err != nil {
		return export.Result{}, err
	}
	defer moment.Close()
	return export.Bundle(ctx, f.out, moment, bundle.Head{
		Station: b.home.cfg.Name, Created: record.Timestamp(time.Now()), Operator: b.who, Software: software(),
		Certificates: certs, Progress: tell,
		Sign: func(ctx context.Context, manifest string, m *bundle.Manifest) ([]byte, record.Proof, error) {
			return b.noteExport(ctx, record.Body{Format: bundleFormat, File: record.Plain(filepath.Base(f.out), 256), FileDigest: manifest, Count: m.Entries()})
		},
	})
}

// certificates is what is installed in this epoch and those before, and the
// revocation lists that came with it.
func (h *home) certificates() ([]byte, error) {
	a, err := h.anchors("")
	if err != nil {
		return nil, err
	}
	var text []byte
	add := func(kind string, der []byte) {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
	}
	for _, c := range append(a.Issuers, a.Certificates...) {
		add("CERTIFICATE", c.Raw)
	}
	if a.Root != nil {
		add("CERTIFICATE", a.Root.Raw)
	}
	for _, l := range a.Lists {
		add("X509 CRL", l.Raw)
	}
	return text, nil
}

// checkBundle refuses what a bundle cannot do: it is the whole ledger.
func (f *exportFlags) checkBundle() error {
	if f.format == bundleFormat && (len(f.kinds) > 0 || f.selection != (export.Selection{}) || f.since+f.until != "") {
		return usage(errors.New("a selection with --format bundle"), "a bundle is the whole ledger: only so it can be judged")
	}
	return nil
}
