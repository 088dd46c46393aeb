// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"archive/zip"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"iter"
	"os"
	"path/filepath"
	"time"

	"provisioning.example/station/internal/record"
)

// Head is what a bundle says of itself besides the ledger's own bytes.
type Head struct {
	Station, Created, Operator, Software string
	Certificates                         []byte            // PEM: what the station has installed
	Challenge                            *record.Challenge // the TPM's answer to an auditor's nonce; nil: none was asked
	// Sign records an export entry that names the manifest's SHA-256 and
	// returns its stored bytes and its proof.
	Sign     func(ctx context.Context, manifest string, m *Manifest) (entry []byte, proof record.Proof, err error)
	Progress func(entries int64) // called now and then, if set
}

const readme = `This is a bundle of a provisioning station's ledger.

Check it with

	ledger-verify --root ROOT.pem THIS-FILE

where ROOT.pem is your own copy of the root certificate, not one from here.
entries.jsonl holds one entry a line; the format is described in docs/ledger.md
of the station.
`

// progressStep is how many entries lie between two calls of Progress.
const progressStep = 10000

// Write writes a ledger as a bundle into an empty file, which the caller brings
// to the disk and names. Memory does not grow with the ledger.
func Write(ctx context.Context, f *os.File, source Source, head Head) (*Manifest, error) {
	w := &writer{ctx: ctx, file: f, head: head, manifest: &Manifest{
		Format: Format, Station: head.Station, Created: head.Created, Operator: head.Operator, Software: head.Software,
		Epochs: []Epoch{}, Files: []File{},
	}}
	var err error
	if w.made, err = record.ParseTime(head.Created); err != nil {
		return nil, fmt.Errorf("bundle: made at %w", err)
	}
	if n := len(head.Certificates); n > maxCerts {
		return nil, fmt.Errorf("bundle: certificates and revocation lists of the station have %d bytes, a bundle's reader takes at most %d: "+
			"take lists out of the home's folders ca/ that are not of use any more", n, maxCerts)
	}
	w.out = bufio.NewWriterSize(f, 1<<16)
	w.zip = zip.NewWriter(w.out)
	if err := w.write(source); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	if err := w.finish(); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return w.manifest, nil
}

type writer struct {
	ctx      context.Context
	file     *os.File
	out      *bufio.Writer
	zip      *zip.Writer
	head     Head
	manifest *Manifest
	made     time.Time
}

func (w *writer) write(source Source) error {
	if err := w.bytes(readmeName, []byte(readme)); err != nil {
		return err
	}
	if err := w.bytes(certsName, w.head.Certificates); err != nil {
		return err
	}
	if w.head.Challenge != nil {
		text, err := w.head.Challenge.Encode()
		if err == nil {
			err = w.bytes(answerName, text)
		}
		if err != nil {
			return err
		}
	}
	next, stop := iter.Pull2(source.Checkpoints(w.ctx))
	defer stop()
	entries, done := iter.Pull2(source.Raw(w.ctx, 0, 0))
	defer done()
	if err := w.epochs(entries, next); err != nil {
		return err
	}
	if err := w.blobs(source.Blobs(w.ctx)); err != nil {
		return err
	}
	return w.sign()
}

