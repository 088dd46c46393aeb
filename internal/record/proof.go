// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	proofHeader    = "c2sp.org/tlog-proof@v1"
	maxProofHashes = 63 // a tree of 2^63 leaves is no deeper
)

// Proof shows that an entry is in a ledger (C2SP tlog-proof): a signed checkpoint and the hashes from the entry's leaf to its root.
type Proof struct {
	Index      int64 // leaf number: seq - 1
	Hashes     tlog.RecordProof
	Checkpoint []byte // signed note
}

// Marshal writes the proof as a .tlog-proof file.
func (p Proof) Marshal() []byte {
	var s strings.Builder
	fmt.Fprintf(&s, "%s\nindex %d\n", proofHeader, p.Index)
	for _, h := range p.Hashes {
		s.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	return append([]byte(s.String()+"\n"), p.Checkpoint...)
}

var errProof = errors.New("proof is not a tlog-proof file of version 1 without extra data")

// ParseProof is the inverse of Marshal and accepts nothing else.
func ParseProof(file []byte) (Proof, error) {
	if len(file) > MaxNote+4096 {
		return Proof{}, fmt.Errorf("proof has %d bytes, at most %d are read", len(file), MaxNote+4096)
	}
	head, checkpoint, found := bytes.Cut(file, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || len(lines) < 2 || len(lines) > 2+maxProofHashes {
		return Proof{}, errProof
	}
	p := Proof{Checkpoint: checkpoint}
	number, _ := strings.CutPrefix(lines[1], "index ")
	var err error
	if p.Index, err = strconv.ParseInt(number, 10, 64); err != nil || p.Index < 0 {
		return Proof{}, errProof
	}
	for _, line := range lines[2:] {
		h, err := tlog.ParseHash(line)
		if err != nil {
			return Proof{}, fmt.Errorf("proof: %w", err)
		}
		p.Hashes = append(p.Hashes, h)
	}
	if !bytes.Equal(p.Marshal(), file) {
		return Proof{}, errProof
	}
	return p, nil
}

// Verify checks that the stored bytes raw are the entry the proof speaks of, under a checkpoint signed by the verifier's key.
func (p Proof) Verify(v *Verifier, raw []byte) (Checkpoint, error) {
	c, err := v.Open(p.Checkpoint)
	if err != nil {
		return Checkpoint{}, err
	}
	if err := p.Includes(c, raw); err != nil {
		return Checkpoint{}, err
	}
	return c, nil
}

// Includes checks that the stored bytes raw are the entry the proof speaks of in the tree of c. Whose checkpoint that is, it does not tell.
func (p Proof) Includes(c Checkpoint, raw []byte) error {
	if p.Index >= c.Size {
		return fmt.Errorf("proof is for leaf %d, but the checkpoint covers %d", p.Index, c.Size)
	}
	if err := tlog.CheckRecord(p.Hashes, c.Size, c.Root, p.Index, Leaf(raw)); err != nil {
		return fmt.Errorf("entry %d of %s is not in the tree of size %d: %w", p.Index+1, c.Origin, c.Size, err)
	}
	return nil
}
