// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"slices"
	"sort"

	"provisioning.example/station/internal/record"
)

// Bundle is an opened bundle whose bytes are those that were written. That says
// nothing about who wrote them: see package audit.
type Bundle struct {
	Manifest     *Manifest
	Certificates []byte // PEM, as the station had them
	Entry        []byte // the export entry that names the manifest
	Proof        record.Proof

	answer  *record.Challenge // nil: the bundle answers none
	file    *os.File
	digest  string // of the manifest
	members map[string]*io.SectionReader
	sums    map[string]uint32 // of each member, as the archive's directory has it
}

// Is says whether a file is an archive that begins or is made as a bundle is, whole or damaged. So is a unit's file (package dossier),
// which is to be asked for first.
func Is(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // read only
	// A local file header has 30 bytes and then the name (APPNOTE.TXT 4.3.7).
	head := make([]byte, 30+len(readmeName))
	if _, err := io.ReadFull(f, head); err == nil && string(head[:4]) == "PK\x03\x04" && string(head[30:]) == readmeName {
		return true
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	z, err := zip.NewReader(f, info.Size())
	return err == nil && slices.ContainsFunc(z.File, func(m *zip.File) bool { return m.Name == indexName })
}

// Open opens a bundle and checks every byte of it. What is not as it was
// written gives a *[DamageError].
func Open(ctx context.Context, path string) (*Bundle, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b := &Bundle{file: f, members: map[string]*io.SectionReader{}, sums: map[string]uint32{}}
	if err := b.open(ctx); err != nil {
		f.Close() //nolint:errcheck // the first error counts
		return nil, err
	}
	return b, nil
}

// Close closes the file.
func (b *Bundle) Close() error { return b.file.Close() }

func (b *Bundle) open(ctx context.Context) error {
	fi, err := b.file.Stat()
	if err != nil {
		return err
	}
	size := fi.Size()
	whole, err := b.trailer(ctx, size)
	if err != nil {
		return err
	}
	// What follows finds the place of the damage; without one it finds nothing.
	err = b.list(size)
	if err == nil {
		err = b.head()
	}
	if err == nil {
		err = b.compare(ctx)
	}
	if err == nil && !whole {
		err = &DamageError{What: "its bytes are not those that were written, or it is not a bundle"}
	}
	if d := (*DamageError)(nil); !whole && errors.As(err, &d) && d.Record == "" {
		return b.located(ctx, d)
	}
	return err
}

// located is the damage with the member that it is in. Two members that do not belong together could both be it; the archive's own checksums,
// which prove nothing, tell which of them was hit.
func (b *Bundle) located(ctx context.Context, d *DamageError) error {
	hit := d
	for name, m := range b.members {
		sum := crc32.NewIEEE()
		if _, err := io.Copy(sum, io.NewSectionReader(reading{ctx, m}, 0, m.Size())); err != nil {
			return err
		}
		switch {
		case sum.Sum32() == b.sums[name]:
		case name == d.File:
			return d
		default:
			hit = &DamageError{File: name, What: "its bytes are not those that were written"}
		}
	}
	return hit
}

// trailer compares the archive's comment with the bytes before it.
func (b *Bundle) trailer(ctx context.Context, size int64) (bool, error) {
	if size < int64(commentLength) {
		return false, &DamageError{What: "it is too short for one"}
	}
	end := size - int64(commentLength)
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(reading{ctx, b.file}, 0, end)); err != nil {
		return false, err
	}
	stored := make([]byte, commentLength)
	if _, err := b.file.ReadAt(stored, end); err != nil {
		return false, err
	}
	return string(stored) == comment(sum.Sum(nil)), nil
}

