// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/settings"
)

// cosignWhat is what import entries call a cosigned checkpoint.
const cosignWhat = "checkpoint cosigned by a plant"

func newLedgerCosign(g *globals) *cobra.Command {
	var key string
	c := &cobra.Command{
		Use: "cosign FILE", Short: "take in a checkpoint of this ledger that the plant has confirmed", Args: cobra.ExactArgs(1),
		Long: `cosign checks that the file is a checkpoint that this ledger signed, that the
ledger still has all that it covers, and that the plant confirmed it; then it
records the file, and every bundle from here on carries it. The plant's key is
given once with --key; it is remembered in the ledger.

A checkpoint that covers more than the ledger has means that the ledger was
rolled back.`,
		RunE: func(c *cobra.Command, args []string) error {
			raw, err := settings.Read(args[0])
			if err != nil {
				return usage(err, "name a file that the plant wrote: station plant import --cosigned")
			}
			b, err := openLedger(c.Context(), g)
			if err != nil {
				return err
			}
			defer b.Close()
			who, err := plantOf(c.Context(), b.reader, key)
			if err != nil {
				return err
			}
			point, at, err := b.confirmed(c.Context(), raw, who)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(raw)
			if err := b.note(c.Context(), record.Body{
				Kind: record.KindImport, What: cosignWhat, File: record.Plain(filepath.Base(args[0]), 256), FileDigest: hex.EncodeToString(sum[:]),
				Origin: point.Origin.String(), Size: point.Size, Detail: who.String(),
			}, raw); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s confirmed %d entries of %s at %s\n", who.Name(), point.Size, point.Origin, at.Format(time.RFC3339))
			return nil
		},
	}
	c.Flags().StringVar(&key, "key", "", "the plant's public key, as text or in a file; needed the first time")
	return c
}

// plantOf is the plant whose word counts: the one given, else the one whose cosignature was imported last.
func plantOf(ctx context.Context, r *reader.Reader, given string) (*record.Cosigner, error) {
	if given != "" {
		var who *record.Cosigner
		var err error
		if strings.Count(given, "+") < 2 || exists(given) {
			who, err = readCosigner(given)
		} else {
			who, err = record.ParseCosigner(given)
		}
		if err != nil {
			return nil, usage(fmt.Errorf("--key: %w", err), "as station plant init printed it")
		}
		return who, nil
	}
	entries, err := r.EntriesOf(ctx, reader.Query{Kinds: []string{record.KindImport}})
	if err != nil {
		return nil, unfit(err, "see: station ledger verify")
	}
	last := ""
	for _, e := range entries {
		if e.Body.What == cosignWhat {
			last = e.Body.Detail
		}
	}
	if last == "" {
		return nil, usage(errors.New("no plant is known to this ledger yet"), "give its public key with --key: station plant init printed it")
	}
	who, err := record.ParseCosigner(last)
	if err != nil {
		return nil, unfit(err, "see: station ledger verify")
	}
	return who, nil
}

// confirmed tells what the plant has confirmed of this ledger, and when.
func (b *bench) confirmed(ctx context.Context, raw []byte, who *record.Cosigner) (record.Checkpoint, time.Time, error) {
	none := func(err error, hint string) (record.Checkpoint, time.Time, error) {
		return record.Checkpoint{}, time.Time{}, usage(err, hint)
	}
	lost := func(err error) (record.Checkpoint, time.Time, error) {
		return record.Checkpoint{}, time.Time{}, unfit(err, "keep the file and the ledger; QA compares them with a backup and the last bundle")
	}
	point, at, err := who.Open(raw)
	if err != nil {
		return none(err, "nothing was imported; is it a cosigned checkpoint, and of this plant? see --key")
	}
	origin := b.ledger.Origin()
	if point.Origin.Station != origin.Station || point.Origin.Epoch > origin.Epoch {
		return none(fmt.Errorf("it is of ledger %s, this is %s", point.Origin, origin), "bring it to that station")
	}
	if point.Origin == origin {
		if _, err := b.ledger.Verifier().Open(raw); err != nil {
			return none(fmt.Errorf("this ledger did not sign it: %w", err), "nothing was imported")
		}
	}
	size, err := b.reader.Size(ctx, point.Origin.Epoch)
	if err != nil {
		return lost(err)
	}
	if point.Size > size {
		return lost(fmt.Errorf("the ledger was rolled back: the plant has seen %d entries of %s, here are %d", point.Size, point.Origin, size))
	}
	root, err := b.reader.Root(ctx, point.Origin.Epoch, point.Size)
	if err != nil {
		return lost(err)
	}
	if root != point.Root {
		return lost(fmt.Errorf("the ledger has another history than the plant has seen: its first %d entries of %s are not those", point.Size, point.Origin))
	}
	return point, at, nil
}
