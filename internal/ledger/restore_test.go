// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// TestTakeIn takes in a ledger as a crash leaves it, newest entries in its log, from a folder that cannot be written.
func TestTakeIn(t *testing.T) {
	c := create(t)
	l := open(t, c)
	appendTo(t, l, bodies(stop("one"), stop("two")))
	if err := l.Cover(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	crashed := filepath.Join(t.TempDir(), "ledger.db")
	for _, suffix := range []string{"", "-wal"} {
		if err := os.WriteFile(crashed+suffix, readFile(t, c.Path+suffix), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	before := files(t, crashed)
	to := filepath.Join(t.TempDir(), "ledger.db")
	for range 2 { // a second time over what the first left
		digest, err := ledger.TakeIn(t.Context(), crashed, to)
		want, _, digestErr := ledger.Digest(t.Context(), crashed)
		if err := errors.Join(err, digestErr); err != nil || digest != want {
			t.Fatalf("%s, %v; want %s", digest, err, want)
		}
	}
	if files(t, crashed) != before {
		t.Error("the original was modified")
	}
	if names, err := os.ReadDir(filepath.Dir(to)); err != nil || len(names) != 1 {
		t.Errorf("taken in as %v, %v", names, err)
	}
	taken := c
	taken.Path = to
	content(t, open(t, taken), []string{"one", "two"})

	other := filepath.Join(t.TempDir(), "other.db")
	if err := os.WriteFile(other, []byte("no ledger"), 0o600); err != nil {
		t.Fatal(err)
	}
	var format *reader.FormatError
	if _, err := ledger.TakeIn(t.Context(), other, filepath.Join(t.TempDir(), "x.db")); !errors.As(err, &format) {
		t.Errorf("another file: %v", err)
	}
}

// TestReplace cuts the power between the moves: what was there is kept, and the same call ends it.
func TestReplace(t *testing.T) {
	for _, moved := range [][]string{nil, {""}, {"", "-wal"}, {"", "-wal", "-shm"}} {
		dir := t.TempDir()
		at, with, aside := filepath.Join(dir, "ledger.db"), filepath.Join(dir, "new.db"), filepath.Join(dir, "aside")
		for _, f := range []string{at, at + "-wal", at + "-shm", with} {
			if err := os.WriteFile(f, []byte(filepath.Base(f)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(aside, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, suffix := range moved {
			if err := os.Rename(at+suffix, filepath.Join(aside, "ledger.db"+suffix)); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := ledger.Replace(at, with, aside); err != nil {
				t.Fatal(err)
			}
		}
		if string(readFile(t, at)) != "new.db" {
			t.Error("the other ledger is not in its place")
		}
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if string(readFile(t, filepath.Join(aside, "ledger.db"+suffix))) != "ledger.db"+suffix {
				t.Errorf("ledger.db%s was not kept", suffix)
			}
		}
		if err := os.WriteFile(with, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := ledger.Replace(at, with, aside); err == nil || !strings.Contains(err.Error(), "nothing that was kept is overwritten") {
			t.Errorf("over what was kept: %v", err)
		}
	}
}

// TestRestoredEpoch names a checkpoint that is lost, and brings entries along.
func TestRestoredEpoch(t *testing.T) {
	c := create(t)
	l := open(t, c)
	appendTo(t, l, bodies(stop("one")))
	if err := errors.Join(l.Cover(t.Context(), 1), l.Close()); err != nil {
		t.Fatal(err)
	}
	n := next(t, c)
	b := handover("the newest copy")
	b.Kind, b.Origin, b.Size = record.KindRestored, testOrigin, 17
	b.Checkpoint = strings.Repeat("ab", 32)
	list := body(record.KindImport)
	list.What, list.FileDigest = "what was lost", strings.Repeat("cd", 32)
	if err := ledger.NextEpoch(t.Context(), n, b, ledger.Batch{Bodies: []record.Body{list}, Blobs: [][]byte{[]byte("list")}}); err != nil {
		t.Fatal(err)
	}
	l = open(t, n)
	first, err := l.Reader().Entry(t.Context(), 2, 1)
	if err != nil || first.Body.Size != 17 || first.Body.Checkpoint != b.Checkpoint || first.Body.Count != 1 {
		t.Errorf("%+v, %v", first.Body, err)
	}
	if second, err := l.Reader().Entry(t.Context(), 2, 2); err != nil || second.Body.What != "what was lost" {
		t.Errorf("%+v, %v", second.Body, err)
	}
}

// TestRestoredEpochHoldsMuch: what lost entries took is more than fits into a
// batch of the line, and stays taken all the same.
func TestRestoredEpochHoldsMuch(t *testing.T) {
	c := create(t)
	l := open(t, c)
	appendTo(t, l, bodies(stop("one")))
	if err := errors.Join(l.Cover(t.Context(), 1), l.Close()); err != nil {
		t.Fatal(err)
	}
	n := next(t, c)
	b := handover("the newest copy")
	b.Kind = record.KindRestored
	var held ledger.Batch
	for i := range 1000 {
		e := body(record.KindImport)
		e.What, e.FileDigest, e.Model, e.UID, e.Serial = "unit of lost entries", strings.Repeat("cd", 32), "gw-2", fmt.Sprintf("%08x", i), fmt.Sprintf("SN-%d", i)
		e.Claims = []record.Claim{{Kind: record.ClaimSerial, Value: e.Serial}}
		held.Bodies = append(held.Bodies, e)
	}
	if err := ledger.NextEpoch(t.Context(), n, b, held); err != nil {
		t.Fatal(err)
	}
	l = open(t, n)
	if size, covered := l.Size(); size != 1001 || covered != size {
		t.Errorf("%d entries, %d covered", size, covered)
	}
	for _, i := range []int{0, 63, 64, 999} {
		if e, err := l.Reader().Held(t.Context(), record.Claim{Kind: record.ClaimSerial, Value: fmt.Sprintf("SN-%d", i)}); err != nil || e.Body.UID != fmt.Sprintf("%08x", i) {
			t.Errorf("SN-%d: %+v, %v", i, e.Body, err)
		}
	}
}
