// SPDX-License-Identifier: Apache-2.0

package export_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/export"
	"provisioning.example/station/internal/record"
)

func TestPackIsWholeOrNotThere(t *testing.T) {
	w := newWorldWith(t, "sn-1")
	for _, format := range export.Packs() {
		dir := t.TempDir()
		path := filepath.Join(dir, "pack")
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		o := w.options()
		o.Manifest = w.manifestKey(t)
		o.Serial = "sn-1" // a c-header looks at units only then
		if _, err := export.Pack(cancelled, path, format, w.reader(), o); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v", format, err)
		}
		o.Outcome = record.Failed
		if _, err := export.Pack(t.Context(), path, format, w.reader(), o); err == nil || !strings.Contains(err.Error(), "units that passed") {
			t.Errorf("%s of failed ones: %v", format, err)
		}
		o.Outcome = record.Passed
		o.Chain = nil
		if _, err := export.Pack(t.Context(), path, format, w.reader(), o); err == nil {
			t.Errorf("%s without a chain is written", format)
		}
		if left := names(dir); len(left) > 0 {
			t.Errorf("%s: left behind %v", format, left)
		}
		if !export.IsFolder(format) {
			continue
		}
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := export.Pack(t.Context(), path, format, w.reader(), w.options()); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s over a folder: %v", format, err)
		}
		if left := names(path); len(left) > 0 {
			t.Errorf("%s: a folder that was there holds %v", format, left)
		}
		if _, err := export.Pack(t.Context(), filepath.Join(dir, "no", "pack"), format, w.reader(), w.options()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s in no folder: %v", format, err)
		}
	}
	if _, err := export.Pack(t.Context(), filepath.Join(t.TempDir(), "x"), "gcp", w.reader(), w.options()); err == nil || !strings.Contains(err.Error(), "aws, azure, c-header, manifest") {
		t.Errorf("unknown: %v", err)
	}
}

// TestPackNamesAllWhoDoNotFit: the first ten by name, the others by number.
func TestPackNamesAllWhoDoNotFit(t *testing.T) {
	w := newWorld(t)
	for n := range 12 {
		w.pass(terms{serial: fmt.Sprintf("SN.%d", n)})
	}
	_, err := export.Pack(t.Context(), filepath.Join(t.TempDir(), "pack"), "aws", w.reader(), w.options())
	if err == nil || !strings.Contains(err.Error(), "unit SN.0: ") || !strings.Contains(err.Error(), "unit SN.9: ") || !strings.HasSuffix(err.Error(), "; and 2 more") {
		t.Errorf("%v", err)
	}
}

func TestSelection(t *testing.T) {
	w := newWorld(t)
	w.pass(terms{serial: "sn-1", order: "WO-1", product: "pump"})
	w.pass(terms{serial: "sn-2", order: "WO-2", product: "pump"})
	w.pass(terms{serial: "sn-3", order: "WO-2", product: "valve"})
	for want, s := range map[string]export.Selection{
		"sn-1 sn-2 sn-3": {},
		"sn-1":           {Order: "WO-1"},
		"sn-1 sn-2":      {Product: "pump"},
		"sn-2":           {Serial: "sn-2"},
		"sn-3":           {Order: "WO-2", Product: "valve"},
		"":               {Since: w.now.Add(time.Hour)},
	} {
		dir, result := w.pack("azure", func(o *export.PackOptions) { o.Selection = s })
		var got []string
		for _, l := range lines[allowedLine](t, filepath.Join(dir, "allow-list.jsonl")) {
			got = append(got, l.Serial)
		}
		if strings.Join(got, " ") != want || result.Listed != int64(len(got)) {
			t.Errorf("%q selects %v, want %q", s, got, want)
		}
		var text strings.Builder
		kinds := []string{record.KindEnd}
		rows, err := export.Write(t.Context(), &text, "jsonl", w.reader(), export.Options{Selection: s, Kinds: kinds})
		if err != nil || rows.Rows != int64(len(got)) {
			t.Errorf("%q selects %d ends, %v", s, rows.Rows, err)
		}
	}
	if until, _ := w.pack("azure", func(o *export.PackOptions) { o.Until = w.now.Add(-time.Hour) }); len(read(t, until, "allow-list.jsonl")) > 0 {
		t.Error("until an hour ago something was issued")
	}
	s := export.Selection{Order: "WO-1", Product: "pump", Serial: "1", Outcome: "passed", Since: time.Unix(0, 0), Until: time.Unix(86400, 0)}
	if got, want := s.String(), "order=WO-1 product=pump unit=1 result=passed since=1970-01-01T00:00:00Z until=1970-01-02T00:00:00Z"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestPackRefusesAnUnknownIssuer: a certificate leaves only with the one that
// issued it.
func TestPackRefusesAnUnknownIssuer(t *testing.T) {
	w := newWorldWith(t, "sn-1")
	stranger := newWorld(t)
	w.intermediate, w.key = stranger.intermediate, stranger.key
	w.pass(terms{serial: "sn-2"})
	o := w.options()
	o.Chain = newWorld(t).options().Chain
	path := filepath.Join(t.TempDir(), "pack")
	if _, err := export.Pack(t.Context(), path, "aws", w.reader(), o); err == nil || !strings.Contains(err.Error(), "is not in the ledger") {
		t.Errorf("%v", err)
	}
	if left := names(filepath.Dir(path)); len(left) > 0 {
		t.Errorf("left behind %v", left)
	}
}

// TestPackTellsProgressAndStopsInTheMiddle: half a folder is taken away again.
func TestPackTellsProgressAndStopsInTheMiddle(t *testing.T) {
	w := newWorld(t)
	for n := range 201 {
		w.pass(terms{serial: fmt.Sprintf("sn-%d", n)})
	}
	for _, format := range []string{"aws", "azure", "manifest"} {
		var told []int64
		o := w.options()
		o.Manifest = w.manifestKey(t)
		o.Progress = func(n int64) { told = append(told, n) }
		dir := t.TempDir()
		if _, err := export.Pack(t.Context(), filepath.Join(dir, "whole"), format, w.reader(), o); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(told, []int64{100, 200}) {
			t.Errorf("%s: progress was told as %v", format, told)
		}
		ctx, cancel := context.WithCancel(t.Context())
		o.Progress = func(int64) { cancel() }
		if _, err := export.Pack(ctx, filepath.Join(dir, "half"), format, w.reader(), o); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", format, err)
		}
		if left := names(dir); !slices.Equal(left, []string{"whole"}) {
			t.Errorf("%s: left behind %v", format, left)
		}
	}
}
