// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"provisioning.example/station/internal/export"
	"provisioning.example/station/internal/record"
)

// auditFormat is the export about one unit that its customer can check.
const auditFormat = "audit"

// exportAudit writes what the ledger knows about a unit, each entry with its
// proof under the newest checkpoint.
func (b *bench) exportAudit(ctx context.Context, f exportFlags) (export.Result, error) {
	certs, err := b.home.certificates()
	if err != nil {
		return export.Result{}, err
	}
	_, last, err := b.reader.Last(ctx)
	if err == nil {
		err = b.ledger.Cover(ctx, last)
	}
	if err != nil {
		return export.Result{}, err
	}
	moment, err := b.reader.Snapshot(ctx)
	if err != nil {
		return export.Result{}, err
	}
	defer moment.Close()
	res, err := export.Audit(ctx, f.out, moment, export.AuditOptions{
		Unit: f.selection.Serial, Station: b.home.cfg.Name, Created: record.Timestamp(time.Now()), Operator: b.who, Software: software(),
		Certificates: certs,
		Sign: func(manifest string, entries int64) ([]byte, record.Proof, error) {
			return b.noteExport(ctx, record.Body{
				Format: auditFormat, File: record.Plain(filepath.Base(f.out), 256), Filter: f.filter(), FileDigest: manifest, Count: entries,
			})
		},
	})
	if errors.Is(err, export.ErrNoUnit) {
		return res, usage(fmt.Errorf("no unit %q in the ledger", f.selection.Serial), "look it up with: station ledger list")
	}
	return res, err
}

// checkAudit wants exactly one unit.
func (f *exportFlags) checkAudit() error {
	one := export.Selection{Serial: f.selection.Serial}
	switch {
	case f.format != auditFormat:
		return nil
	case f.selection.Serial == "":
		return usage(errors.New("--format audit without a unit"), "name it with --unit SERIAL")
	case f.selection != one, len(f.kinds) > 0, f.since+f.until != "":
		return usage(errors.New("a selection with --format audit"), "it is about one unit, whole: --unit SERIAL and nothing else")
	}
	return nil
}
