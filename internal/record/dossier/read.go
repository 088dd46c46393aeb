// SPDX-License-Identifier: Apache-2.0

package dossier

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"provisioning.example/station/internal/record"
)

// Dossier is a dossier whose bytes are those that were written. That says nothing about who wrote them: see package audit.
type Dossier struct {
	Manifest     *Manifest
	Certificates []byte // PEM, as the station had them
	Entries      []Proven
	Entry        []byte // the export entry that names the manifest
	Proof        record.Proof

	members map[string][]byte
}

// Is says whether a file begins as a dossier does; a bundle, which is an archive, too, does not.
func Is(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // read only
	size := int64(0)
	if info, err := f.Stat(); err == nil {
		size = info.Size()
	}
	z, err := zip.NewReader(f, size)
	if err != nil {
		return false
	}
	for _, m := range z.File {
		if m.Name == scriptName {
			return true
		}
	}
	return false
}

// Open reads a file with [Parse].
func Open(path string) (*Dossier, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, err
	}
	return Parse(data)
}

// Parse reads a dossier and checks every byte of it. What is not as it was written gives a *[DamageError].
func Parse(data []byte) (*Dossier, error) {
	if len(data) < commentLength || len(data) > MaxSize {
		return nil, &DamageError{What: fmt.Sprintf("it has %d bytes, which is too few or too many", len(data))}
	}
	end := len(data) - commentLength
	whole := string(data[end:]) == comment(data[:end])
	d := &Dossier{members: map[string][]byte{}}
	// What follows finds the place of the damage; without one it finds nothing.
	err := d.list(data)
	if err == nil {
		err = d.head()
	}
	if err == nil {
		err = d.compare()
	}
	if err == nil && !whole {
		err = &DamageError{What: "its bytes are not those that were written"}
	}
	if err == nil {
		err = d.entries()
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// list finds the members of the archive.
func (d *Dossier) list(data []byte) error {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return &DamageError{What: err.Error()}
	}
	for _, f := range z.File {
		at, err := f.DataOffset()
		size := int64(len(data))
		switch {
		case err != nil:
			return &DamageError{f.Name, err.Error()}
		case f.Method != zip.Store || f.CompressedSize64 != f.UncompressedSize64:
			return &DamageError{f.Name, "it is compressed; a dossier's members are not"}
		case d.members[f.Name] != nil:
			return &DamageError{f.Name, "it is there twice"}
		case f.UncompressedSize64 > uint64(size) || at < 0 || at > size-int64(f.UncompressedSize64):
			return &DamageError{f.Name, "it is longer than the file"}
		}
		from, to := int(at), int(at)+int(f.UncompressedSize64)
		d.members[f.Name] = data[from:to:to]
	}
	return nil
}

// head reads the manifest and what signs it.
func (d *Dossier) head() (err error) {
	for _, name := range []string{manifestName, entryName, proofName} {
		if d.members[name] == nil {
			return &DamageError{name, "it is missing"}
		}
	}
	if d.Manifest, err = parseManifest(d.members[manifestName]); err != nil {
		return &DamageError{manifestName, err.Error()}
	}
	d.Entry = d.members[entryName]
	body, err := record.Decode(d.Entry)
	if err != nil {
		return &DamageError{entryName, err.Error()}
	}
	if body.Kind != record.KindExport || body.FileDigest != digest(d.members[manifestName]) {
		return &DamageError{entryName, "it does not speak of this manifest"}
	}
	if d.Proof, err = record.ParseProof(d.members[proofName]); err != nil {
		return &DamageError{proofName, err.Error()}
	}
	return nil
}

// compare hashes every member that the manifest lists.
func (d *Dossier) compare() error {
	for _, f := range d.Manifest.Files {
		data, found := d.members[f.Name]
		switch {
		case !found:
			return &DamageError{f.Name, "it is missing"}
		case len(data) != f.Size || digest(data) != f.SHA256:
			return &DamageError{f.Name, "it is not what the manifest says"}
		}
	}
	if len(d.members) != len(d.Manifest.Files)+3 {
		return &DamageError{What: "it has members that the manifest does not list"}
	}
	d.Certificates = d.members[certsName]
	return nil
}

// entries reads the entries and their proofs.
func (d *Dossier) entries() error {
	for _, p := range d.Manifest.Entries {
		e := record.Entry{Epoch: p.Epoch, Seq: p.Seq, Raw: d.members[p.name()]}
		e.Leaf = record.Leaf(e.Raw)
		var err error
		if e.Body, err = record.Decode(e.Raw); err != nil {
			return &DamageError{p.name(), err.Error()}
		}
		proof, err := record.ParseProof(d.members[p.proofName()])
		if err == nil && proof.Index != p.Seq-1 {
			err = fmt.Errorf("it is of entry %d", proof.Index+1)
		}
		if err != nil {
			return &DamageError{p.proofName(), err.Error()}
		}
		d.Entries = append(d.Entries, Proven{e, proof})
	}
	return nil
}

// ErrNoBlob says that a dossier does not hold what an entry names.
var ErrNoBlob = errors.New("it is not in the unit's file")

// Blob returns the bytes of a SHA-256, lower-case hex.
func (d *Dossier) Blob(name string) ([]byte, error) {
	data, found := d.members[blobFolder+name]
	if !found {
		return nil, fmt.Errorf("blob %.80q: %w", name, ErrNoBlob)
	}
	return data, nil
}
