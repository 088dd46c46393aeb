// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"provisioning.example/station/bench/lot"
)

const exportHow = `The whole ledger to a file, by the station's own command: it opens the home with its
TPM, seals, writes, hashes, flushes to the disk, records the export and gives the file
its name. The peer is sqlite3 -csv on the same ledger with the same rows, for CSV the
same columns, for JSONL the stored texts. What no goal is for: sqlite3 -list, which
writes the stored texts as they are and no more; its file is our JSONL to the byte.
Medians of turns in turn; the ratio is the median of the ratios within a turn. Memory is
the most that the process had (VmHWM, looked at every 10 ms). There is no Parquet.`

// exportTurn is one format once.
type exportTurn struct {
	rows        int64
	ours, peers run
	bare        float64 // seconds of sqlite3 -list; 0: it has no such format
}

// exportFigures is P6: a ledger's way into files.
func exportFigures(ctx context.Context, p *plant) (*report, error) {
	r := &report{
		title: "P6, exports", how: exportHow,
		head: []string{"entries", "format", "ours", "sqlite3 -csv", "sqlite3 -list", "our memory", "sqlite3's memory", "our processor time", "sqlite3's"},
	}
	peak := map[string][]int64{}
	for _, entries := range p.lots.sizes {
		dir, err := p.lot(ctx, entries)
		if err != nil {
			return nil, err
		}
		for _, format := range []string{"jsonl", "csv"} {
			turns, err := p.exportTurns(ctx, dir, format, p.lots.turnsFor(entries))
			if err != nil {
				return nil, err
			}
			r.addExport(entries, format, turns)
			peak[format] = append(peak[format], int64(medianBy(turns, func(t exportTurn) float64 { return float64(t.ours.peak) })))
		}
	}
	for _, format := range []string{"jsonl", "csv"} {
		if n := len(peak[format]); n > 1 {
			first, last := peak[format][0], peak[format][n-1]
			r.figures = append(r.figures, figure{
				"P6", fmt.Sprintf("memory for %s, %s entries", format, million(p.lots.sizes[n-1])), mebibytes(last),
				fmt.Sprintf("%s entries, %s", million(p.lots.sizes[0]), mebibytes(first)), float64(last) / float64(first), atMost(1.25),
			})
		}
	}
	return r, nil
}

func (p *plant) exportTurns(ctx context.Context, dir, format string, n int) ([]exportTurn, error) {
	var turns []exportTurn
	for range n {
		t, err := p.exportTurn(ctx, dir, format)
		if err != nil {
			return nil, err
		}
		turns = append(turns, t)
	}
	return turns, nil
}

// exportTurn has both write the ledger once.
func (p *plant) exportTurn(ctx context.Context, dir, format string) (t exportTurn, err error) {
	path, other := p.path("export."+format), p.path("export-sqlite3."+format)
	defer func() { err = errors.Join(err, os.RemoveAll(path), os.RemoveAll(other)) }()
	if t.ours, err = measure(exec.CommandContext(ctx, p.station, "ledger", "export", "--home", home(dir), "--format", format, "--out", path)); err != nil {
		return t, err
	}
	t.rows, err = recorded(ctx, dir)
	if err != nil {
		return t, err
	}
	query := "SELECT body FROM entry"
	if format == "csv" {
		if query, err = columnsOf(path); err != nil {
			return t, err
		}
	}
	// What was exported, and not what the export recorded of itself.
	query = fmt.Sprintf("%s ORDER BY id LIMIT %d", query, t.rows)
	if t.peers, err = sqlite3(ctx, other, "-csv", lot.Path(dir), query); err != nil || format == "csv" {
		return t, err
	}
	bare, err := sqlite3(ctx, other, "-list", lot.Path(dir), query)
	if err != nil {
		return t, err
	}
	t.bare = bare.seconds
	return t, same(path, other)
}

// sqlite3 writes an answer to a file.
func sqlite3(ctx context.Context, path, mode, ledger, query string) (r run, err error) {
	out, err := os.Create(path)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	c := exec.CommandContext(ctx, "sqlite3", "-readonly", mode, ledger, query)
	c.Stdout = out
	return measure(c)
}

// recorded is how many rows the newest export in a ledger had.
func recorded(ctx context.Context, dir string) (rows int64, err error) {
	err = count(ctx, lot.Path(dir), `SELECT body ->> '$.count' FROM entry WHERE kind = 'export' ORDER BY id DESC LIMIT 1`, &rows)
	return rows, err
}

// columnsOf is the question that has the columns of our file for an answer.
func columnsOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	names, err := csv.NewReader(f).Read()
	if err != nil {
		return "", err
	}
	generated := strings.Fields("epoch seq kind time operator run serial model uid spki_sha256 cert_sha256 cert_serial outcome fault attempt")
	for i, name := range names {
		switch {
		case name == "leaf_hash":
			names[i] = "lower(hex(leaf))"
		case !slices.Contains(generated, name):
			names[i] = fmt.Sprintf("body ->> '$.%s'", name)
		}
	}
	return "SELECT " + strings.Join(names, ", ") + " FROM entry", nil
}

// same compares two files.
func same(x, y string) error {
	c := exec.Command("cmp", x, y)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("the exports differ: %w\n%s", err, out)
	}
	return nil
}

func (r *report) addExport(entries int64, format string, turns []exportTurn) {
	rate := func(t exportTurn, x run) float64 { return float64(t.rows) / x.seconds }
	ours := medianBy(turns, func(t exportTurn) float64 { return rate(t, t.ours) })
	peers := medianBy(turns, func(t exportTurn) float64 { return rate(t, t.peers) })
	middle := func(of func(exportTurn) float64) float64 { return medianBy(turns, of) }
	goal := atLeast(1)
	if format == "csv" {
		goal = atLeast(0.8)
	}
	r.figures = append(r.figures, figure{
		"P6", fmt.Sprintf("export of %s entries, %s", million(entries), format), fmt.Sprintf("%.0f rows/s", ours),
		fmt.Sprintf("sqlite3 -csv, %.0f rows/s", peers), middle(func(t exportTurn) float64 { return t.peers.seconds / t.ours.seconds }), goal,
	})
	r.rows = append(r.rows, []string{
		fmt.Sprint(turns[0].rows), format,
		fmt.Sprintf("%.1f s", middle(func(t exportTurn) float64 { return t.ours.seconds })),
		fmt.Sprintf("%.1f s", middle(func(t exportTurn) float64 { return t.peers.seconds })), bareText(middle(func(t exportTurn) float64 { return t.bare })),
		mebibytes(int64(middle(func(t exportTurn) float64 { return float64(t.ours.peak) }))),
		mebibytes(int64(middle(func(t exportTurn) float64 { return float64(t.peers.peak) }))),
		fmt.Sprintf("%.1f s", middle(func(t exportTurn) float64 { return t.ours.cpu })),
		fmt.Sprintf("%.1f s", middle(func(t exportTurn) float64 { return t.peers.cpu })),
	})
}

func bareText(seconds float64) string {
	if seconds == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f s", seconds)
}

func mebibytes(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }
