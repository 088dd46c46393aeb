// SPDX-License-Identifier: Apache-2.0

package dossier

import (
	"archive/zip"
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"time"

	"provisioning.example/station/internal/record"
)

// Content is what a dossier is made of.
type Content struct {
	Station, Unit, Created, Operator, Software string
	Certificates                               []byte // PEM: what the station has installed
	Entries                                    []Proven
	Blobs                                      map[string][]byte // by SHA-256, lower-case hex

	// Sign records an export entry that names the manifest's SHA-256 and returns its stored bytes and its proof.
	Sign func(manifest string) (entry []byte, proof record.Proof, err error)
}

// Proven is an entry and the proof that it is in the ledger.
type Proven struct {
	record.Entry
	Proof record.Proof
}

const readme = `This is what the ledger of a provisioning station knows about one unit.

Check it with

	ledger-verify --root ROOT.pem THIS-FILE
or	bash verify-unit.sh ROOT.pem THIS-FILE

where ROOT.pem is your own copy of the root certificate, not one from here. The
script needs bash, openssl and coreutils; do not trust the copy of it in here if
you do not trust this file: it is published with the station.

What is here is in the ledger. Whether the ledger holds more about this unit,
this file cannot tell: that takes a bundle of the whole ledger.
`

// Write writes a dossier.
func Write(w io.Writer, c Content) (*Manifest, error) {
	d := &writer{out: &bytes.Buffer{}, m: &Manifest{
		Format: Format, Station: c.Station, Unit: c.Unit, Created: c.Created, Operator: c.Operator, Software: c.Software,
		Entries: []Place{}, Blobs: len(c.Blobs), Files: []File{},
	}}
	made, err := record.ParseTime(c.Created)
	if err != nil {
		return nil, fmt.Errorf("dossier of %s: made at %w", c.Unit, err)
	}
	d.date, d.time = dosTime(made)
	d.zip = zip.NewWriter(d.out)
	d.add(readmeName, []byte(readme))
	d.add(scriptName, Script)
	d.add(certsName, c.Certificates)
	for _, e := range c.Entries {
		p := Place{e.Epoch, e.Seq}
		d.m.Entries = append(d.m.Entries, p)
		d.add(p.name(), e.Raw)
		d.add(p.proofName(), e.Proof.Marshal())
	}
	for _, name := range slices.Sorted(maps.Keys(c.Blobs)) {
		d.add(blobFolder+name, c.Blobs[name])
	}
	if err := d.sign(c); err != nil {
		return nil, fmt.Errorf("dossier of %s: %w", c.Unit, err)
	}
	if _, err := w.Write(d.out.Bytes()); err != nil {
		return nil, fmt.Errorf("dossier of %s: %w", c.Unit, err)
	}
	return d.m, nil
}

type writer struct {
	out *bytes.Buffer
	zip *zip.Writer
	m   *Manifest
	err error

	date, time uint16 // of every member, as MS-DOS writes them
}

// dosTime is a time as an archive's headers hold it (APPNOTE.TXT 4.4.6), to two seconds, in UTC.
func dosTime(t time.Time) (date, clock uint16) {
	t = t.UTC()
	return uint16((t.Year()-1980)<<9 | int(t.Month())<<5 | t.Day()), uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
}

// add writes a member and lists it.
func (d *writer) add(name string, data []byte) {
	d.m.Files = append(d.m.Files, File{name, len(data), digest(data)})
	d.member(name, data)
}

// member writes a member with its size before it, not after it as a stream would: a script can find it.
func (d *writer) member(name string, data []byte) {
	if d.err != nil {
		return
	}
	out, err := d.zip.CreateRaw(&zip.FileHeader{
		Name: name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(data),
		//lint:ignore SA1019 CreateRaw writes these two, and not Modified
		ModifiedDate: d.date, ModifiedTime: d.time,
		CompressedSize64: uint64(len(data)), UncompressedSize64: uint64(len(data)),
	})
	if err == nil {
		_, err = out.Write(data)
	}
	d.err = err
}

// sign has the manifest recorded and closes the archive.
func (d *writer) sign(c Content) error {
	text, err := d.m.encode()
	if err == nil {
		err = d.m.check()
	}
	if err != nil {
		return err
	}
	entry, proof, err := c.Sign(digest(text))
	if err != nil {
		return err
	}
	d.member(manifestName, text)
	d.member(entryName, entry)
	d.member(proofName, proof.Marshal())
	if d.err != nil {
		return d.err
	}
	if err := d.zip.SetComment(comment(nil)); err != nil {
		return err
	}
	if err := d.zip.Close(); err != nil {
		return err
	}
	whole := d.out.Bytes()
	if len(whole) > MaxSize {
		return fmt.Errorf("it has %d bytes, at most %d are read", len(whole), MaxSize)
	}
	end := len(whole) - commentLength
	copy(whole[end:], comment(whole[:end]))
	return nil
}
