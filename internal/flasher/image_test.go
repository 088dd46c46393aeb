// SPDX-License-Identifier: Apache-2.0

package flasher_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"provisioning.example/station/internal/flasher"
	"provisioning.example/station/internal/virtual"
)

var le = binary.LittleEndian

// image makes a sound image around a payload of size bytes.
func image(major uint8, size int) []byte {
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = byte(i) ^ byte(i>>8) ^ major
	}
	return virtual.MakeImage(virtual.ImageVersion{Major: major, Minor: 4, Revision: 7}, payload)
}

// protected makes an image with a protected value, and a value of another type
// behind the digest, as imgtool does for a signed one.
func protected() []byte {
	b := image(3, 100)[:32+100]
	le.PutUint16(b[10:], 4+4+4) // protected size
	b = le.AppendUint16(b, 0x6908)
	b = le.AppendUint16(b, 4+4+4)
	b = append(b, 0x50, 0, 4, 0, 9, 9, 9, 9) // security counter
	digest := sha256.Sum256(b)
	b = le.AppendUint16(b, 0x6907)
	b = le.AppendUint16(b, 4+4+32+4+3)
	b = append(b, 0x10, 0, 32, 0)
	b = append(b, digest[:]...)
	return append(b, 0x22, 0, 3, 0, 1, 2, 3)
}

func TestParse(t *testing.T) {
	for name, data := range map[string][]byte{"plain": image(2, 3000), "protected": protected()} {
		img, err := flasher.Parse(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		end := bytes.LastIndex(data, []byte{0x07, 0x69})
		if img.BootDigest() != sha256.Sum256(data[:end]) || img.FileDigest() != sha256.Sum256(data) || img.Size() != len(data) {
			t.Errorf("%s: digests %x and %x of %d bytes", name, img.BootDigest(), img.FileDigest(), img.Size())
		}
	}
	img, err := flasher.Parse(virtual.MakeImage(virtual.ImageVersion{Major: 255, Minor: 0, Revision: 65535, Build: 1<<32 - 1}, []byte("x")))
	if err != nil || img.Version().String() != "255.0.65535.4294967295" {
		t.Errorf("version %v, %v", img.Version(), err)
	}
}

// TestParseRefuses damages a sound image in each way that matters.
func TestParseRefuses(t *testing.T) {
	set := func(at int, b ...byte) func([]byte) []byte {
		return func(d []byte) []byte { copy(d[at:], b); return d }
	}
	const values = 32 + 500 // where the tagged values begin
	for name, c := range map[string]struct {
		change func([]byte) []byte
		want   error
		say    string
	}{
		"nothing":               {func([]byte) []byte { return nil }, flasher.ErrImage, "magic"},
		"magic":                 {set(0, 0x3c), flasher.ErrImage, "magic"},
		"header only":           {func(d []byte) []byte { return d[:31] }, flasher.ErrTruncated, "header alone"},
		"payload cut":           {func(d []byte) []byte { return d[:300] }, flasher.ErrTruncated, "300 bytes"},
		"one byte short":        {func(d []byte) []byte { return d[:len(d)-1] }, flasher.ErrTruncated, ""},
		"values cut":            {func(d []byte) []byte { return d[:values+4] }, flasher.ErrTruncated, ""},
		"padded":                {func(d []byte) []byte { return append(d, bytes.Repeat([]byte{0xff}, 64)...) }, flasher.ErrImage, "64 bytes stand behind"},
		"small header":          {set(8, 31, 0), flasher.ErrImage, "header of 31"},
		"size of 4 GiB":         {set(12, 0xff, 0xff, 0xff, 0xff), flasher.ErrTruncated, ""},
		"size of 0":             {set(12, 0, 0, 0, 0), flasher.ErrImage, "no content"},
		"size off by one":       {set(12, 0xf5, 1), flasher.ErrImage, "tagged values"},
		"protected, but absent": {set(10, 8, 0), flasher.ErrImage, "tagged values"},
		"encrypted":             {set(16, 4), flasher.ErrImage, "encrypted"},
		"not bootable":          {set(16, 0x10), flasher.ErrImage, "not bootable"},
		"payload changed":       {set(200, 0), flasher.ErrDigest, "digest"},
		"version changed":       {set(20, 99), flasher.ErrDigest, "digest"},
		"digest changed":        {set(values+8, 0, 0, 0), flasher.ErrDigest, "digest"},
		"no digest":             {set(values+4, 0x11), flasher.ErrImage, "no SHA-256"},
		"short digest":          {set(values+6, 31), flasher.ErrImage, "do not end"},
		"long digest":           {set(values+6, 33), flasher.ErrImage, "33 bytes where 32"},
		"two digests": {func(d []byte) []byte {
			le.PutUint16(d[values+2:], 4+2*36)
			return append(d, d[values+4:]...)
		}, flasher.ErrImage, "two digests"},
		"65 values": {func(d []byte) []byte {
			d = append(d, bytes.Repeat([]byte{1, 0, 0, 0}, 64)...)
			le.PutUint16(d[values+2:], uint16(len(d)-values))
			return d
		}, flasher.ErrImage, "do not end"},
	} {
		_, err := flasher.Parse(c.change(image(2, 500)))
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v, want %v: %s", name, err, c.want, c.say)
		}
	}
}

// TestParseEveryCut: no shorter file passes, whatever is cut off.
func TestParseEveryCut(t *testing.T) {
	data := protected()
	for n := range data {
		if _, err := flasher.Parse(data[:n]); !errors.Is(err, flasher.ErrTruncated) && !errors.Is(err, flasher.ErrImage) {
			t.Fatalf("%d of %d bytes: %v", n, len(data), err)
		}
	}
}

// FuzzParse: nothing panics, and what is accepted holds by a second reading.
func FuzzParse(f *testing.F) {
	f.Add(image(1, 10))
	f.Add(protected())
	f.Add(image(1, 10)[:40])
	f.Fuzz(func(t *testing.T, data []byte) {
		img, err := flasher.Parse(data)
		if err != nil {
			return
		}
		end := int(le.Uint16(data[8:])) + int(le.Uint32(data[12:])) + int(le.Uint16(data[10:]))
		if end > len(data) || img.BootDigest() != sha256.Sum256(data[:end]) {
			t.Error("the digest is not that of the content")
		}
		if digest := img.BootDigest(); !bytes.Contains(data[end:], digest[:]) {
			t.Error("the digest does not stand behind the content")
		}
	})
}
