// SPDX-License-Identifier: Apache-2.0

package bundle_test

import (
	"archive/zip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/record/bundle"
)

const created = "2026-11-22T07:31:00.000000Z"

// empty is a ledger of its first checkpoint alone.
type empty struct{ note []byte }

func newEmpty(t *testing.T) empty {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	note, err := record.Checkpoint{Origin: record.Origin{Station: "ulm/st-07", Epoch: 1}}.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	return empty{note}
}

func (empty) Raw(context.Context, int, int64) iter.Seq2[record.Entry, error] {
	return func(func(record.Entry, error) bool) {}
}

func (e empty) Checkpoints(context.Context) iter.Seq2[record.StoredCheckpoint, error] {
	return func(yield func(record.StoredCheckpoint, error) bool) {
		yield(record.StoredCheckpoint{Epoch: 1, Note: e.note}, nil)
	}
}

func (empty) Blobs(context.Context) iter.Seq2[record.StoredBlob, error] {
	return func(func(record.StoredBlob, error) bool) {}
}

// write writes the empty ledger as a bundle.
func write(t *testing.T, head bundle.Head) (string, error) {
	t.Helper()
	e := newEmpty(t)
	head.Station, head.Created, head.Operator, head.Software = "ulm/st-07", created, "op-17", "test"
	head.Sign = func(_ context.Context, manifest string, _ *bundle.Manifest) ([]byte, record.Proof, error) {
		entry, err := record.Body{
			Kind: record.KindExport, Station: "ulm/st-07", Time: created, Operator: "op-17", Software: "test", Format: "bundle", FileDigest: manifest,
		}.Encode()
		return entry, record.Proof{Checkpoint: e.note}, err
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "bundle"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // test
	_, err = bundle.Write(t.Context(), f, e, head)
	return f.Name(), err
}

func openBundle(t *testing.T, path string) *bundle.Bundle {
	t.Helper()
	b, err := bundle.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() }) //nolint:errcheck // test
	return b
}

// TestTimes: an archive's members say when it was made, as every archiver shows it.
func TestTimes(t *testing.T) {
	path, err := write(t, bundle.Head{})
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close() //nolint:errcheck // test
	for _, f := range z.File {
		if got := f.Modified.UTC().Format(time.RFC3339); got != "2026-11-22T07:31:00Z" {
			t.Errorf("%s is of %s", f.Name, got)
		}
	}
}

// TestCertificatesBound: what the reader would refuse is not written.
func TestCertificatesBound(t *testing.T) {
	const most = 8 << 20
	path, err := write(t, bundle.Head{Certificates: []byte(strings.Repeat("x", most))})
	if err != nil {
		t.Fatal(err)
	}
	if b := openBundle(t, path); len(b.Certificates) != most {
		t.Errorf("%d bytes are read", len(b.Certificates))
	}
	if _, err := write(t, bundle.Head{Certificates: []byte(strings.Repeat("x", most+1))}); err == nil || !strings.Contains(err.Error(), "takes at most 8388608") {
		t.Errorf("one byte more: %v", err)
	}
}

func TestChallengeInBundle(t *testing.T) {
	path, err := write(t, bundle.Head{})
	if err != nil {
		t.Fatal(err)
	}
	if openBundle(t, path).Challenge() != nil {
		t.Error("an answer that nobody asked for")
	}
	c := record.Challenge{Nonce: strings.Repeat("0f", 16), Checkpoint: strings.Repeat("a5", 32), NV: 7, Attest: "ff", AttestSig: "00"}
	if path, err = write(t, bundle.Head{Challenge: &c}); err != nil {
		t.Fatal(err)
	}
	if got := openBundle(t, path).Challenge(); got == nil || *got != c {
		t.Errorf("%+v", got)
	}
	c.Nonce = "00"
	if path, err = write(t, bundle.Head{Challenge: &c}); err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "challenge.json") {
		t.Errorf("a short nonce: %v", err)
	}
}
