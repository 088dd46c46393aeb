// SPDX-License-Identifier: Apache-2.0

package dossier_test

import (
	"archive/zip"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/record/dossier"
)

// proven is entries in a tree of their own, each with its proof.
func proven(t testing.TB, key *ecdsa.PrivateKey, bodies ...record.Body) []dossier.Proven {
	t.Helper()
	var hashes []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range indexes {
			out = append(out, hashes[i])
		}
		return out, nil
	})
	var all []dossier.Proven
	for i, b := range bodies {
		b.Station, b.Operator, b.Software, b.Time = "ulm/st-07", "op-17", "test", "2026-11-22T07:31:00.000000Z"
		raw, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		stored, err := tlog.StoredHashes(int64(i), raw, read)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, stored...)
		all = append(all, dossier.Proven{Entry: record.Entry{Epoch: 1, Seq: int64(i + 1), Body: b, Raw: raw, Leaf: record.Leaf(raw)}})
	}
	root, err := tlog.TreeHash(int64(len(all)), read)
	if err != nil {
		t.Fatal(err)
	}
	note, err := record.Checkpoint{Origin: record.Origin{Station: "ulm/st-07", Epoch: 1}, Size: int64(len(all)), Root: root}.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		path, err := tlog.ProveRecord(int64(len(all)), int64(i), read)
		if err != nil {
			t.Fatal(err)
		}
		all[i].Proof = record.Proof{Index: int64(i), Hashes: path, Checkpoint: note}
	}
	return all
}

// written is a dossier with three entries and a blob.
func written(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	blob := []byte("bytes of a blob")
	sum := sha256.Sum256(blob)
	stop := record.Body{Kind: record.KindStop, Detail: "=1"}
	var out bytes.Buffer
	_, err = dossier.Write(&out, dossier.Content{
		Station: "ulm/st-07", Unit: "SN-1", Created: "2026-11-22T07:31:00.000000Z", Operator: "op-17", Software: "test",
		Certificates: []byte("none\n"), Entries: proven(t, key, stop, stop, stop), Blobs: map[string][]byte{hex.EncodeToString(sum[:]): blob},
		Sign: func(manifest string) ([]byte, record.Proof, error) {
			e := proven(t, key, stop, stop, stop, record.Body{Kind: record.KindExport, Format: "audit", FileDigest: manifest})[3]
			return e.Raw, e.Proof, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestReadsWhatWasWritten(t *testing.T) {
	data := written(t)
	path := filepath.Join(t.TempDir(), "unit")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := dossier.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if !dossier.Is(path) || d.Manifest.Unit != "SN-1" || len(d.Entries) != 3 || d.Entries[2].Seq != 3 || d.Entries[2].Body.Detail != "=1" {
		t.Errorf("%+v", d.Manifest)
	}
	if blob, err := d.Blob(d.Manifest.Files[len(d.Manifest.Files)-1].SHA256); err != nil || string(blob) != "bytes of a blob" {
		t.Errorf("%q, %v", blob, err)
	}
	if _, err := d.Blob(strings.Repeat("0", 64)); !errors.Is(err, dossier.ErrNoBlob) {
		t.Error(err)
	}
	if !bytes.Contains(data, dossier.Script) {
		t.Error("the script is not in it")
	}
}

// TestEveryFlippedBitIsRefused names the file wherever the bit is in one.
func TestEveryFlippedBitIsRefused(t *testing.T) {
	whole := written(t)
	script := bytes.Index(whole, dossier.Script)
	for i := range whole {
		if inside := i - script; inside > 0 && inside < len(dossier.Script)-1 && inside%64 != 0 {
			continue // half of the file, and one member like any other
		}
		flipped := bytes.Clone(whole)
		flipped[i] ^= 1 << (i % 8)
		var d *dossier.DamageError
		if _, err := dossier.Parse(flipped); !errors.As(err, &d) {
			t.Fatalf("bit %d of byte %d of %d flipped: %v", i%8, i, len(whole), err)
		}
	}
	for i := range 40 {
		if _, err := dossier.Parse(whole[:len(whole)*i/40]); err == nil {
			t.Fatalf("cut at %d fortieths: taken", i)
		}
	}
	if _, err := dossier.Parse(append(bytes.Clone(whole), 'x')); err == nil {
		t.Error("a byte more: taken")
	}
	for text, file := range map[string]string{
		`"detail":"=1"`: "entries/1-1.json", "index 1\n": "entries/1-2.tlog-proof", "bytes of a blob": "blobs/",
		"#!/usr/bin/env bash": "verify-unit.sh", `"station-unit@v1"`: "MANIFEST.json", `"format":"audit"`: "MANIFEST.entry.json",
	} {
		at := bytes.Index(whole, []byte(text))
		if at < 0 {
			t.Fatalf("%q is not in the dossier", text)
		}
		flipped := bytes.Clone(whole)
		flipped[at+2] ^= 1
		if _, err := dossier.Parse(flipped); err == nil || !strings.Contains(err.Error(), ": "+file) {
			t.Errorf("%q spoilt: %v, want %s", text, err, file)
		}
	}
}

const created = "2026-11-22T07:31:00.000000Z"

// TestTimes: an archive's members say when it was made, as every archiver shows it.
func TestTimes(t *testing.T) {
	whole := written(t)
	z, err := zip.NewReader(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		if got := f.Modified.UTC().Format(time.RFC3339); got != "2026-11-22T07:31:00Z" {
			t.Errorf("%s is of %s", f.Name, got)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	none := func(string) ([]byte, record.Proof, error) {
		return nil, record.Proof{}, errors.New("the ledger is full")
	}
	var out bytes.Buffer
	if _, err := dossier.Write(&out, dossier.Content{Created: created, Sign: none}); err == nil || out.Len() > 0 {
		t.Errorf("a unit without entries: %v, %d bytes", err, out.Len())
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	entries := proven(t, key, record.Body{Kind: record.KindStop})
	if _, err := dossier.Write(&out, dossier.Content{Created: created, Entries: entries, Sign: none}); err == nil || !strings.Contains(err.Error(), "the ledger is full") || out.Len() > 0 {
		t.Errorf("not recorded: %v, %d bytes", err, out.Len())
	}
	if _, err := dossier.Write(&out, dossier.Content{Created: created, Entries: append(entries, entries...), Sign: none}); err == nil || !strings.Contains(err.Error(), "out of place") {
		t.Errorf("an entry twice: %v", err)
	}
}

// TestShippedScript: what lies in the scripts folder is what lies in every dossier.
func TestShippedScript(t *testing.T) {
	shipped, err := os.ReadFile("../../../scripts/verify-unit.sh")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(shipped, dossier.Script) {
		t.Error("scripts/verify-unit.sh differs from the one in a dossier")
	}
}
