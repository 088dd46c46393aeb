// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"provisioning.example/station/internal/export"
	"provisioning.example/station/internal/record"
)

// exportFlags are those of ledger export.
type exportFlags struct {
	format, out  string
	kinds        []string
	since, until string
	skip, proof  bool
	challenge    string // an auditor's nonce, as given
	nonce        []byte // and as read; nil: none
	selection    export.Selection
	aws          export.AWSOptions
	azure        export.AzureOptions
}

func newLedgerExport(g *globals) *cobra.Command {
	f := exportFlags{}
	c := &cobra.Command{
		Use: "export", Short: "write the ledger for others: csv, xlsx, html, a unit's file, packs for clouds", Args: cobra.NoArgs,
		Long: `export writes the ledger to a file, or to a folder for a cloud, that appears whole
or not at all. The export itself is recorded first.

  jsonl      the evidence: the stored bytes
  csv, xlsx  views for spreadsheets
  html       a report with plots, to read and to print
  audit      with --unit: all about one unit in one file that its customer can check
  bundle     the whole ledger in one file, for ledger-verify on QA's machine
  aws        folder for AWS IoT Core: CA, policy, templates, bulk registration, allow-list
  azure      folder for Azure: enrollment group, devices.txt, allow-list
  manifest   one signed statement (JWS) for each unit
  c-header   root and chain as PEM constants of C; with --unit its certificate, too

A README in each folder has the commands. Packs are about units that passed and
whose certificate lives; docs/exports.md says what is in each.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.parse(); err != nil {
				return err
			}
			b, err := openLedger(c.Context(), g)
			if err != nil {
				return err
			}
			defer b.Close()
			res, err := b.export(c, g, f)
			if err != nil {
				return err
			}
			return f.report(c, g, res)
		},
	}
	f.define(c)
	return c
}

func (f *exportFlags) formats() []string {
	return slices.Sorted(slices.Values(append(append(export.Formats(), export.Packs()...), bundleFormat, auditFormat)))
}

func (f *exportFlags) define(c *cobra.Command) {
	v := c.Flags()
	v.StringVar(&f.format, "format", "csv", strings.Join(f.formats(), ", "))
	v.StringVar(&f.out, "out", "", "the file to write, or the folder to make")
	v.StringArrayVar(&f.kinds, "kind", nil, "csv, xlsx, jsonl: only entries of this kind, may be repeated (end: how units ended)")
	v.StringVar(&f.selection.Order, "order", "", "one work order")
	v.StringVar(&f.selection.Product, "product", "", "one product")
	v.StringVar(&f.selection.Serial, "unit", "", "one unit, by its serial")
	v.StringVar(&f.selection.Outcome, "result", "", "csv, xlsx, jsonl, html: passed, failed, error or aborted")
	v.StringVar(&f.selection.Person, "by", "", "what this operator did, by ID")
	v.StringVar(&f.since, "since", "", "not before this day or time, as 2026-11-22 or 2026-11-22T07:31:00Z")
	v.StringVar(&f.until, "until", "", "before this day or time")
	v.BoolVar(&f.proof, "proof", false, "csv, xlsx, jsonl, html: beside the file, write what proves that the ledger recorded it")
	v.StringVar(&f.challenge, "challenge", "", "bundle: the auditor's random number, 16 to 64 bytes in hex or base64url; the TPM signs its counter over it")
	v.BoolVar(&f.skip, "skip", false, "aws, azure: leave out units that do not keep the cloud's limits, and list them")
	v.StringVar(&f.aws.TopicRoot, "topic-root", "sensors", "aws: devices publish below TOPIC-ROOT/NAME/")
	v.StringVar(&f.aws.Policy, "policy-name", "station-device", "aws: name of the policy")
	v.StringVar(&f.aws.Template, "template-name", "station-jitp", "aws: name of the provisioning template")
	v.StringVar(&f.aws.Region, "aws-region", "", "aws: the policy is for this region only")
	v.StringVar(&f.aws.Account, "aws-account", "", "aws: the policy is for this account only")
	v.StringVar(&f.azure.Group, "enrollment-group", "station", "azure: name of the enrollment group")
	v.BoolVar(&f.azure.Individual, "individual", false, "azure: individual enrollments besides")
}

// pack says whether the format is about certificates.
func (f *exportFlags) pack() bool { return slices.Contains(export.Packs(), f.format) }

// parse checks the flags before anything is recorded.
func (f *exportFlags) parse() (err error) {
	switch {
	case !slices.Contains(f.formats(), f.format):
		return usage(fmt.Errorf("--format %q", f.format), "allowed: "+strings.Join(f.formats(), ", "))
	case f.out == "":
		return usage(errors.New("--out is needed"), "name the file to write, or the folder to make")
	case (f.pack() || f.format == "html") && len(f.kinds) > 0:
		return usage(fmt.Errorf("--kind with --format %s", f.format), "kinds are of entries: csv, jsonl, xlsx")
	case f.proof && !slices.Contains(export.Formats(), f.format):
		return usage(fmt.Errorf("--proof with --format %s", f.format), "it is for "+strings.Join(export.Formats(), ", ")+"; an audit and a bundle hold their proof")
	case f.pack() && f.selection.Outcome != "" && f.selection.Outcome != record.Passed:
		return usage(fmt.Errorf("--result %q with --format %s", f.selection.Outcome, f.format), "only units that passed are registered anywhere")
	case f.selection.Outcome != "" && !slices.Contains([]string{record.Passed, record.Failed, record.Error, record.Aborted}, f.selection.Outcome):
		return usage(fmt.Errorf("--result %q", f.selection.Outcome), "allowed: passed, failed, error, aborted")
	case f.format == "c-header" && (f.selection.Order != "" || f.selection.Product != "" || f.since != "" || f.until != ""):
		return usage(errors.New("a selection with --format c-header"), "it is for all devices, or with --unit for one")
	}
	if err := errors.Join(f.checkBundle(), f.checkAudit()); err != nil {
		return err
	}
	for _, k := range f.kinds {
		if !slices.ContainsFunc(record.Kinds(), func(kind record.Kind) bool { return kind.Name == k }) {
			return usage(fmt.Errorf("--kind %q", k), "docs/ledger.md lists the kinds of entries")
		}
	}
	if err := errors.Join(f.aws.Check(), f.azure.Check()); err != nil {
		return usage(err, "see: station ledger export --help")
	}
	if f.selection.Since, err = parseMoment("--since", f.since); err != nil {
		return err
	}
	f.selection.Until, err = parseMoment("--until", f.until)
	return err
}

// parseMoment reads a day, which begins at midnight where the station stands, or a time.
func parseMoment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, time.Local); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, usage(fmt.Errorf("%s %q", flag, text), "a day as 2026-11-22, or a time as 2026-11-22T07:31:00Z")
	}
	return t, nil
}

// filter is what was asked for, for the export entry.
func (f *exportFlags) filter() string {
	parts := []string{}
	for _, k := range f.kinds {
		parts = append(parts, "kind="+k)
	}
	if s := f.selection.String(); s != "" {
		parts = append(parts, s)
	}
	if f.skip {
		parts = append(parts, "skip")
	}
	return record.Plain(strings.Join(parts, " "), 512)
}

// export writes what the ledger holds at this moment. It is on record before
// anything has its name.
func (b *bench) export(c *cobra.Command, g *globals, f exportFlags) (res export.Result, err error) {
	show := newCountShow(c.ErrOrStderr())
	defer show.end()
	if f.pack() {
		return b.exportPack(c.Context(), g, f, show.tell)
	}
	return b.exportEntries(c.Context(), f, show.tell)
}

// exportEntries is export of what is about entries: no pack.
func (b *bench) exportEntries(ctx context.Context, f exportFlags, tell func(int64)) (res export.Result, err error) {
	switch f.format {
	case bundleFormat:
		res, err = b.exportBundle(ctx, f, tell)
	case auditFormat:
		res, err = b.exportAudit(ctx, f)
	default:
		res, err = b.exportFile(ctx, f, tell)
	}
	return res, exportError(err)
}

// exportPack records the export, and then writes the pack.
func (b *bench) exportPack(ctx context.Context, g *globals, f exportFlags, tell func(int64)) (export.Result, error) {
	options, err := b.packOptions(ctx, g, f)
	if err != nil {
		return export.Result{}, err
	}
	err = b.note(ctx, record.Body{
		Kind: record.KindExport, Format: f.format, File: record.Plain(filepath.Base(f.out), 256), Filter: f.filter(), Order: f.selection.Order,
	})
	if err != nil {
		return export.Result{}, err
	}
	moment, err := b.reader.Snapshot(ctx)
	if err != nil {
		return export.Result{}, unfit(err, "see: station ledger verify")
	}
	defer moment.Close()
	options.Progress = tell
	res, err := export.Pack(ctx, f.out, f.format, moment, options)
	return res, exportError(err)
}

// packOptions opens what a pack needs besides the ledger.
func (b *bench) packOptions(ctx context.Context, g *globals, f exportFlags) (o export.PackOptions, err error) {
	in, err := b.installedCA()
	if err != nil {
		return o, err
	}
	o = export.PackOptions{
		Selection: f.selection, Chain: in.Chain, Station: b.home.cfg.Name, Simulated: in.Simulated() || b.tpm.Info().Simulated,
		Skip: f.skip, AWS: f.aws, Azure: f.azure,
	}
	if f.format == "manifest" {
		o.Manifest, err = b.manifestKey(ctx, g, in)
	}
	return o, err
}

// exportError says what a person can do about it.
func exportError(err error) error {
	var unfitUnits *export.UnfitError
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &unfitUnits):
		return usage(err, "nothing was written; leave them out with --skip, or give them other names by the profile")
	case errors.Is(err, fs.ErrExist):
		return usage(err, "a folder is never overwritten: name another with --out")
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return usage(err, "nothing was left behind; name a place that can be written with --out")
	}
	return unfit(err, "nothing was left behind; see: station doctor, station ledger verify")
}

func (f *exportFlags) report(c *cobra.Command, g *globals, res export.Result) error {
	if g.json {
		return json.NewEncoder(c.OutOrStdout()).Encode(struct {
			Event   string `json:"event"` // export
			Format  string `json:"format"`
			Out     string `json:"out"`
			Rows    int64  `json:"rows"`
			Listed  int64  `json:"listed,omitempty"`
			Skipped int64  `json:"skipped,omitempty"`
			Bytes   int64  `json:"bytes"`
			SHA256  string `json:"sha256"`
		}{"export", f.format, f.out, res.Rows, res.Listed, res.Skipped, res.Bytes, res.SHA256})
	}
	w := c.ErrOrStderr()
	switch {
	case export.IsFolder(f.format):
		fmt.Fprintf(w, "%d units to register, %d certificates on the allow-list", res.Rows, res.Listed)
		if res.Skipped > 0 {
			fmt.Fprintf(w, ", %d left out (skipped.jsonl)", res.Skipped)
		}
		fmt.Fprintf(w, ", SHA-256 of SHA256SUMS %s\nnext: %s\n", res.SHA256, filepath.Join(f.out, "README.md"))
	case f.format == "c-header":
		fmt.Fprintf(w, "%d bytes, SHA-256 %s\n", res.Bytes, res.SHA256)
	case f.pack():
		fmt.Fprintf(w, "%d units, %d bytes, SHA-256 %s\n", res.Rows, res.Bytes, res.SHA256)
	default:
		fmt.Fprintf(w, "%d entries, %d bytes, SHA-256 %s\n", res.Rows, res.Bytes, res.SHA256)
	}
	return nil
}

// countShow shows how far a long export is: one live line on a terminal, a line
// now and then elsewhere.
type countShow struct {
	w    io.Writer
	live bool
	told bool
	next int64
}

// countStep is how many entries or units lie between two lines on a pipe.
const countStep = 100_000

func newCountShow(w io.Writer) *countShow {
	f, ok := w.(*os.File)
	return &countShow{w: w, live: ok && term.IsTerminal(int(f.Fd())), next: countStep}
}

func (s *countShow) tell(n int64) {
	switch {
	case s.live:
		fmt.Fprintf(s.w, "\r%d", n)
		s.told = true
	case n >= s.next:
		fmt.Fprintf(s.w, "%d so far\n", n)
		s.next = n + countStep
	}
}

func (s *countShow) end() {
	if s.told {
		fmt.Fprint(s.w, "\r\x1b[K")
	}
}
