// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"bytes"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"math"
)

// KeyFile is a key that was exported from a TPM: a file of the type TSS2
// PRIVATE KEY, which the openssl tpm2 provider and tpm2-tools read. Its private
// part only means something to the TPM that wrote it.
type KeyFile struct {
	Public *Public
	// Parent is the handle of the key that wrapped it: 0x40000001 stands for
	// the P-256 storage root key made from its template.
	Parent uint32
	// Private is the content of the TPM2B_PRIVATE.
	Private []byte
}

const (
	// maxKeyFile is the longest key file taken, in bytes.
	maxKeyFile = 8 << 10
	// ownerHierarchy is how a key file names the storage root key.
	ownerHierarchy = 0x40000001
)

// ParseKeyFile reads a key file, PEM. It takes only what an export of ours must
// be: one block, emptyAuth written and FALSE, so that the provider asks for the
// PIN, a storage root key or persistent parent, and nothing besides.
func ParseKeyFile(text []byte) (*KeyFile, error) {
	if len(text) > maxKeyFile {
		return nil, refuse(ErrKeyFile, "%d bytes are too many, at most %d are taken", len(text), maxKeyFile)
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "TSS2 PRIVATE KEY" || len(block.Headers) != 0 || len(bytes.TrimSpace(rest)) != 0 {
		return nil, refuse(ErrKeyFile, "want one PEM block TSS2 PRIVATE KEY and nothing else")
	}
	var k struct {
		Type            asn1.ObjectIdentifier
		EmptyAuth       asn1.RawValue
		Parent          int64
		Public, Private []byte
	}
	if rest, err := asn1.Unmarshal(block.Bytes, &k); err != nil || len(rest) != 0 {
		return nil, refuse(ErrKeyFile, "it is not a loadable key in DER (%v)", err)
	}
	if !k.Type.Equal(asn1.ObjectIdentifier{2, 23, 133, 10, 1, 3}) {
		return nil, refuse(ErrKeyFile, "type %v is not that of a loadable key", k.Type)
	}
	if !bytes.Equal(k.EmptyAuth.FullBytes, []byte{0xA0, 3, 1, 1, 0}) {
		return nil, refuse(ErrKeyFile, "emptyAuth is not written as FALSE: openssl would try an empty PIN")
	}
	if k.Parent < 0 || k.Parent > math.MaxUint32 || k.Parent != ownerHierarchy && k.Parent>>24 != 0x81 {
		return nil, refuse(ErrKeyFile, "the parent %#x is neither the owner hierarchy nor a persistent key", k.Parent)
	}
	area, ok := sized(k.Public)
	private, ok2 := sized(k.Private)
	if !ok || !ok2 || len(private) == 0 {
		return nil, refuse(ErrKeyFile, "a part has another length than it claims")
	}
	public, err := ParsePublic(area)
	if err != nil {
		return nil, refuse(ErrKeyFile, "%w", err)
	}
	return &KeyFile{Public: public, Parent: uint32(k.Parent), Private: bytes.Clone(private)}, nil
}

// sized takes the content out of a TPM2B.
func sized(b []byte) ([]byte, bool) {
	if len(b) < 2 || int(binary.BigEndian.Uint16(b)) != len(b)-2 {
		return nil, false
	}
	return b[2:], true
}
