// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/filter"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/settings"
)

// filterFormat is what export entries call a file of used values, and filterWhat
// what import entries call it.
const (
	filterFormat = "filter"
	filterWhat   = "used values of a station"
)

func newLedgerFilter(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use: "filter", Short: "let stations know what others have used: export, import, list",
		Long: `filter carries what a station has used - keys, serials, boards and random numbers
of signatures, as digests - to another station, which then refuses them with a
fault that names the first. The file is bound to the ledger it comes from by the
ledger's own entry, an inclusion proof and a signed checkpoint.`,
	}
	c.AddCommand(newFilterExport(g), newFilterImport(g), newFilterList(g))
	return c
}

func newFilterExport(g *globals) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "export", Short: "write what this station has used", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if out == "" {
				return usage(errors.New("--out is needed"), "name the file to write")
			}
			b, err := openLedger(c.Context(), g)
			if err != nil {
				return err
			}
			defer b.Close()
			file, err := b.exportFilter(c.Context(), filepath.Base(out))
			if err != nil {
				return err
			}
			if err := settings.Write(out, file.Encode(), 0o644); err != nil {
				return usage(err, "name a writable file with --out")
			}
			fmt.Fprintf(c.OutOrStdout(), "%s of station %s\n", counts(file.Set), file.Set.Station())
			if len(file.Certificate) == 0 {
				fmt.Fprintf(c.OutOrStdout(), "the root certified no checkpoint key: import it with --key '%s'\n", b.ledger.Verifier())
			}
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "the file to write")
	return c
}

func counts(s *filter.Set) string {
	return fmt.Sprintf("%d keys, %d serials, %d boards, %d random numbers",
		s.Len(filter.Key), s.Len(filter.Serial), s.Len(filter.Board), s.Len(filter.Random))
}

// exportFilter makes the set, records that it was made, and proves the record.
func (b *bench) exportFilter(ctx context.Context, name string) (*filter.File, error) {
	set, err := b.used(ctx)
	if err != nil {
		return nil, unfit(err, "see: station ledger verify")
	}
	f := &filter.File{Set: set}
	digest := f.Digest()
	body := record.Body{
		Kind: record.KindExport, Format: filterFormat, To: set.Size(), File: record.Plain(name, 256), FileDigest: hex.EncodeToString(digest[:]),
		Operator: b.who, Software: software(),
	}
	seqs, err := b.ledger.Append(ctx, ledger.Batch{Bodies: []record.Body{body}})
	if err == nil {
		err = b.ledger.Cover(ctx, seqs[0])
	}
	if err != nil {
		return nil, unfit(fmt.Errorf("the ledger cannot be written: %w", err), "free the disk, check that it is writable, see: station doctor")
	}
	proof, err := b.ledger.Proof(ctx, seqs[0])
	if err != nil {
		return nil, unfit(err, "see: station ledger verify")
	}
	entry, err := b.reader.Entry(ctx, b.ledger.Origin().Epoch, seqs[0])
	if err != nil {
		return nil, unfit(err, "see: station ledger verify")
	}
	f.Entry, f.Proof = entry.Raw, proof.Marshal()
	in, err := authority.Load(b.home.path("ca"))
	if err == nil && in.Checkpoint != nil && in.Origin == b.ledger.Origin().String() {
		f.Certificate = in.Checkpoint.Raw
	}
	return f, nil
}

// used reads from the ledger what must not be used again: all keys and random
// numbers ever, serials and boards as long as a unit holds them, and boards that
// were scrapped for good.
func (b *bench) used(ctx context.Context) (*filter.Set, error) {
	moment, err := b.reader.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer moment.Close()
	var all filter.Builder
	for e, err := range moment.Raw(ctx, 0, 0) {
		if err != nil {
			return nil, err
		}
		body, err := record.Decode(e.Raw)
		if err != nil {
			return nil, fmt.Errorf("entry %d of epoch %d: %w", e.Seq, e.Epoch, err)
		}
		switch body.Kind {
		case record.KindKey, record.KindIssuing, record.KindRenewed:
			all.Add(filter.Key, body.SPKI)
			all.Add(filter.Random, body.CSRR)
		case record.KindScrap:
			all.Add(filter.Board, body.Model+"/"+body.UID)
		}
	}
	for c, err := range moment.Claims(ctx) {
		switch {
		case err != nil:
			return nil, err
		case c.Kind == record.ClaimSerial:
			all.Add(filter.Serial, c.Value)
		case c.Kind == record.ClaimUID:
			all.Add(filter.Board, c.Value)
		}
	}
	origin := b.ledger.Origin()
	size, err := moment.Size(ctx, origin.Epoch)
	if err != nil {
		return nil, err
	}
	return all.Set(origin.String(), size)
}

func newFilterList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "the stations whose used values this one knows", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			h, r, err := reading(c.Context(), g)
			if err != nil {
				return err
			}
			defer r.Close()
			sets, err := loadFilters(c.Context(), h, r)
			if err != nil {
				return err
			}
			for _, s := range sets {
				fmt.Fprintf(c.OutOrStdout(), "%s  %d entries: %s\n", s.Origin(), s.Size(), counts(s))
			}
			return nil
		},
	}
}

// filterPath is where the used values of a station lie.
func (h *home) filterPath(station string) string {
	return h.path("filters", url.PathEscape(station)+".used")
}

// imports are the last imported file of each other station, by station.
func imports(ctx context.Context, r *reader.Reader) (map[string]record.Body, error) {
	entries, err := r.EntriesOf(ctx, reader.Query{Kinds: []string{record.KindImport}})
	if err != nil {
		return nil, unfit(err, "see: station ledger verify")
	}
	last := map[string]record.Body{}
	for _, e := range entries {
		if b := e.Body; b.What == filterWhat {
			o, err := record.ParseOrigin(b.Origin)
			if err != nil {
				return nil, unfit(err, "see: station ledger verify")
			}
			last[o.Station] = b
		}
	}
	return last, nil
}

// loadFilters reads the used values of other stations, as they were imported:
// the ledger says which files they are.
func loadFilters(ctx context.Context, h *home, r *reader.Reader) ([]*filter.Set, error) {
	last, err := imports(ctx, r)
	if err != nil {
		return nil, err
	}
	var sets []*filter.Set
	for station, b := range last {
		raw, err := readFilter(h.filterPath(station))
		if err != nil {
			return nil, unfit(fmt.Errorf("used values of %s: %w", station, err), "import them again: station ledger filter import FILE")
		}
		if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != b.FileDigest {
			return nil, unfit(fmt.Errorf("used values of %s: %s is not the file that was imported", station, h.filterPath(station)),
				"import them again: station ledger filter import FILE")
		}
		f, err := filter.Parse(raw)
		if err != nil {
			return nil, unfit(fmt.Errorf("used values of %s: %w", station, err), "import them again: station ledger filter import FILE")
		}
		sets = append(sets, f.Set)
	}
	return sets, nil
}

// readFilter reads a file of used values, whole, if it may be one.
func readFilter(path string) ([]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if fi.Size() > filter.MaxFile {
		return nil, fmt.Errorf("%s: %d bytes, at most %d are read", path, fi.Size(), filter.MaxFile)
	}
	return os.ReadFile(path)
}

// older tells whether a set was made before the one imported last.
func older(s *filter.Set, last record.Body) bool {
	was, err := record.ParseOrigin(last.Origin)
	is, err2 := record.ParseOrigin(s.Origin())
	if err != nil || err2 != nil {
		return true
	}
	return is.Epoch < was.Epoch || is.Epoch == was.Epoch && s.Size() < last.Size
}
