// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Witness is the short form of a proof, as a label carries it: an entry, and a tree that has it. Whoever has the ledger,
// or a bundle of it, can tell whether that tree is the ledger's. As text, at most 128 bytes without a space:
//
//	ulm/st-07/1/4711/4720/CsUYapGGPo4dkMgIAUqomw
//
// that is origin, number of the entry, size of the tree, and the first 16 bytes of its root in base64url (RFC 4648, section 5).
type Witness struct {
	Origin Origin
	Seq    int64 // the entry, from 1
	Size   int64 // of the tree, in entries; not below Seq
	Root   [16]byte
}

// maxWitness is the length of the longest witness in bytes, as the field of an entry takes it.
const maxWitness = 128

// WitnessOf is the witness for entry seq in the tree of a checkpoint that covers it.
func WitnessOf(c Checkpoint, seq int64) (Witness, error) {
	if seq < 1 || seq > c.Size {
		return Witness{}, fmt.Errorf("entry %d is not in the tree of %s with %d entries", seq, c.Origin, c.Size)
	}
	w := Witness{Origin: c.Origin, Seq: seq, Size: c.Size}
	copy(w.Root[:], c.Root[:])
	if n := len(w.String()); n > maxWitness {
		return Witness{}, fmt.Errorf("witness for entry %d of %s has %d bytes, at most %d are allowed", seq, c.Origin, n, maxWitness)
	}
	return w, nil
}

func (w Witness) String() string {
	return fmt.Sprintf("%s/%d/%d/%s", w.Origin, w.Seq, w.Size, base64.RawURLEncoding.EncodeToString(w.Root[:]))
}

var errWitness = errors.New("a witness is PLANT/STATION/EPOCH/ENTRY/SIZE/ROOT, with 22 characters of base64url as root")

// ParseWitness is the inverse of String and accepts nothing else.
func ParseWitness(s string) (Witness, error) {
	parts := strings.Split(s, "/")
	if len(s) > maxWitness || len(parts) != 6 {
		return Witness{}, errWitness
	}
	var w Witness
	var err error
	if w.Origin, err = ParseOrigin(strings.Join(parts[:3], "/")); err != nil {
		return Witness{}, fmt.Errorf("witness: %w", err)
	}
	seq, errSeq := strconv.ParseInt(parts[3], 10, 64)
	size, errSize := strconv.ParseInt(parts[4], 10, 64)
	root, errRoot := base64.RawURLEncoding.DecodeString(parts[5])
	if errors.Join(errSeq, errSize, errRoot) != nil || len(root) != len(w.Root) || seq < 1 || seq > size || size > maxNumber {
		return Witness{}, errWitness
	}
	w.Seq, w.Size = seq, size
	copy(w.Root[:], root)
	if w.String() != s {
		return Witness{}, fmt.Errorf("witness %q is not written in its one form", s)
	}
	return w, nil
}
