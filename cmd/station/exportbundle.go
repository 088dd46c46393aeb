// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"provisioning.example/station/internal/export"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
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
	answer, filter, err := b.answer(ctx, moment, f.nonce)
	if err != nil {
		return export.Result{}, err
	}
	return export.Bundle(ctx, f.out, moment, bundle.Head{
		Station: b.home.cfg.Name, Created: record.Timestamp(time.Now()), Operator: b.who, Software: software(),
		Certificates: certs, Challenge: answer, Progress: tell,
		Sign: func(ctx context.Context, manifest string, m *bundle.Manifest) ([]byte, record.Proof, error) {
			return b.noteExport(ctx, record.Body{Format: bundleFormat, Filter: filter, File: record.Plain(filepath.Base(f.out), 256), FileDigest: manifest, Count: m.Entries()})
		},
	})
}

// answer has the TPM answer an auditor's nonce, and says what the export entry
// tells of it; without a nonce it does nothing.
func (b *bench) answer(ctx context.Context, moment *reader.Reader, nonce []byte) (*record.Challenge, string, error) {
	if nonce == nil {
		return nil, "", nil
	}
	counter, err := findCounter(ctx, b.tpm, b.home)
	if err != nil {
		return nil, "", err
	}
	a, err := ledger.Answer(ctx, moment, b.home.cfg.Epoch, counter, nonce)
	if errors.Is(err, ledger.ErrNoCounter) {
		return nil, "", usage(errors.New("this station has no counter in its TPM: it cannot answer a challenge"), "leave --challenge out")
	}
	if err != nil {
		return nil, "", err
	}
	return a, "challenge=" + a.Nonce, nil
}

// certificates is what is installed in this epoch and those before, and the
// revocation lists that came with it.
func (h *home) certificates() ([]byte, error) {
	a, err := h.anchors("")
	if err != nil {
		return nil, err
	}
	var text []byte
	seen := map[string]bool{} // an epoch that was begun anew may have what the one before had
	add := func(kind string, der []byte) {
		if seen[string(der)] {
			return
		}
		seen[string(der)] = true
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

// checkBundle refuses what a bundle cannot do: it is the whole ledger. Only it
// can answer a challenge.
func (f *exportFlags) checkBundle() (err error) {
	switch {
	case f.challenge != "" && f.format != bundleFormat:
		return usage(fmt.Errorf("--challenge with --format %s", f.format), "it is for --format "+bundleFormat+": the whole ledger, with the TPM's word that it is the newest")
	case f.challenge != "":
		if f.nonce, err = record.ParseNonce(f.challenge); err != nil {
			return usage(err, "make one with: openssl rand -hex 32")
		}
	}
	if f.format == bundleFormat && (len(f.kinds) > 0 || f.selection != (export.Selection{}) || f.since+f.until != "") {
		return usage(errors.New("a selection with --format bundle"), "a bundle is the whole ledger: only so it can be judged")
	}
	return nil
}