// list finds the members of the archive.
func (b *Bundle) list(size int64) error {
	z, err := zip.NewReader(b.file, size)
	if err != nil {
		return &DamageError{What: err.Error()}
	}
	room := uint64(size) // members that lie one over another would be read again and again
	for _, f := range z.File {
		at, err := f.DataOffset()
		switch {
		case err != nil:
			return &DamageError{File: f.Name, What: err.Error()}
		case f.Method != zip.Store || f.CompressedSize64 != f.UncompressedSize64:
			return &DamageError{File: f.Name, What: "it is compressed; a bundle's members are not"}
		case b.members[f.Name] != nil:
			return &DamageError{File: f.Name, What: "it is there twice"}
		case f.UncompressedSize64 > room || at > size-int64(f.UncompressedSize64):
			return &DamageError{File: f.Name, What: "it is longer than what the bundle has left for it"}
		}
		room -= f.UncompressedSize64
		b.sums[f.Name] = f.CRC32
		b.members[f.Name] = io.NewSectionReader(b.file, at, int64(f.UncompressedSize64))
	}
	return nil
}

// head reads the manifest and what signs it.
func (b *Bundle) head() error {
	text, err := b.whole(manifestName, maxManifest)
	if err != nil {
		return err
	}
	if b.Manifest, err = parseManifest(text); err != nil {
		return &DamageError{File: manifestName, What: err.Error()}
	}
	b.digest = digest(text)
	if b.Entry, err = b.whole(entryName, record.MaxBody); err != nil {
		return err
	}
	proof, err := b.whole(proofName, maxManifest)
	if err != nil {
		return err
	}
	if b.Proof, err = record.ParseProof(proof); err != nil {
		return &DamageError{File: proofName, What: err.Error()}
	}
	body, err := record.Decode(b.Entry)
	if err != nil {
		return &DamageError{File: entryName, What: err.Error()}
	}
	if body.Kind != record.KindExport || body.FileDigest != b.digest {
		return &DamageError{File: entryName, What: "it does not speak of this manifest"}
	}
	if n := len(b.Manifest.Files) + 3; len(b.members) != n {
		return &DamageError{What: fmt.Sprintf("it has %d members, the manifest makes %d", len(b.members), n)}
	}
	if b.Certificates, err = b.whole(certsName, maxCerts); err != nil || !b.Manifest.holds(answerName) {
		return err
	}
	if text, err = b.whole(answerName, record.MaxChallenge); err != nil {
		return err
	}
	if b.answer, err = record.ParseChallenge(text); err != nil {
		return &DamageError{File: answerName, What: err.Error()}
	}
	return nil
}

// Challenge is the TPM's answer to the auditor for whom the bundle was made; nil: nobody had asked.
func (b *Bundle) Challenge() *record.Challenge { return b.answer }

// compare hashes every member that the manifest lists.
func (b *Bundle) compare(ctx context.Context) error {
	for _, f := range b.Manifest.Files { // all of them first: to find the place of a damage takes two
		if b.members[f.Name] == nil {
			return &DamageError{File: f.Name, What: "it is missing"}
		}
	}
	for _, f := range b.Manifest.Files {
		m := b.members[f.Name]
		sum := sha256.New()
		if _, err := io.Copy(sum, io.NewSectionReader(reading{ctx, m}, 0, m.Size())); err != nil {
			return err
		}
		if m.Size() != f.Size || hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
			return &DamageError{f.Name, b.place(ctx, f.Name), "it is not what the manifest says"}
		}
	}
	return nil
}

// place finds which record of a damaged member is not what it was; it may be
// that none can be told apart.
func (b *Bundle) place(ctx context.Context, name string) string {
	for _, e := range b.Manifest.Epochs {
		if name != entriesName(e.Epoch) && name != leavesName(e.Epoch) {
			continue
		}
		n := int64(0)
		for entry, err := range b.epoch(ctx, e) {
			if n++; err != nil || record.Leaf(entry.Raw) != entry.Leaf {
				return fmt.Sprintf("entry %d", n)
			}
		}
	}
	if name == blobsName || name == indexName {
		for i := range b.Manifest.Blobs {
			sum, data, err := b.blob(i)
			if err != nil || sha256.Sum256(data) != sum {
				return fmt.Sprintf("blob %x", sum)
			}
		}
	}
	return ""
}

