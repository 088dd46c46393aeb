// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/record"
)

// forgery is a bundle whose every digest fits, and that no ledger wrote.
type forgery struct {
	t           *testing.T
	note        []byte
	manifest    Manifest
	checkpoints string
	more        func(z *zip.Writer) // members besides
	blobs       string
	instead     map[string]string // other names of members than the manifest has
}

func newForgery(t *testing.T) *forgery {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	note, err := record.Checkpoint{Origin: record.Origin{Station: "ulm/st-07", Epoch: 1}}.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	return &forgery{
		t: t, note: note, checkpoints: fmt.Sprintf("{\"note\":%q,\"size\":0}\n", note),
		manifest: Manifest{Format: Format, Station: "ulm/st-07", Epochs: []Epoch{{1, 0, 1}}, Files: []File{}},
	}
}

// open writes the forgery and opens it.
func (f *forgery) open() (*Bundle, error) {
	f.t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	put := func(name, data string) {
		f.t.Helper()
		w, err := z.CreateHeader(&zip.FileHeader{Name: cmp.Or(f.instead[name], name), Method: zip.Store})
		if err == nil {
			_, err = w.Write([]byte(data))
		}
		if err != nil {
			f.t.Fatal(err)
		}
	}
	for _, m := range [][2]string{
		{readmeName},
		{certsName},
		{entriesName(1)},
		{leavesName(1)},
		{checkpointsName(1), f.checkpoints},
		{blobsName, f.blobs},
		{indexName, strings.Repeat("\x00", int(f.manifest.Blobs)*indexRow)},
	} {
		f.manifest.Files = append(f.manifest.Files, File{m[0], int64(len(m[1])), digest([]byte(m[1]))})
		if m[0] == blobsName && f.blobs != "" {
			m[1] = strings.ToUpper(m[1]) // not what the manifest says
		}
		put(m[0], m[1])
	}
	text, err := f.manifest.encode()
	if err != nil {
		f.t.Fatal(err)
	}
	put(manifestName, string(text))
	entry, err := record.Body{
		Kind: record.KindExport, Station: "ulm/st-07", Time: "2026-11-22T07:31:00.000000Z", Operator: "op-17", Software: "test",
		Format: "bundle", FileDigest: digest(text),
	}.Encode()
	if err != nil {
		f.t.Fatal(err)
	}
	put(entryName, string(entry))
	put(proofName, string(record.Proof{Checkpoint: f.note}.Marshal()))
	if f.more != nil {
		f.more(z)
	}
	if err := z.SetComment(comment(make([]byte, sha256.Size))); err != nil {
		f.t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		f.t.Fatal(err)
	}
	data := buf.Bytes()
	sum := sha256.Sum256(data[:len(data)-commentLength])
	copy(data[len(data)-commentLength:], comment(sum[:]))
	path := filepath.Join(f.t.TempDir(), "bundle")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		f.t.Fatal(err)
	}
	b, err := Open(f.t.Context(), path)
	if err == nil {
		f.t.Cleanup(func() { b.Close() }) //nolint:errcheck // test
	}
	return b, err
}

// count counts the checkpoints, up to an error.
func count(b *Bundle) (n int, err error) {
	for _, err := range b.Checkpoints(context.Background()) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func TestForgedAsWritten(t *testing.T) {
	b, err := newForgery(t).open()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := count(b); n != 1 || err != nil {
		t.Fatalf("%d checkpoints, %v", n, err)
	}
}

// TestCheckpointsBeyond: no line is left unread.
func TestCheckpointsBeyond(t *testing.T) {
	f := newForgery(t)
	f.checkpoints += f.checkpoints
	b, err := f.open()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := count(b); err == nil || !strings.Contains(err.Error(), "more than the manifest says") {
		t.Fatalf("%d checkpoints, %v", n, err)
	}
}

// TestTerminal: neither what a bundle says of itself nor the name of a member reaches a terminal with orders for it.
func TestTerminal(t *testing.T) {
	const order = "\x1b]0;x\a"
	f := newForgery(t)
	f.manifest.Operator = order
	if _, err := f.open(); err == nil || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("in the manifest: %v", err)
	}
	f = newForgery(t)
	f.more = func(z *zip.Writer) {
		for range 2 {
			if _, err := z.CreateHeader(&zip.FileHeader{Name: order, Method: zip.Store}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := f.open(); err == nil || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("in a name: %q", err)
	}
}

// TestMembersOverEachOther: one part of the file that many members share would be read many times.
func TestMembersOverEachOther(t *testing.T) {
	shared := bytes.Repeat([]byte{'x'}, 1<<16)
	f := newForgery(t)
	f.more = func(z *zip.Writer) {
		// The header of the first one says that it holds all that follows it; so do the others.
		for i := range 8 {
			h := &zip.FileHeader{Name: fmt.Sprint(i), Method: zip.Store, CompressedSize64: uint64(len(shared)), UncompressedSize64: uint64(len(shared))}
			w, err := z.CreateRaw(h)
			if err == nil && i == 7 {
				_, err = w.Write(shared)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := f.open(); err == nil || !strings.Contains(err.Error(), "longer than what the bundle has left") {
		t.Fatal(err)
	}
}

// TestDamagedBlobsWithoutIndex: where the damage is cannot be looked up in an
// index that another member stands in for.
func TestDamagedBlobsWithoutIndex(t *testing.T) {
	f := newForgery(t)
	f.manifest.Blobs, f.blobs = 1, "a blob"
	f.instead = map[string]string{indexName: "another.idx"}
	_, err := f.open()
	if d := (*DamageError)(nil); !errors.As(err, &d) || d.File != indexName {
		t.Fatal(err)
	}
}
