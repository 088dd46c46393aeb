// SPDX-License-Identifier: Apache-2.0

// Package dossier is everything a ledger knows about one unit in one file, for the unit's customer: each entry with the proof that it
// is in the ledger, and the certificates, requests and other bytes that the entries name. It is pure Go.
//
// A dossier is a ZIP archive of stored (not compressed) members, so that any program can look into it, and a shell script can, too:
//
//	README.txt                     what this is
//	verify-unit.sh                 checks entries and certificates with openssl and sha256sum
//	certificates.pem               what the station has installed; proves nothing by itself
//	entries/EPOCH-SEQ.json         the stored bytes of an entry
//	entries/EPOCH-SEQ.tlog-proof   that it is in the ledger, under the one signed checkpoint of its epoch
//	blobs/SHA256                   what an entry names by that digest
//	MANIFEST.json                  name, size and SHA-256 of each of these (RFC 8785)
//	MANIFEST.entry.json            the ledger's own export entry, which names the manifest's SHA-256
//	MANIFEST.tlog-proof            that this entry is in the ledger, under a checkpoint
//
// So the manifest is signed by being in the ledger. The archive's comment is the SHA-256 of all bytes before it: a bit that flips
// anywhere is seen, and the manifest says where. A dossier shows what is in a ledger; it cannot show that nothing was left out.
package dossier

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/gowebpki/jcs"

	"provisioning.example/station/internal/record"
)

// Format is the first thing a manifest says.
const Format = "station-unit@v1"

const (
	manifestName = "MANIFEST.json"
	entryName    = "MANIFEST.entry.json"
	proofName    = "MANIFEST.tlog-proof"
	readmeName   = "README.txt"
	scriptName   = "verify-unit.sh"
	certsName    = "certificates.pem"
	blobFolder   = "blobs/"

	// MaxSize bounds a dossier, which is read into memory whole; a unit has some kilobytes.
	MaxSize = 64 << 20

	maxText = 256 // bytes of a text in the manifest; people read them before the dossier is judged

	commentPrefix = "sha256 of all bytes before this comment: "
	commentLength = len(commentPrefix) + 2*sha256.Size
)

// Script is verify-unit.sh, which lies in every dossier.
//
//go:embed verify-unit.sh
var Script []byte

// Manifest says what a dossier holds.
type Manifest struct {
	Format   string  `json:"format"`
	Station  string  `json:"station"`
	Unit     string  `json:"unit"`    // serial, as it was asked for
	Created  string  `json:"created"` // UTC, microseconds
	Operator string  `json:"operator"`
	Software string  `json:"software"`
	Entries  []Place `json:"entries"` // in the order of the ledger
	Blobs    int     `json:"blobs"`
	Files    []File  `json:"files"`
}

// Place is where an entry stands.
type Place struct {
	Epoch int   `json:"epoch"`
	Seq   int64 `json:"seq"`
}

func (p Place) name() string { return fmt.Sprintf("entries/%d-%d.json", p.Epoch, p.Seq) }
func (p Place) proofName() string {
	return "entries/" + strconv.Itoa(p.Epoch) + "-" + strconv.FormatInt(p.Seq, 10) + ".tlog-proof"
}

// File is a member of the archive.
type File struct {
	Name   string `json:"name"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"` // lower-case hex
}

// Digest is the SHA-256 of the manifest as it stands in the dossier, lower-case hex: what the ledger records.
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

// parseManifest reads a manifest that encode wrote, and nothing else.
func parseManifest(text []byte) (*Manifest, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	m := &Manifest{}
	if err := d.Decode(m); err != nil {
		return nil, err
	}
	if m.Format != Format {
		return nil, fmt.Errorf("format %.40q, this program reads %s", m.Format, Format)
	}
	if again, err := m.encode(); err != nil || !bytes.Equal(again, text) {
		return nil, errors.New("it is not canonical JSON (RFC 8785)")
	}
	return m, m.check()
}

var blobName = regexp.MustCompile(`^blobs/[0-9a-f]{64}$`)

// check holds the list of files against the format: exactly its members, in their order.
func (m *Manifest) check() error {
	for _, text := range []string{m.Station, m.Unit, m.Created, m.Operator, m.Software} {
		if record.Plain(text, maxText) != text {
			return fmt.Errorf("%.60q is no name: at most %d bytes that can be printed", text, maxText)
		}
	}
	want := []string{readmeName, scriptName, certsName}
	for i, p := range m.Entries {
		if p.Epoch < 1 || p.Epoch > record.MaxEpoch || p.Seq < 1 || i > 0 && !m.Entries[i-1].before(p) {
			return fmt.Errorf("entry %d of epoch %d is out of place", p.Seq, p.Epoch)
		}
		want = append(want, p.name(), p.proofName())
	}
	if m.Blobs < 0 || len(m.Entries) == 0 || len(m.Files) != len(want)+m.Blobs {
		return fmt.Errorf("files are not those of %s", Format)
	}
	last := ""
	for i, f := range m.Files {
		switch {
		case f.Size < 0 || !hexDigest.MatchString(f.SHA256):
			return fmt.Errorf("%.80q: size or digest can not be", f.Name)
		case i < len(want) && f.Name != want[i],
			i >= len(want) && (!blobName.MatchString(f.Name) || i > len(want) && f.Name <= last || f.Name != blobFolder+f.SHA256):
			return fmt.Errorf("%.80q is not a file of %s here", f.Name, Format)
		}
		last = f.Name
	}
	return nil
}

var hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (p Place) before(o Place) bool { return p.Epoch < o.Epoch || p.Epoch == o.Epoch && p.Seq < o.Seq }

// DamageError says what in a dossier is not as it was written.
type DamageError struct {
	File string // member, "" where it can not be told; an entry's name has its epoch and number
	What string
}

// Error is for people: nothing in a dossier is sent to their terminal as it is.
func (e *DamageError) Error() string {
	text := "the unit's file is damaged"
	if e.File != "" {
		text += ": " + e.File
	}
	return record.Plain(text+": "+e.What, 1000)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// comment is the archive's comment: the SHA-256 of all bytes before it.
func comment(before []byte) string { return commentPrefix + digest(before) }