// epochs writes the entries and checkpoints of one epoch after another. An
// epoch without entries yet is one of its first checkpoint alone.
func (w *writer) epochs(entries func() (record.Entry, error, bool), checkpoints func() (record.StoredCheckpoint, error, bool)) error {
	e, err, more := entries()
	if err != nil {
		return err
	}
	c, err, left := checkpoints()
	if err != nil {
		return err
	}
	for epoch := 1; more || left; epoch++ {
		at := Epoch{Epoch: epoch}
		err := w.paired(entriesName(epoch), leavesName(epoch), func(out, beside io.Writer) error {
			for more && e.Epoch == epoch {
				if err := w.entry(out, beside, e, &at); err != nil {
					return err
				}
				if e, err, more = entries(); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		err = w.member(checkpointsName(epoch), func(out io.Writer) error {
			for left && c.Epoch == epoch {
				if err := json.NewEncoder(out).Encode(checkpointLine{string(c.Note), c.Size}); err != nil {
					return err
				}
				at.Checkpoints++
				if c, err, left = checkpoints(); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if at.Entries+at.Checkpoints == 0 {
			return fmt.Errorf("the ledger has nothing of epoch %d, but something after it", epoch)
		}
		w.manifest.Epochs = append(w.manifest.Epochs, at)
	}
	return nil
}

func (w *writer) entry(out, leaves io.Writer, e record.Entry, at *Epoch) error {
	at.Entries++
	if e.Seq != at.Entries {
		return fmt.Errorf("entry %d of epoch %d follows entry %d", e.Seq, e.Epoch, at.Entries-1)
	}
	if w.head.Progress != nil && at.Entries%progressStep == 0 {
		w.head.Progress(w.manifest.Entries() + at.Entries)
	}
	if _, err := out.Write(append(e.Raw, '\n')); err != nil {
		return err
	}
	if _, err := leaves.Write(e.Leaf[:]); err != nil {
		return err
	}
	return w.ctx.Err()
}

func (w *writer) blobs(blobs iter.Seq2[record.StoredBlob, error]) error {
	var offset int64
	return w.paired(blobsName, indexName, func(out, index io.Writer) error {
		for b, err := range blobs {
			if err != nil {
				return err
			}
			row := binary.BigEndian.AppendUint64(b.Digest[:], uint64(offset))
			row = binary.BigEndian.AppendUint64(row, uint64(len(b.Bytes)))
			if _, err := index.Write(row); err != nil {
				return err
			}
			if _, err := out.Write(b.Bytes); err != nil {
				return err
			}
			offset += int64(len(b.Bytes))
			w.manifest.Blobs++
		}
		return w.ctx.Err()
	})
}

// sign closes the manifest and has it recorded.
func (w *writer) sign() error {
	text, err := w.manifest.encode()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	entry, proof, err := w.head.Sign(w.ctx, hex.EncodeToString(sum[:]), w.manifest)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{manifestName, text}, {entryName, entry}, {proofName, proof.Marshal()}} {
		if err := w.plain(f.name, f.data); err != nil {
			return err
		}
	}
	return nil
}

// finish closes the archive; its comment is put in the place kept for it.
func (w *writer) finish() error {
	if err := w.zip.SetComment(comment(make([]byte, sha256.Size))); err != nil {
		return err
	}
	if err := w.zip.Close(); err != nil {
		return err
	}
	if err := w.out.Flush(); err != nil {
		return err
	}
	size, err := w.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	end, sum := size-int64(commentLength), sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(w.file, 0, end)); err != nil {
		return err
	}
	_, err = w.file.WriteAt([]byte(comment(sum.Sum(nil))), end)
	return err
}

func (w *writer) bytes(name string, data []byte) error {
	return w.member(name, func(out io.Writer) error {
		_, err := out.Write(data)
		return err
	})
}

// plain writes a member that the manifest does not list.
func (w *writer) plain(name string, data []byte) error {
	out, err := w.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store, Modified: w.made})
	if err == nil {
		_, err = out.Write(data)
	}
	return err
}

// member writes a member and lists it in the manifest.
func (w *writer) member(name string, fill func(io.Writer) error) error {
	out, err := w.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store, Modified: w.made})
	if err != nil {
		return err
	}
	c := &counted{w: out, sum: sha256.New()}
	buffered := bufio.NewWriterSize(c, 1<<16)
	if err := fill(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	w.manifest.Files = append(w.manifest.Files, File{name, c.size, hex.EncodeToString(c.sum.Sum(nil))})
	return nil
}

// paired writes two members in one pass: an archive takes one after the other,
// so the second waits in a file of its own.
func (w *writer) paired(first, second string, fill func(out, beside io.Writer) error) error {
	spool, err := os.CreateTemp(filepath.Dir(w.file.Name()), ".part-")
	if err != nil {
		return err
	}
	defer func() {
		spool.Close()           //nolint:errcheck // only read after the last write
		os.Remove(spool.Name()) //nolint:errcheck // a temporary file
	}()
	beside := bufio.NewWriterSize(spool, 1<<16)
	if err := w.member(first, func(out io.Writer) error { return fill(out, beside) }); err != nil {
		return err
	}
	if err := beside.Flush(); err != nil {
		return err
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return w.member(second, func(out io.Writer) error {
		_, err := io.Copy(out, spool)
		return err
	})
}

// counted counts and hashes what passes.
type counted struct {
	w    io.Writer
	size int64
	sum  hash.Hash
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.size += int64(n)
	c.sum.Write(b[:n]) //nolint:errcheck // a hash never fails
	return n, err
}
