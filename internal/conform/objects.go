// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"bytes"
	"context"
	"fmt"
)

// put sends one chunk and demands the next offset.
func (b *bench) put(ctx context.Context, step string, c call, next int) error {
	var a struct {
		Off *uint64 `cbor:"off"`
	}
	if err := b.accept(ctx, step, c, &a); err != nil {
		return err
	}
	expected := fmt.Sprintf("off %d", next)
	if a.Off == nil {
		return wrong(step, expected, "no off")
	}
	if *a.Off != uint64(next) {
		return wrong(step, expected, "off %d", *a.Off)
	}
	return nil
}

// putAll puts whole objects in chunks. One that is staged already in part or
// whole is resumed, as a station does.
func (b *bench) putAll(ctx context.Context, objects []object) error {
	for _, o := range objects {
		if most := b.facts.Max; most != nil && uint64(len(o.data)) > *most {
			return unchecked("the test's %s has %d bytes, the board takes %d", o.name, len(o.data), *most)
		}
		off, err := b.putFirst(ctx, o)
		if err != nil {
			return err
		}
		for off < len(o.data) {
			end := min(len(o.data), off+b.chunk())
			step := fmt.Sprintf("put of bytes %d to %d of %s", off, end, o.name)
			if err := b.put(ctx, step, putCall(o.name, off, o.data[off:end], o.data), end); err != nil {
				return err
			}
			off = end
		}
	}
	return nil
}

// putFirst puts the first chunk and returns the next offset.
func (b *bench) putFirst(ctx context.Context, o object) (int, error) {
	end := min(len(o.data), b.chunk())
	step := fmt.Sprintf("put of bytes 0 to %d of %s", end, o.name)
	var a struct {
		Off *uint64 `cbor:"off"`
	}
	if err := b.accept(ctx, step, putCall(o.name, 0, o.data[:end], o.data), &a); err != nil {
		return 0, err
	}
	expected := fmt.Sprintf("off %d, or where it resumes", end)
	if a.Off == nil {
		return 0, wrong(step, expected, "no off")
	}
	if *a.Off == 0 || *a.Off > uint64(len(o.data)) {
		return 0, wrong(step, expected, "off %d", *a.Off)
	}
	return int(*a.Off), nil
}

// piece is the answer to get.
type piece struct {
	Off  *uint64 `cbor:"off"`
	Len  *uint64 `cbor:"len"`
	Data []byte  `cbor:"data"`
}

// get reads one chunk and checks that it is one.
func (b *bench) get(ctx context.Context, obj string, off int) (data []byte, size int, err error) {
	step := fmt.Sprintf("get of %s at %d", obj, off)
	var a piece
	if err := b.accept(ctx, step, getCall(obj, off), &a); err != nil {
		return nil, 0, err
	}
	switch {
	case a.Off == nil || a.Len == nil || a.Data == nil:
		return nil, 0, wrong(step, "off, len and data", "an answer without them")
	case *a.Off != uint64(off):
		return nil, 0, wrong(step, fmt.Sprintf("off %d", off), "off %d", *a.Off)
	case *a.Len > 8192:
		return nil, 0, wrong(step, "an object of at most 8192 bytes", "%d", *a.Len)
	case b.facts.Chunk != nil && uint64(len(a.Data)) > *b.facts.Chunk:
		return nil, 0, wrong(step, fmt.Sprintf("at most the chunk of %d bytes", *b.facts.Chunk), "%d", len(a.Data))
	case uint64(off+len(a.Data)) > *a.Len:
		return nil, 0, wrong(step, fmt.Sprintf("data within the %d bytes of the object", *a.Len), "%d bytes at %d", len(a.Data), off)
	case len(a.Data) == 0 && uint64(off) < *a.Len:
		return nil, 0, wrong(step, "data", "none, at %d of %d bytes", off, *a.Len)
	}
	return a.Data, int(*a.Len), nil
}

// getAll reads a whole object.
func (b *bench) getAll(ctx context.Context, obj string) ([]byte, error) {
	data, size, err := b.get(ctx, obj, 0)
	for err == nil && len(data) < size {
		var more []byte
		var again int
		more, again, err = b.get(ctx, obj, len(data))
		if err == nil && again != size {
			err = wrong("get of "+obj, fmt.Sprintf("len %d in every answer", size), "%d", again)
		}
		data = append(data, more...)
	}
	return data, err
}

// request has the board make a CSR and reads it.
func (b *bench) request(ctx context.Context, cn, sn string, nonce [32]byte) ([]byte, error) {
	var a struct {
		Len *uint64 `cbor:"len"`
		SHA []byte  `cbor:"sha"`
	}
	if err := b.accept(ctx, "csr", csrCall(cn, sn, nonce[:]), &a); err != nil {
		return nil, err
	}
	if a.Len == nil || len(a.SHA) != 32 {
		return nil, wrong("csr", "len, and sha of 32 bytes", "an answer without them")
	}
	der, err := b.getAll(ctx, "csr")
	switch {
	case err != nil:
		return nil, err
	case uint64(len(der)) != *a.Len:
		return nil, wrong("get of csr", fmt.Sprintf("the %d bytes that csr announced", *a.Len), "%d", len(der))
	case !bytes.Equal(sum(der), a.SHA):
		return nil, wrong("get of csr", fmt.Sprintf("bytes with the digest %x that csr announced", a.SHA), "%x", sum(der))
	}
	return der, nil
}
