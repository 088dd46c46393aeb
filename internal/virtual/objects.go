// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"bytes"
	"crypto/sha256"
)

// objectNames are the objects of commit, in the order of its checks.
var objectNames = [...]string{"chain", "anchors", "rework"}

// staged is an object on its way into the board. It lives in RAM until commit.
type staged struct {
	size uint64
	sha  [32]byte // as announced: with size it tells whether a put resumes
	data []byte
}

type getRequest struct {
	Obj *string `cbor:"obj"`
	Off *uint64 `cbor:"off"`
}

func (r *getRequest) shape(*Config) bool {
	return r.Obj != nil && r.Off != nil && (*r.Obj == "csr" || isObject(*r.Obj))
}

func isObject(name string) bool {
	return name == objectNames[0] || name == objectNames[1] || name == objectNames[2]
}

type getAnswer struct {
	Off  uint64 `cbor:"off"`
	Len  uint64 `cbor:"len"`
	Data []byte `cbor:"data"`
}

// get answers the chunk of an object at an offset; at its end an empty one.
func (b *Board) get(r *getRequest) (any, *refusal) {
	data, ok := b.flash.objects[*r.Obj]
	if *r.Obj == "csr" {
		data, ok = b.ram.csr, b.ram.csr != nil
	}
	size := uint64(len(data))
	switch {
	case !ok:
		return nil, &refusal{rc: rcWrongState}
	case *r.Off > size:
		return nil, &refusal{rc: rcOffset, off: &size}
	}
	if b.fault.read != nil {
		data = b.fault.read(*r.Obj, data)
	}
	end := min(size, *r.Off+uint64(b.chunk()))
	return getAnswer{*r.Off, size, append([]byte{}, data[*r.Off:end]...)}, nil
}

// chunk is the most data that one answer carries: what the buffer holds.
func (b *Board) chunk() int { return min(b.cfg.Chunk, b.cfg.Buffer-besidesData) }

type putRequest struct {
	Obj  *string   `cbor:"obj"`
	Off  *uint64   `cbor:"off"`
	Data []byte    `cbor:"data"`
	Len  *uint64   `cbor:"len"`
	SHA  *[32]byte `cbor:"sha"`
}

func (r *putRequest) shape(c *Config) bool {
	if r.Obj == nil || !isObject(*r.Obj) || r.Off == nil || r.Data == nil || len(r.Data) > c.Chunk {
		return false
	}
	return *r.Off != 0 || r.Len != nil && r.SHA != nil && *r.Len <= uint64(c.Max) && uint64(len(r.Data)) <= *r.Len
}

type offAnswer struct {
	Off uint64 `cbor:"off"`
}

// resume answers a put that begins an object which is partly staged already: it
// compares, but takes no further bytes.
func (s *staged) resume(data []byte) (any, *refusal) {
	have := uint64(len(s.data))
	if n := min(len(data), len(s.data)); !bytes.Equal(s.data[:n], data[:n]) {
		return nil, &refusal{rc: rcOffset, off: &have}
	}
	return offAnswer{have}, nil
}

// put takes the next chunk of an object, knows the one before again, and
// answers the offset it wants next.
func (b *Board) put(r *putRequest) (any, *refusal) {
	s := b.ram.staging[*r.Obj]
	if *r.Off == 0 {
		if s != nil && s.size == *r.Len && s.sha == *r.SHA && len(s.data) > 0 {
			return s.resume(r.Data)
		}
		s = &staged{size: *r.Len, sha: *r.SHA}
		b.ram.staging[*r.Obj] = s
	}
	if s == nil {
		return nil, &refusal{rc: rcOffset, off: new(uint64)}
	}
	have := uint64(len(s.data))
	end := *r.Off + uint64(len(r.Data))
	switch {
	case *r.Off > s.size || end > s.size:
		return nil, &refusal{rc: rcMalformed}
	case end <= have && bytes.Equal(s.data[*r.Off:end], r.Data):
		return offAnswer{have}, nil // a repeated chunk
	case *r.Off != have:
		return nil, &refusal{rc: rcOffset, off: &have}
	}
	s.data = append(s.data, r.Data...)
	return offAnswer{uint64(len(s.data))}, nil
}

type commitRequest struct {
	Chain   *[32]byte `cbor:"chain"`
	Anchors *[32]byte `cbor:"anchors"`
	Rework  *[32]byte `cbor:"rework"`
}

func (r *commitRequest) shape(*Config) bool { return r.Chain != nil }

// commit checks all objects named and stores them at once.
func (b *Board) commit(r *commitRequest) (any, *refusal) {
	objects, changed, refused := b.gather(r)
	if refused != nil {
		return nil, refused
	}
	if !changed {
		return stateAnswer{stateInstalled}, nil
	}
	if rc := checkObjects(objects, b.flash.spki, b.cfg.Root, b.cfg.Verify); rc != 0 {
		return nil, &refusal{rc: rc}
	}
	b.flash = b.flash.with(func(f *flash) {
		f.state = stateInstalled
		for name, data := range objects {
			f.objects[name] = bytes.Clone(data)
		}
	})
	b.ram.csr, b.ram.staging = nil, map[string]*staged{}
	if b.fault.stored != nil {
		b.fault.stored(b)
	}
	return stateAnswer{stateInstalled}, nil
}

// gather collects the objects named from storage or staging: there (2),
// complete (4), digest right (5), each step over all of them. changed says
// that storage would not be the same afterwards.
func (b *Board) gather(r *commitRequest) (objects map[string][]byte, changed bool, _ *refusal) {
	named := map[string]*[32]byte{"chain": r.Chain, "anchors": r.Anchors, "rework": r.Rework}
	objects = map[string][]byte{}
	var fresh []string
	for _, name := range objectNames {
		want := named[name]
		if want == nil {
			continue
		}
		if d := b.flash.digest(name); d != nil && *d == *want {
			objects[name] = b.flash.objects[name]
			continue
		}
		s := b.ram.staging[name]
		if s == nil {
			return nil, false, &refusal{rc: rcWrongState}
		}
		objects[name] = s.data
		fresh = append(fresh, name)
	}
	for _, name := range fresh {
		if have := uint64(len(objects[name])); have < b.ram.staging[name].size {
			return nil, false, &refusal{rc: rcOffset, off: &have, obj: name}
		}
	}
	for _, name := range fresh {
		if sha256.Sum256(objects[name]) != *named[name] {
			b.ram.staging = map[string]*staged{}
			return nil, false, &refusal{rc: rcDigest, obj: name}
		}
	}
	return objects, len(fresh) > 0, nil
}
