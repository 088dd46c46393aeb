// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/record/bundle"
	"provisioning.example/station/internal/record/dossier"
)

// judgeAny finds out what it was given. What stands beside a bundle or a unit's
// file does not make another thing of it.
func judgeAny(ctx context.Context, o options, errs io.Writer) (audit.Verdict, error) {
	unit := dossier.Is(o.bundle)
	export := false
	if !unit && !bundle.Is(o.bundle) {
		_, err := os.Stat(o.bundle + ".tlog-proof")
		export = err == nil
	}
	switch {
	case (unit || export) && len(o.known) > 0:
		return nil, errors.New("--known is for bundles: one unit or file does not show what the ledger holds besides")
	case (unit || export) && (o.nonce != nil || o.vendors != ""):
		return nil, errors.New("--challenge and --vendor-roots are for bundles: one unit or file does not hold what the TPM said")
	case unit:
		return judgeUnit(ctx, o, errs)
	case export:
		return judgeExport(o)
	}
	return judge(ctx, o, errs)
}

func damaged(err error) bool {
	var whole *bundle.DamageError
	var unit *dossier.DamageError
	return errors.As(err, &whole) || errors.As(err, &unit)
}

func judgeUnit(ctx context.Context, o options, errs io.Writer) (audit.Verdict, error) {
	d, err := dossier.Open(o.bundle)
	if err != nil {
		return nil, err
	}
	a, err := o.anchors(d.Certificates)
	if err != nil {
		return nil, err
	}
	m := d.Manifest
	fmt.Fprintf(errs, "unit %s of %s, made %s by %s with %s: %d entries, %d blobs\n", m.Unit, m.Station, m.Created, m.Operator, m.Software, len(m.Entries), m.Blobs)
	return audit.VerifyUnit(ctx, d, a)
}

// judgeExport judges a file by what stands beside it.
func judgeExport(o options) (audit.Verdict, error) {
	f, err := os.Open(o.bundle)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return nil, err
	}
	entry, err := readSmall(o.bundle + ".entry.json")
	if err != nil {
		return nil, err
	}
	text, err := readSmall(o.bundle + ".tlog-proof")
	if err != nil {
		return nil, err
	}
	certs, err := readSmall(o.bundle + ".certificates.pem")
	if err != nil {
		return nil, err
	}
	proof, err := record.ParseProof(text)
	if err != nil {
		return nil, &dossier.DamageError{File: o.bundle + ".tlog-proof", What: err.Error()}
	}
	a, err := o.anchors(certs)
	if err != nil {
		return nil, err
	}
	return audit.VerifyExport(hex.EncodeToString(sum.Sum(nil)), entry, proof, a)
}

func tell(out io.Writer, r audit.Verdict, o options) error {
	if o.json {
		text, err := audit.JSON(r)
		if err == nil {
			_, err = fmt.Fprintf(out, "%s\n", text)
		}
		return err
	}
	_, err := fmt.Fprintln(out, r.Verdict())
	findings, more := r.Found()
	for _, f := range findings {
		fmt.Fprintln(out, " ", f)
	}
	if more > 0 {
		_, err = fmt.Fprintf(out, "  and %d more\n", more)
	}
	if o.details {
		for _, line := range r.Details() {
			_, err = fmt.Fprintln(out, " ", line)
		}
	}
	return err
}
