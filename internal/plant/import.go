// SPDX-License-Identifier: Apache-2.0

package plant

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/record/bundle"
)

// Anchors is what the plant believes by itself: its own copy of the root
// certificate, and keys of ledgers that the root did not certify.
type Anchors struct {
	Root *x509.Certificate
	Keys []*record.Verifier
}

// Why a bundle is in quarantine.
const (
	Invalid = "invalid" // it is damaged, does not fit together, or no anchor vouches for it
	Forked  = "fork"    // it is signed, and contradicts what the same station signed before
)

// Result says what became of a bundle.
type Result struct {
	File    string `json:"file"`
	Digest  string `json:"sha256"`
	Station string `json:"station,omitempty"`
	Log     string `json:"log,omitempty"`     // the newest epoch's origin
	Verdict string `json:"verdict,omitempty"` // of the audit
	Entries int64  `json:"entries"`           // in the bundle
	Added   int64  `json:"added"`             // of these, not there before
	Blobs   int64  `json:"blobs_added"`
	Points  int64  `json:"checkpoints_added"`
	Known   bool   `json:"known"` // this very file was imported before

	// How long it took to judge the bundle, while its contents were staged, and to merge it after that.
	Judging time.Duration `json:"judging_ns"`
	Merging time.Duration `json:"merging_ns"`

	Quarantine string `json:"quarantine,omitempty"` // reason; "": imported
	Detail     string `json:"detail,omitempty"`
	Fork       *Fork  `json:"fork,omitempty"`
}

// Fork is two signed checkpoints of one log that cannot both be of one
// history. One of them may be missing where an entry was not covered yet.
type Fork struct {
	Origin string `json:"origin"`
	Seq    int64  `json:"seq"` // first entry that differs, as far as it is known: at the latest here
	Ours   string `json:"ours"`
	Theirs string `json:"theirs"`
}

// refusal sends a bundle into quarantine.
type refusal struct {
	reason, detail string
	fork           *Fork
}

func (r *refusal) Error() string { return r.reason + ": " + r.detail }

// Import judges a bundle and takes in what is new in it, all or nothing. An
// error means that it could not be done, and that nothing was written; a bundle
// in quarantine is no error but in the result.
func (p *Plant) Import(ctx context.Context, path string, anchors Anchors) (Result, error) {
	r := Result{File: filepath.Base(path)}
	var err error
	if r.Digest, err = digestFile(path); err != nil {
		return r, err
	}
	err = p.take(ctx, path, anchors, &r)
	var no *refusal
	if errors.As(err, &no) {
		r.Added, r.Blobs, r.Points = 0, 0, 0
		r.Quarantine, r.Detail, r.Fork = no.reason, no.detail, no.fork
		err = p.quarantine(ctx, r)
	}
	if err != nil {
		return r, fmt.Errorf("plant: %s: %w", r.File, err)
	}
	return r, nil
}

func (p *Plant) take(ctx context.Context, path string, anchors Anchors, r *Result) error {
	began := time.Now()
	b, err := bundle.Open(ctx, path)
	var damage *bundle.DamageError
	if errors.As(err, &damage) {
		return &refusal{reason: Invalid, detail: err.Error()}
	}
	if err != nil {
		return err
	}
	defer b.Close()
	r.Station, r.Entries = b.Manifest.Station, b.Manifest.Entries()
	defer func() { r.Merging = time.Since(began) - r.Judging }()
	return p.write(ctx, func(tx pgx.Tx) error {
		m := &merge{ctx: ctx, tx: tx, bundle: b, result: r}
		return m.judged(func() error {
			defer func() { r.Judging = time.Since(began) }()
			report, err := judge(ctx, b, anchors)
			if err == nil {
				r.Verdict, r.Log = report.Verdict(), report.Origins[len(report.Origins)-1]
			}
			return err
		})
	})
}

// judge audits the bundle: everything in it, under the plant's anchors.
func judge(ctx context.Context, b *bundle.Bundle, anchors Anchors) (*audit.Report, error) {
	a, err := audit.SortCertificates(b.Certificates, anchors.Root)
	if err != nil {
		return nil, &refusal{reason: Invalid, detail: err.Error()}
	}
	a.Keys = anchors.Keys
	report, err := audit.VerifyBundle(ctx, b, a)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, &refusal{reason: Invalid, detail: err.Error()}
	case !report.OK() || !report.Proven || !report.ChainsProven || len(report.Origins) != len(b.Manifest.Epochs):
		return nil, &refusal{reason: Invalid, detail: report.Verdict()}
	}
	for i, name := range report.Origins {
		o, err := record.ParseOrigin(name)
		if err != nil || o.Epoch != i+1 || o.Station != b.Manifest.Station {
			return nil, &refusal{reason: Invalid, detail: fmt.Sprintf("it says it is of %s, epoch %d of it is of %s", b.Manifest.Station, i+1, name)}
		}
	}
	return report, nil
}

// quarantine records what was not imported, once.
func (p *Plant) quarantine(ctx context.Context, r Result) error {
	sum, err := hex.DecodeString(r.Digest)
	if err != nil {
		return err
	}
	return p.write(ctx, func(tx pgx.Tx) error {
		var ours, theirs *string
		if f := r.Fork; f != nil {
			// Ours is the first checkpoint that covers the entry. The connection was busy when the fork was seen.
			err := tx.QueryRow(ctx, `SELECT note FROM checkpoint WHERE origin = $1 AND size >= $2 ORDER BY size LIMIT 1`, f.Origin, f.Seq).Scan(&f.Ours)
			if err != nil && !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
			ours, theirs = &f.Ours, &f.Theirs
		}
		_, err := tx.Exec(ctx, `INSERT INTO quarantine (sha256, file, station, reason, detail, ours, theirs, seen)
			VALUES ($1, $2, $3, $4, $5, $6, $7, now()) ON CONFLICT DO NOTHING`,
			sum, r.File, r.Station, r.Quarantine, r.Detail, ours, theirs)
		return err
	})
}

func digestFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
