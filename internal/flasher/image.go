// SPDX-License-Identifier: Apache-2.0

package flasher

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Why a file is no image that may be written, to be told apart with errors.Is.
var (
	// ErrImage: not an image for MCUboot, or one of a form that is not known.
	ErrImage = errors.New("not a firmware image")
	// ErrTruncated: the file ends before its image does.
	ErrTruncated = errors.New("the image is cut short")
	// ErrDigest: the digest in the image is not that of its content.
	ErrDigest = errors.New("the image is damaged")
)

// MaxImage bounds an image file, in bytes.
const MaxImage = 16 << 20

// The form of an image (MCUboot, docs/design.md, "Image format"): a header, the
// payload, and tagged values of which some are covered by the digest.
// Everything is little-endian.
const (
	imageMagic     = 0x96f3b83d
	headerSize     = 32
	maxHeader      = 64 << 10
	plainMagic     = 0x6907 // before the values that the digest does not cover
	protectedMagic = 0x6908 // before those that it covers
	areaHeader     = 4      // magic and size, which counts this header
	valueHeader    = 4      // type and size of one value
	maxValues      = 64     // of one area
	typeSHA256     = 0x10

	flagEncrypted   = 0x04 | 0x08 // AES-128, AES-256
	flagNotBootable = 0x10
)

// Version is an image's version as its header has it.
type Version struct {
	Major, Minor uint8
	Revision     uint16
	Build        uint32
}

// String is the version as MCUmgr writes it: without a build number of 0.
func (v Version) String() string {
	s := fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Revision)
	if v.Build != 0 {
		s += fmt.Sprintf(".%d", v.Build)
	}
	return s
}

// An Image is a whole, undamaged firmware image. It never changes.
type Image struct {
	name    string
	data    []byte
	version Version
	file    [32]byte
	boot    [32]byte
}

// ReadImage reads and checks an image file. Errors start with its path.
func ReadImage(path string) (*Image, error) {
	data, err := readFile(path, MaxImage)
	if err != nil {
		return nil, err
	}
	img, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	img.name = filepath.Base(path)
	return img, nil
}

// readFile reads an ordinary file of at most limit bytes; of a longer one it
// gives one byte more. A device or a pipe may never end, and is refused.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not an ordinary file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}

// Parse checks the bytes of an image file: header, sizes, tagged values, and
// that the boot loader's digest in it is that of its content. It keeps data.
func Parse(data []byte) (*Image, error) {
	if len(data) > MaxImage {
		return nil, fmt.Errorf("%w: over %d bytes", ErrImage, MaxImage)
	}
	version, covered, err := parseHeader(data)
	if err != nil {
		return nil, err
	}
	if covered.protected > 0 {
		values := data[covered.end-covered.protected : covered.end]
		if _, err := parseValues(values, protectedMagic); err != nil {
			return nil, err
		}
	}
	values, err := parseValues(data[covered.end:], plainMagic)
	if err != nil {
		return nil, err
	}
	digest, ok := values[typeSHA256]
	if !ok || len(digest) != sha256.Size {
		return nil, fmt.Errorf("%w: it carries no SHA-256 digest for the boot loader", ErrImage)
	}
	img := &Image{data: data, version: version, file: sha256.Sum256(data), boot: [32]byte(digest)}
	if sha256.Sum256(data[:covered.end]) != img.boot {
		return nil, fmt.Errorf("%w: the digest in it is not that of its content", ErrDigest)
	}
	return img, nil
}

// extent is what the boot loader's digest covers: the image's first end bytes,
// of which the last are protected values.
type extent struct{ end, protected int }

// parseHeader reads the header and what it says of sizes.
func parseHeader(data []byte) (Version, extent, error) {
	none := func(err error) (Version, extent, error) { return Version{}, extent{}, err }
	le := binary.LittleEndian
	switch {
	case len(data) < 4 || le.Uint32(data) != imageMagic:
		return none(fmt.Errorf("%w: it does not begin with MCUboot's magic number", ErrImage))
	case len(data) < headerSize:
		return none(fmt.Errorf("%w: %d bytes, its header alone has %d", ErrTruncated, len(data), headerSize))
	}
	header, protected := int(le.Uint16(data[8:])), int(le.Uint16(data[10:]))
	size, flags := uint64(le.Uint32(data[12:])), le.Uint32(data[16:])
	end := uint64(header) + size + uint64(protected)
	switch {
	case header < headerSize || header > maxHeader:
		return none(fmt.Errorf("%w: a header of %d bytes", ErrImage, header))
	case flags&flagEncrypted != 0:
		return none(fmt.Errorf("%w: it is encrypted, and its digest cannot be checked here", ErrImage))
	case flags&flagNotBootable != 0:
		return none(fmt.Errorf("%w: it is marked as not bootable", ErrImage))
	case size == 0:
		return none(fmt.Errorf("%w: it has no content", ErrImage))
	case end+areaHeader > uint64(len(data)):
		return none(fmt.Errorf("%w: %d bytes, its header speaks of %d and more", ErrTruncated, len(data), end+areaHeader))
	}
	v := Version{Major: data[20], Minor: data[21], Revision: le.Uint16(data[22:]), Build: le.Uint32(data[24:])}
	return v, extent{end: int(end), protected: protected}, nil
}

// parseValues reads one area of tagged values, which is all of data. Of a type
// that comes more than once the first is kept; the digest may come once only.
func parseValues(data []byte, magic uint16) (map[uint16][]byte, error) {
	le := binary.LittleEndian
	if len(data) < areaHeader || le.Uint16(data) != magic {
		return nil, fmt.Errorf("%w: its tagged values are not where the header says", ErrImage)
	}
	switch total := int(le.Uint16(data[2:])); {
	case total > len(data):
		return nil, fmt.Errorf("%w: %d of %d bytes of tagged values", ErrTruncated, len(data), total)
	case total < len(data):
		return nil, fmt.Errorf("%w: %d bytes stand behind it (a slot's trailer? take the image without padding)", ErrImage, len(data)-total)
	}
	out := map[uint16][]byte{}
	count := 0
	for data = data[areaHeader:]; len(data) > 0; count++ {
		if len(data) < valueHeader || count == maxValues {
			return nil, fmt.Errorf("%w: its tagged values do not end where they should", ErrImage)
		}
		kind, size := le.Uint16(data), int(le.Uint16(data[2:]))
		data = data[valueHeader:]
		if size > len(data) {
			return nil, fmt.Errorf("%w: a tagged value of %d bytes where %d are left", ErrImage, size, len(data))
		}
		if _, twice := out[kind]; twice && kind == typeSHA256 {
			return nil, fmt.Errorf("%w: it carries two digests", ErrImage)
		} else if !twice {
			out[kind] = data[:size]
		}
		data = data[size:]
	}
	return out, nil
}

// Name is the file's name without folders, "" for an image that was no file.
func (i *Image) Name() string { return i.name }

// Size is the file's size in bytes: what is sent to a board.
func (i *Image) Size() int { return len(i.data) }

// Version is the version in the image's header.
func (i *Image) Version() Version { return i.version }

// FileDigest is the SHA-256 of the whole file.
func (i *Image) FileDigest() [32]byte { return i.file }

// BootDigest is the boot loader's own digest of the image: SHA-256 of header,
// payload and protected values. A board tells it of the images in its slots.
func (i *Image) BootDigest() [32]byte { return i.boot }
