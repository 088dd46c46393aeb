// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/google/go-tpm/tpm2"
)

// Name is the Name of a TPM object whose name algorithm is SHA-256: the
// algorithm's number and the digest of the public area (Part 1, section 16).
type Name [34]byte

func (n Name) String() string { return hex.EncodeToString(n[:]) }

// nameOf computes the Name of a public area. It is never taken from the TPM's
// answer: something on the bus could pair a foreign key with our Name.
func nameOf(public *tpm2.TPMTPublic) (Name, error) {
	if public.NameAlg != tpm2.TPMAlgSHA256 {
		return Name{}, fmt.Errorf("name algorithm %#x is not SHA-256", uint16(public.NameAlg))
	}
	b, err := tpm2.ObjectName(public)
	if err != nil {
		return Name{}, err
	}
	var n Name
	if len(b.Buffer) != len(n) {
		return Name{}, fmt.Errorf("a Name of %d bytes", len(b.Buffer))
	}
	copy(n[:], b.Buffer)
	return n, nil
}

// KeyRef names a persistent key and pins what it must be. Its text form, for
// configuration files, is handle:name:srk in hex, as in
// 8100a000:000b4f…:000b1c….
type KeyRef struct {
	// Handle is the persistent handle, 0x8100A000 or above.
	Handle uint32
	// Name pins the key itself.
	Name Name
	// SRK pins the storage root key that sessions are salted with.
	SRK Name
}

func (r KeyRef) String() string {
	return fmt.Sprintf("%08x:%s:%s", r.Handle, r.Name, r.SRK)
}

// MarshalText gives the text form.
func (r KeyRef) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the text form and nothing else: lower-case hex, whole.
func (r *KeyRef) UnmarshalText(text []byte) error {
	ref, err := parseRef("key", text)
	if err != nil {
		return err
	}
	if ref.Handle < firstPersistent || ref.Handle > lastPersistent {
		return fmt.Errorf("key reference %.80q: the handle is not a persistent one, %#x to %#x", text, firstPersistent, lastPersistent)
	}
	*r = ref
	return nil
}

// CounterRef names a counter in the TPM's non-volatile memory and pins what it
// must be. Its text form is that of a KeyRef.
type CounterRef struct {
	// Handle is the index, 0x0180A000 or above.
	Handle uint32
	// Name pins the counter itself, as it is after its first increment.
	Name Name
	// SRK pins the storage root key that sessions are salted with.
	SRK Name
}

func (r CounterRef) String() string { return KeyRef(r).String() }

// MarshalText gives the text form.
func (r CounterRef) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the text form and nothing else: lower-case hex, whole.
func (r *CounterRef) UnmarshalText(text []byte) error {
	ref, err := parseRef("counter", text)
	if err != nil {
		return err
	}
	if ref.Handle < firstOwnerIndex || ref.Handle > lastOwnerIndex {
		return fmt.Errorf("counter reference %.80q: the index is not one of the owner's, %#x to %#x", text, firstOwnerIndex, lastOwnerIndex)
	}
	*r = CounterRef(ref)
	return nil
}

// parseRef reads handle:name:srk.
func parseRef(what string, text []byte) (KeyRef, error) {
	parts := bytes.Split(text, []byte(":"))
	if len(parts) != 3 || len(parts[0]) != 8 {
		return KeyRef{}, fmt.Errorf("%s reference %.80q: want handle:name:srk in hex", what, text)
	}
	handle, err := strconv.ParseUint(string(parts[0]), 16, 32)
	if err != nil {
		return KeyRef{}, fmt.Errorf("%s reference %.80q: the handle is not hex", what, text)
	}
	ref := KeyRef{Handle: uint32(handle)}
	for i, name := range []*Name{&ref.Name, &ref.SRK} {
		if len(parts[i+1]) != 2*len(name) {
			return KeyRef{}, fmt.Errorf("%s reference %.80q: name %d has %d digits, not %d", what, text, i+1, len(parts[i+1]), 2*len(name))
		}
		if _, err := hex.Decode(name[:], parts[i+1]); err != nil {
			return KeyRef{}, fmt.Errorf("%s reference %.80q: name %d is not hex", what, text, i+1)
		}
	}
	if ref.String() != string(text) {
		return KeyRef{}, fmt.Errorf("%s reference %.80q: want lower-case hex", what, text)
	}
	return ref, nil
}

const (
	// firstPersistent and lastPersistent bound the persistent handles of the
	// owner hierarchy (Part 2, section 7.5).
	firstPersistent, lastPersistent = 0x81000000, 0x817FFFFF
	// firstKey and lastKey bound the handles that CreateKey takes.
	firstKey, lastKey = 0x8100A000, 0x8100AFFF
	// firstOwnerIndex and lastOwnerIndex bound the indices of the owner (TCG
	// registry of reserved handles, section 2.2.2).
	firstOwnerIndex, lastOwnerIndex = 0x01800000, 0x01BFFFFF
	// firstCounter and lastCounter bound the indices that DefineCounter takes.
	firstCounter, lastCounter = 0x0180A000, 0x0180AFFF
)