// whole reads a small member.
func (b *Bundle) whole(name string, limit int64) ([]byte, error) {
	m := b.members[name]
	switch {
	case m == nil:
		return nil, &DamageError{File: name, What: "it is missing"}
	case m.Size() > limit:
		return nil, &DamageError{File: name, What: fmt.Sprintf("it has %d bytes, at most %d are read", m.Size(), limit)}
	}
	data := make([]byte, m.Size())
	if _, err := m.ReadAt(data, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data, nil
}

// Raw yields the entries from the given place on, in order.
func (b *Bundle) Raw(ctx context.Context, epoch int, seq int64) iter.Seq2[record.Entry, error] {
	return func(yield func(record.Entry, error) bool) {
		for _, at := range b.Manifest.Epochs {
			for e, err := range b.epoch(ctx, at) {
				if err == nil && (e.Epoch < epoch || e.Epoch == epoch && e.Seq < seq) {
					continue
				}
				if !yield(e, err) || err != nil {
					return
				}
			}
		}
	}
}

// epoch yields the entries of one epoch: as many as the manifest says.
func (b *Bundle) epoch(ctx context.Context, at Epoch) iter.Seq2[record.Entry, error] {
	return func(yield func(record.Entry, error) bool) {
		entries, leaves := b.members[entriesName(at.Epoch)], b.members[leavesName(at.Epoch)]
		if entries == nil || leaves == nil {
			yield(record.Entry{}, &DamageError{File: entriesName(at.Epoch), What: "it is missing"})
			return
		}
		lines := bufio.NewReaderSize(io.NewSectionReader(reading{ctx, entries}, 0, entries.Size()), record.MaxBody+2)
		hashes := bufio.NewReader(io.NewSectionReader(reading{ctx, leaves}, 0, leaves.Size()))
		for seq := int64(1); seq <= at.Entries; seq++ {
			e := record.Entry{Epoch: at.Epoch, Seq: seq}
			line, err := lines.ReadSlice('\n')
			if err == nil {
				e.Raw = bytes.Clone(line[:len(line)-1])
				_, err = io.ReadFull(hashes, e.Leaf[:])
			}
			if err != nil {
				err = &DamageError{entriesName(at.Epoch), fmt.Sprintf("entry %d", seq), "it does not read: " + err.Error()}
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
		if _, err := lines.ReadByte(); err == nil {
			yield(record.Entry{}, &DamageError{File: entriesName(at.Epoch), What: "there is more than the manifest says"})
		}
	}
}

// Checkpoints yields the signed checkpoints of all epochs in order.
func (b *Bundle) Checkpoints(ctx context.Context) iter.Seq2[record.StoredCheckpoint, error] {
	return func(yield func(record.StoredCheckpoint, error) bool) {
		for _, at := range b.Manifest.Epochs {
			m := b.members[checkpointsName(at.Epoch)]
			lines := bufio.NewReaderSize(io.NewSectionReader(reading{ctx, m}, 0, m.Size()), 2*record.MaxNote)
			for n := int64(1); n <= at.Checkpoints; n++ {
				line, err := lines.ReadSlice('\n')
				var c checkpointLine
				if err == nil {
					err = json.Unmarshal(line, &c)
				}
				if err != nil {
					err = &DamageError{checkpointsName(at.Epoch), fmt.Sprintf("line %d", n), "it does not read: " + err.Error()}
				}
				if !yield(record.StoredCheckpoint{Epoch: at.Epoch, Size: c.Size, Note: []byte(c.Note)}, err) || err != nil {
					return
				}
			}
			if _, err := lines.ReadByte(); err == nil {
				yield(record.StoredCheckpoint{}, &DamageError{File: checkpointsName(at.Epoch), What: "there is more than the manifest says"})
				return
			}
		}
	}
}

// Blob returns the bytes of a SHA-256, lower-case hex.
func (b *Bundle) Blob(_ context.Context, name string) ([]byte, error) {
	want, err := hex.DecodeString(name)
	if err != nil || len(want) != sha256.Size {
		return nil, fmt.Errorf("bundle: %.80q is no digest", name)
	}
	var broken error
	n := sort.Search(int(b.Manifest.Blobs), func(i int) bool {
		sum, _, _, err := b.row(int64(i))
		broken = errors.Join(broken, err)
		return bytes.Compare(sum[:], want) >= 0
	})
	if broken != nil {
		return nil, broken
	}
	if int64(n) < b.Manifest.Blobs {
		sum, data, err := b.blob(int64(n))
		if err != nil || slices.Equal(sum[:], want) {
			return data, err
		}
	}
	return nil, fmt.Errorf("bundle: blob %s is not in it", name)
}

// Digests yields the SHA-256 of all blobs, ascending.
func (b *Bundle) Digests(ctx context.Context) iter.Seq2[[sha256.Size]byte, error] {
	return func(yield func([sha256.Size]byte, error) bool) {
		for i := range b.Manifest.Blobs {
			sum, _, _, err := b.row(i)
			err = errors.Join(err, ctx.Err())
			if !yield(sum, err) || err != nil {
				return
			}
		}
	}
}

// Blobs yields all blobs by their SHA-256, ascending. One whose bytes are not those of its name ends it.
func (b *Bundle) Blobs(ctx context.Context) iter.Seq2[record.StoredBlob, error] {
	return func(yield func(record.StoredBlob, error) bool) {
		for i := range b.Manifest.Blobs {
			sum, data, err := b.blob(i)
			if err == nil && sha256.Sum256(data) != sum {
				err = &DamageError{blobsName, fmt.Sprintf("blob %x", sum), "its bytes are others"}
			}
			err = errors.Join(err, ctx.Err())
			if !yield(record.StoredBlob{Digest: sum, Bytes: data}, err) || err != nil {
				return
			}
		}
	}
}

// row reads a row of the index.
func (b *Bundle) row(i int64) (sum [sha256.Size]byte, offset, length int64, err error) {
	var row [indexRow]byte
	if _, err := b.members[indexName].ReadAt(row[:], i*indexRow); err != nil && !errors.Is(err, io.EOF) {
		return sum, 0, 0, err
	}
	copy(sum[:], row[:])
	return sum, int64(binary.BigEndian.Uint64(row[sha256.Size:])), int64(binary.BigEndian.Uint64(row[sha256.Size+8:])), nil
}

func (b *Bundle) blob(i int64) (sum [sha256.Size]byte, data []byte, err error) {
	sum, offset, length, err := b.row(i)
	m := b.members[blobsName]
	if err == nil && (offset < 0 || length < 0 || length > maxBlob || offset > m.Size()-length) {
		err = &DamageError{indexName, fmt.Sprintf("blob %x", sum), "its place is not in " + blobsName}
	}
	if err != nil {
		return sum, nil, err
	}
	data = make([]byte, length)
	if _, err := m.ReadAt(data, offset); err != nil && !errors.Is(err, io.EOF) {
		return sum, nil, err
	}
	return sum, data, nil
}

// VerifyManifest checks that the ledger of v recorded this bundle's manifest,
// and returns the checkpoint that says so: it is newer than all in the bundle.
func (b *Bundle) VerifyManifest(v *record.Verifier) (record.Checkpoint, error) {
	return b.Proof.Verify(v, b.Entry)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// reading ends reads with their context.
type reading struct {
	ctx context.Context
	r   io.ReaderAt
}

func (r reading) ReadAt(p []byte, off int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.ReadAt(p, off)
}
