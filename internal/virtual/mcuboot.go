// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// The form of an image (MCUboot, docs/design.md): a header of 32 bytes, the
// payload, and a list of tagged values with the digest of both.
const (
	imageMagic  = 0x96f3b83d
	imageHeader = 32
	valuesMagic = 0x6907
	valueSHA256 = 0x10
	imageTail   = 4 + 4 + sha256.Size // list header, value header, digest
)

// ImageVersion is a version as an image's header has it.
type ImageVersion struct {
	Major, Minor uint8
	Revision     uint16
	Build        uint32
}

func (v ImageVersion) String() string {
	s := fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Revision)
	if v.Build != 0 {
		s += fmt.Sprintf(".%d", v.Build)
	}
	return s
}

// ParseVersion reads 1.2.3 or 1.2.3.4; what it cannot read is 0.
func ParseVersion(text string) (v ImageVersion) {
	_, _ = fmt.Sscanf(text, "%d.%d.%d.%d", &v.Major, &v.Minor, &v.Revision, &v.Build)
	return v
}

// MakeImage makes a firmware image that a board boots, unsigned, as imgtool
// would make it around payload.
func MakeImage(v ImageVersion, payload []byte) []byte {
	le := binary.LittleEndian
	b := make([]byte, imageHeader, imageHeader+len(payload)+imageTail)
	le.PutUint32(b, imageMagic)
	le.PutUint16(b[8:], imageHeader)
	le.PutUint32(b[12:], uint32(len(payload)))
	b[20], b[21] = v.Major, v.Minor
	le.PutUint16(b[22:], v.Revision)
	le.PutUint32(b[24:], v.Build)
	b = append(b, payload...)
	digest := sha256.Sum256(b)
	b = le.AppendUint16(b, valuesMagic)
	b = le.AppendUint16(b, imageTail)
	b = le.AppendUint16(b, valueSHA256)
	b = le.AppendUint16(b, sha256.Size)
	return append(b, digest[:]...)
}

// imageInfo finds version and digest of an image, as an agent looks for them: it
// does not check the digest. end is where what the digest covers ends.
func imageInfo(data []byte) (v ImageVersion, digest []byte, end int, ok bool) {
	le := binary.LittleEndian
	if len(data) < imageHeader || le.Uint32(data) != imageMagic {
		return v, nil, 0, false
	}
	header, protected, size := uint64(le.Uint16(data[8:])), uint64(le.Uint16(data[10:])), uint64(le.Uint32(data[12:]))
	v = ImageVersion{data[20], data[21], le.Uint16(data[22:]), le.Uint32(data[24:])}
	covered := header + size + protected
	if covered+4 > uint64(len(data)) || le.Uint16(data[covered:]) != valuesMagic {
		return v, nil, 0, false
	}
	for rest := data[covered+4:]; len(rest) >= 4; {
		kind, n := le.Uint16(rest), int(le.Uint16(rest[2:]))
		rest = rest[4:]
		if n > len(rest) {
			break
		}
		if kind == valueSHA256 && n == sha256.Size {
			return v, rest[:n], int(covered), true
		}
		rest = rest[n:]
	}
	return v, nil, 0, false
}

// bootable is what the boot loader finds: an image whose digest is right.
func bootable(data []byte) bool {
	_, digest, end, ok := imageInfo(data)
	if !ok {
		return false
	}
	sum := sha256.Sum256(data[:end])
	return bytes.Equal(sum[:], digest)
}
