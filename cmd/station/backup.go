// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

func newLedgerBackup(g *globals) *cobra.Command {
	var to string
	c := &cobra.Command{
		Use: "backup", Short: "copy the ledger, verify the copy, record it", Args: cobra.NoArgs,
		Long: `backup copies the ledger to one file. The copy is audited as ledger verify does,
against the newest checkpoint, before it gets its name; then it is recorded.
A station that works makes copies by itself: [backup] in station.toml.`,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			b, err := openLedger(c.Context(), g)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, b.Close()) }()
			dir, keep := b.home.path("backup"), 0
			if s := b.home.cfg.Backup; s != nil {
				dir, keep = b.home.backupDir(), s.Keep
			}
			if to != "" {
				dir, keep = to, 0
			}
			made, err := b.backup(c.Context(), dir, keep)
			if err != nil {
				return err
			}
			if g.json {
				return json.NewEncoder(c.OutOrStdout()).Encode(map[string]any{
					"event": "backup", "file": made.Path, "sha256": made.Digest, "bytes": made.Bytes, "checkpoint": made.Checkpoint.Size,
				})
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %d bytes, verified, SHA-256 %s\n", made.Path, made.Bytes, made.Digest)
			return err
		},
	}
	c.Flags().StringVar(&to, "to", "", "folder for the copy (default: that of [backup] in station.toml, else backup in the home)")
	return c
}

// backup makes a copy of the ledger in dir, and records it. With keep > 0 only
// so many of this station's copies stay there. The line may work on.
func (b *bench) backup(ctx context.Context, dir string, keep int) (ledger.Copy, error) {
	if err := b.roomForBackup(dir); err != nil {
		return ledger.Copy{}, err
	}
	epoch, last, err := b.reader.Last(ctx)
	if err != nil {
		return ledger.Copy{}, unfit(err, "see: station ledger verify")
	}
	name := backupName{station: b.home.cfg.Name, epoch: epoch, seq: last, at: time.Now().UTC()}
	made, err := ledger.Backup(ctx, b.home.ledgerPath(), filepath.Join(dir, name.String()), func(ctx context.Context, path string, known []byte) error {
		return judgeCopy(ctx, b.home, path, b.ledger.Verifier(), known)
	})
	if err != nil {
		return made, unfit(err, "is the folder there, and can it be written? see also: station ledger verify")
	}
	err = b.note(ctx, record.Body{
		Kind: record.KindBackup, File: filepath.Base(made.Path), FileDigest: made.Digest,
		Size: made.Checkpoint.Size, Checkpoint: digestOf(made.Checkpoint.Note),
	}, made.Checkpoint.Note)
	if err == nil && keep > 0 {
		err = pruneBackups(dir, name, keep)
	}
	return made, err
}

// roomForBackup refuses a copy that would take the space in which units are
// recorded.
func (b *bench) roomForBackup(dir string) error {
	free, err := freeMiB(dir)
	if err != nil {
		return unfit(err, "make the folder, or name another with --to or [backup] in station.toml")
	}
	i, err := os.Stat(b.home.ledgerPath())
	if err != nil {
		return unfit(err, "see: station ledger verify")
	}
	if need := int(i.Size()>>20) + b.home.cfg.MinFree; free < need {
		return unfit(fmt.Errorf("only %d MiB are free in %s, a backup wants %d", free, dir, need), "free some space there, or name another folder")
	}
	return nil
}

// judgeCopy audits a copy of this home's ledger: nothing may be wrong, and it
// must hold the known checkpoints. key, if not nil, is the checkpoint key of the
// newest epoch, as the TPM has it.
func judgeCopy(ctx context.Context, h *home, path string, key *record.Verifier, known ...[]byte) error {
	r, err := reader.Open(ctx, path)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.Check(ctx); err != nil {
		return err
	}
	a, err := h.anchors("")
	if err != nil {
		return err
	}
	if a.Known = known; key != nil {
		a.Keys = append(a.Keys, key)
	}
	report, err := audit.Verify(ctx, r, a)
	if err == nil && !report.OK() {
		err = errors.New(report.Verdict())
	}
	return err
}

// backupName is what a copy is called: whose ledger, its last entry, when.
type backupName struct {
	station string
	epoch   int
	seq     int64
	at      time.Time
}

const backupTime = "20060102T150405Z"

func (n backupName) String() string {
	return fmt.Sprintf("%s_%d_%012d_%s.db", strings.ReplaceAll(n.station, "/", "~"), n.epoch, n.seq, n.at.Format(backupTime))
}

var backupNames = regexp.MustCompile(`^(.+)_([0-9]{1,9})_([0-9]{12})_([0-9]{8}T[0-9]{6}Z)\.db$`)

// parseBackupName is the inverse of String.
func parseBackupName(text string) (n backupName, ok bool) {
	m := backupNames.FindStringSubmatch(text)
	if m == nil {
		return n, false
	}
	var err, bad error
	n.station = strings.ReplaceAll(m[1], "~", "/")
	n.epoch, err = strconv.Atoi(m[2])
	n.seq, bad = strconv.ParseInt(m[3], 10, 64)
	if err = errors.Join(err, bad); err == nil {
		n.at, err = time.Parse(backupTime, m[4])
	}
	return n, err == nil && n.String() == text
}

// abandoned is how old a folder of a copy that never got its name must be
// before it is taken away: it was made by a program that died.
const abandoned = 24 * time.Hour

// pruneBackups deletes this station's oldest copies until keep are left. The
// one that was just made and verified is never among them, whatever the others
// are called.
func pruneBackups(dir string, made backupName, keep int) error {
	all, err := os.ReadDir(dir)
	if err != nil {
		return unfit(err, "old copies could not be deleted")
	}
	var old []backupName
	for _, e := range all {
		n, ours := parseBackupName(e.Name())
		switch {
		case ours && n.station == made.station && e.Name() != made.String() && e.Type().IsRegular():
			old = append(old, n)
		case e.IsDir() && strings.HasPrefix(e.Name(), ledger.BackupFolder):
			if i, statErr := e.Info(); statErr == nil && made.at.Sub(i.ModTime()) > abandoned {
				err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
			}
		}
	}
	slices.SortFunc(old, func(a, b backupName) int { return strings.Compare(b.order(), a.order()) })
	for _, n := range old[min(keep-1, len(old)):] {
		if rm := os.Remove(filepath.Join(dir, n.String())); !errors.Is(rm, fs.ErrNotExist) {
			err = errors.Join(err, rm)
		}
	}
	if err != nil {
		return unfit(err, "old copies could not be deleted")
	}
	return nil
}

// order sorts copies by when they were made.
func (n backupName) order() string { return n.at.Format(backupTime) + n.String() }
