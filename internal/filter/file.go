// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Bounds of the parts of a file in bytes.
const (
	// MaxFile is the largest file that is read.
	MaxFile        = kinds*(MaxValues*digestSize+4) + 256 + maxEntry + maxProof + maxCertificate + 12
	maxEntry       = 16 << 10
	maxProof       = 32 << 10
	maxCertificate = 8 << 10
)

// File is a set with its evidence: the ledger's own entry that the set was
// exported, which names its digest, the proof that this entry is in the ledger
// under a signed checkpoint, and perhaps the certificate of the checkpoint key.
// This package does not judge the evidence.
type File struct {
	Set         *Set
	Entry       []byte // body of the export entry, canonical JSON
	Proof       []byte // C2SP tlog-proof
	Certificate []byte // DER, of the checkpoint key; empty: the root certified none
}

// Digest is the SHA-256 of the encoded set, which the export entry names.
func (f *File) Digest() [32]byte { return sha256.Sum256(f.Set.Encode()) }

// Encode writes the file: the set, then entry, proof and certificate, each with
// its length (4 bytes, big-endian) before it.
func (f *File) Encode() []byte {
	out := f.Set.Encode()
	for _, part := range [][]byte{f.Entry, f.Proof, f.Certificate} {
		out = binary.BigEndian.AppendUint32(out, uint32(len(part)))
		out = append(out, part...)
	}
	return out
}

// Parse reads what [File.Encode] wrote, and nothing else.
func Parse(file []byte) (*File, error) {
	if len(file) > MaxFile {
		return nil, fmt.Errorf("used values: file of %d bytes, at most %d are read", len(file), MaxFile)
	}
	set, rest, err := parseSet(file)
	if err != nil {
		return nil, err
	}
	f, in := &File{Set: set}, reading{rest: rest}
	for _, part := range []struct {
		name string
		most uint64
		out  *[]byte
	}{{"entry", maxEntry, &f.Entry}, {"proof", maxProof, &f.Proof}, {"certificate", maxCertificate, &f.Certificate}} {
		n := in.number(4)
		if n > part.most {
			return nil, fmt.Errorf("used values: %s of %d bytes, at most %d are read", part.name, n, part.most)
		}
		*part.out = in.next(int(n))
	}
	switch {
	case in.short:
		return nil, errShort
	case len(in.rest) > 0:
		return nil, fmt.Errorf("used values: %d bytes too many at the end", len(in.rest))
	}
	return f, nil
}
