// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/record/bundle"
	"provisioning.example/station/internal/record/dossier"
)

// verdict is a report of any kind.
type verdict interface {
	OK() bool
	Verdict() string
	Found() (findings []audit.Finding, more int64)
}

// judgeAny finds out what it was given.
func judgeAny(ctx context.Context, o options, errs io.Writer) (verdict, error) {
	_, err := os.Stat(o.bundle + ".tlog-proof")
	special := err == nil || dossier.Is(o.bundle)
	switch {
	case special && len(o.known) > 0:
		return nil, errors.New("--known is for bundles: one unit or file does not show what the ledger holds besides")
	case err == nil:
		return judgeExport(o)
	case special:
		return judgeUnit(ctx, o, errs)
	}
	return judge(ctx, o, errs)
}

func damaged(err error) bool {
	var whole *bundle.DamageError
	var unit *dossier.DamageError
	return errors.As(err, &whole) || errors.As(err, &unit)
}

func judgeUnit(ctx context.Context, o options, errs io.Writer) (verdict, error) {
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
func judgeExport(o options) (verdict, error) {
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

// tellDamage is tell where there is nothing to judge.
func tellDamage(out io.Writer, damage error, asJSON bool) {
	said := fmt.Sprintf("NOT VALID: %v", damage)
	if asJSON {
		_ = json.NewEncoder(out).Encode(map[string]any{"verdict": said, "ok": false}) // the exit code says it too
		return
	}
	fmt.Fprintln(out, said)
}

func tell(out io.Writer, r verdict, asJSON bool) error {
	if asJSON {
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		fields := map[string]any{}
		if err := json.Unmarshal(text, &fields); err != nil {
			return err
		}
		fields["verdict"], fields["ok"] = r.Verdict(), r.OK()
		return json.NewEncoder(out).Encode(fields)
	}
	_, err := fmt.Fprintln(out, r.Verdict())
	findings, more := r.Found()
	for _, f := range findings {
		fmt.Fprintln(out, " ", f)
	}
	if err == nil && more > 0 {
		_, err = fmt.Fprintf(out, "  and %d more\n", more)
	}
	return err
}
