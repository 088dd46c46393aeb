// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"path/filepath"
	"time"

	"provisioning.example/station/internal/export"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

// exportFile writes entries to a file. Its digest is recorded when it is whole,
// before it has its name: what leaves is on record, and nothing else is.
func (b *bench) exportFile(ctx context.Context, f exportFlags, tell func(int64)) (export.Result, error) {
	moment, err := b.reader.Snapshot(ctx)
	if err != nil {
		return export.Result{}, unfit(err, "see: station ledger verify")
	}
	defer moment.Close()
	corrections, err := provision.CorrectionsIn(ctx, moment)
	if err != nil {
		return export.Result{}, unfit(err, "see: station ledger verify")
	}
	return export.File(ctx, f.out, f.format, moment, export.Options{
		Selection: f.selection, Kinds: f.kinds, Progress: tell, Corrections: corrections,
		Head: export.Head{
			Station: b.home.cfg.Name, Operator: b.who, Software: software(), Simulated: b.tpm.Info().Simulated, Created: time.Now(),
		},
		Record: func(res export.Result) (*export.Proof, error) {
			entry, proof, err := b.noteExport(ctx, record.Body{
				Format: f.format, File: record.Plain(filepath.Base(f.out), 256), Filter: f.filter(), Order: f.selection.Order, FileDigest: res.SHA256, Count: res.Rows,
			})
			if err != nil || !f.proof {
				return nil, err
			}
			certs, err := b.home.certificates()
			return &export.Proof{Entry: entry, Proof: proof, Certificates: certs}, err
		},
	})
}

// noteExport records that something leaves, and returns the entry with its
// proof.
func (b *bench) noteExport(ctx context.Context, body record.Body) ([]byte, record.Proof, error) {
	body.Kind, body.Operator, body.Software = record.KindExport, b.who, software()
	seqs, err := b.ledger.Append(ctx, ledger.Batch{Bodies: []record.Body{body}})
	if err == nil {
		err = b.ledger.Cover(ctx, seqs[0])
	}
	if err != nil {
		return nil, record.Proof{}, err
	}
	proof, err := b.ledger.Proof(ctx, seqs[0])
	if err != nil {
		return nil, record.Proof{}, err
	}
	e, err := b.reader.Entry(ctx, b.ledger.Origin().Epoch, seqs[0])
	return e.Raw, proof, err
}
