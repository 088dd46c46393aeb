// SPDX-License-Identifier: Apache-2.0

// Package bundle is a ledger in one file, for who judges it on a machine
// without the station. It is pure Go.
//
// A bundle is a ZIP archive of stored (not compressed) members, so that any
// program can look into it:
//
//	README.txt                  what this is
//	certificates.pem            what the station has installed; proves nothing by itself
//	challenge.json              only where the auditor asked: the TPM's answer to their nonce (record.Challenge)
//	epoch-E/entries.jsonl       the stored bytes of each entry, one a line
//	epoch-E/leaves.bin          32 bytes for each: its leaf hash as stored (RFC 6962)
//	epoch-E/checkpoints.jsonl   {"note":...,"size":...} for each signed checkpoint
//	blobs.bin                   certificates, requests and whatever entries name by their SHA-256
//	blobs.idx                   sorted: SHA-256, offset and length (8 bytes each, big-endian)
//	MANIFEST.json               name, size and SHA-256 of each of these (RFC 8785)
//	MANIFEST.entry.json         the ledger's own export entry, which names the manifest's SHA-256
//	MANIFEST.tlog-proof         that this entry is in the ledger, under a signed checkpoint
//
// So the manifest is signed by being in the ledger. The archive's comment is
// the SHA-256 of all bytes before it: a bit that flips anywhere is seen before
// anything is read, and the manifest says where.
package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"

	"github.com/gowebpki/jcs"

	"provisioning.example/station/internal/record"
)

// Format is the first thing a manifest says.
const Format = "station-bundle@v1"

const (
	manifestName = "MANIFEST.json"
	entryName    = "MANIFEST.entry.json"
	proofName    = "MANIFEST.tlog-proof"
	readmeName   = "README.txt"
	certsName    = "certificates.pem"
	answerName   = "challenge.json"
	blobsName    = "blobs.bin"
	indexName    = "blobs.idx"

	indexRow = sha256.Size + 8 + 8

	// Bounds of what is read into memory whole.
	maxManifest = 1 << 20
	maxCerts    = 8 << 20
	maxBlob     = 16 << 20
	maxEpochs   = 1 << 10
	maxText     = 256 // of the manifest, each; people read them before the bundle is judged
)

// Source is a ledger at one moment: a snapshot of the database.
type Source interface {
	Raw(ctx context.Context, epoch int, seq int64) iter.Seq2[record.Entry, error]
	Checkpoints(ctx context.Context) iter.Seq2[record.StoredCheckpoint, error]
	Blobs(ctx context.Context) iter.Seq2[record.StoredBlob, error] // by SHA-256, ascending
}

// Manifest says what a bundle holds.
type Manifest struct {
	Format   string  `json:"format"`
	Station  string  `json:"station"`
	Created  string  `json:"created"` // UTC, microseconds
	Operator string  `json:"operator"`
	Software string  `json:"software"`
	Epochs   []Epoch `json:"epochs"`
	Blobs    int64   `json:"blobs"`
	Files    []File  `json:"files"`
}

// Epoch is one TPM's time in the ledger: entries 1 to Entries, whole.
type Epoch struct {
	Epoch       int   `json:"epoch"`
	Entries     int64 `json:"entries"`
	Checkpoints int64 `json:"checkpoints"`
}

// File is a member of the archive.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // lower-case hex
}

// Entries counts the entries of all epochs.
func (m *Manifest) Entries() (n int64) {
	for _, e := range m.Epochs {
		n += e.Entries
	}
	return n
}

// Digest is the SHA-256 of the manifest as it stands in the bundle, lower-case hex: what the ledger records.
func (m *Manifest) Digest() string {
	text, err := m.encode()
	if err != nil {
		return "" // a manifest of strings and numbers always encodes
	}
	return digest(text)
}

func (m *Manifest) encode() ([]byte, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return jcs.Transform(text)
}

var hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// parseManifest reads a manifest that [Manifest.encode] wrote, and nothing else.
func parseManifest(text []byte) (*Manifest, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	m := &Manifest{}
	if err := d.Decode(m); err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	if m.Format != Format {
		return nil, fmt.Errorf("%s: format %.40q, this program reads %s", manifestName, m.Format, Format)
	}
	if again, err := m.encode(); err != nil || !bytes.Equal(again, text) {
		return nil, errors.New(manifestName + " is not canonical JSON (RFC 8785)")
	}
	return m, m.check()
}

// check holds the list of files against the counts: exactly the members that
// the format has, each of the size that the counts demand.
func (m *Manifest) check() error {
	if len(m.Epochs) > maxEpochs || m.Blobs < 0 || m.Blobs > 1<<40 {
		return errors.New(manifestName + ": counts out of range")
	}
	for _, text := range []string{m.Station, m.Created, m.Operator, m.Software} {
		if record.Plain(text, maxText) != text {
			return fmt.Errorf("%s: %.60q is no name: at most %d bytes that can be printed", manifestName, text, maxText)
		}
	}
	want := []string{readmeName, certsName}
	if m.holds(answerName) {
		want = append(want, answerName)
	}
	sizes := map[string]int64{indexName: m.Blobs * indexRow}
	for i, e := range m.Epochs {
		if e.Epoch != i+1 || e.Entries < 0 || e.Entries > 1<<40 || e.Checkpoints < 0 || e.Checkpoints > e.Entries+1 {
			return fmt.Errorf("%s: epoch %d: counts out of range", manifestName, e.Epoch)
		}
		want = append(want, entriesName(e.Epoch), leavesName(e.Epoch), checkpointsName(e.Epoch))
		sizes[leavesName(e.Epoch)] = e.Entries * sha256.Size
	}
	want = append(want, blobsName, indexName)
	got := make([]string, len(m.Files))
	for i, f := range m.Files {
		got[i] = f.Name
		size, fixed := sizes[f.Name]
		if f.Size < 0 || fixed && f.Size != size || !hexDigest.MatchString(f.SHA256) {
			return fmt.Errorf("%s: %.60q: size or digest can not be", manifestName, f.Name)
		}
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s: files are not those of %s", manifestName, Format)
	}
	return nil
}

// holds says whether a file is listed.
func (m *Manifest) holds(name string) bool {
	return slices.ContainsFunc(m.Files, func(f File) bool { return f.Name == name })
}

func entriesName(epoch int) string     { return fmt.Sprintf("epoch-%d/entries.jsonl", epoch) }
func leavesName(epoch int) string      { return fmt.Sprintf("epoch-%d/leaves.bin", epoch) }
func checkpointsName(epoch int) string { return fmt.Sprintf("epoch-%d/checkpoints.jsonl", epoch) }

// checkpointLine is a line of checkpoints.jsonl.
type checkpointLine struct {
	Note string `json:"note"`
	Size int64  `json:"size"`
}

// comment is the archive's comment: the SHA-256 of all bytes before it.
func comment(sum []byte) string { return commentPrefix + hex.EncodeToString(sum) }

const (
	commentPrefix = "sha256 of all bytes before this comment: "
	commentLength = len(commentPrefix) + 2*sha256.Size
)

// DamageError says what in a bundle is not as it was written.
type DamageError struct {
	File   string // member, "" where it can not be told
	Record string // entry or blob in it, "" where it can not be told
	What   string
}

// Error is for people: nothing in a bundle is sent to their terminal as it is.
func (e *DamageError) Error() string {
	text := "the bundle is damaged"
	if e.File != "" {
		text += ": " + e.File
	}
	if e.Record != "" {
		text += ", " + e.Record
	}
	return record.Plain(text+": "+e.What, 1000)
}
