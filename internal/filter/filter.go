// SPDX-License-Identifier: Apache-2.0

// Package filter is the set of what a station has used: public keys, serials,
// boards and the random numbers of request signatures. Another station asks it
// before it issues, so that a plant notices a cloned key although each station
// has a ledger of its own.
//
// A value is kept as the first 16 bytes of its SHA-256, in a sorted list. Two
// values that differ share such a start with a chance of 2^-128: among ten
// million on each side one in 10^24 sets would ever refuse a sound unit. That is
// why no unit is ever refused by mistake, which a Bloom filter of this size
// could not promise. What is not in the list was not used: there are no false
// negatives at all.
//
// The digests are no secret keeper: who can guess a serial can ask for it.
package filter

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind is what kind of value is asked for.
type Kind uint8

// The kinds, in the order in which they stand in a file.
const (
	Key    Kind = iota // SHA-256 of a SubjectPublicKeyInfo, lower-case hex: every key that was ever made
	Serial             // serial of a live unit
	Board              // model/uid of a live unit, or of a scrapped one
	Random             // r of a request's ECDSA signature, lower-case hex
	kinds  = iota
)

// Kinds are all of them.
func Kinds() []Kind { return []Kind{Key, Serial, Board, Random} }

func (k Kind) String() string {
	switch k {
	case Key:
		return "key"
	case Serial:
		return "serial"
	case Board:
		return "board"
	case Random:
		return "random number"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

const (
	digestSize = 16
	maxOrigin  = 128
	// MaxValues is the most values of one kind that a set holds.
	MaxValues = 4 << 20

	magic = "station-used-v1\n"
)

type digest [digestSize]byte

// digestOf keeps kinds apart: a serial that reads like a key is none.
func digestOf(k Kind, value string) digest {
	h := sha256.New()
	h.Write([]byte(magic))
	h.Write([]byte{byte(k), 0})
	h.Write([]byte(value))
	return digest(h.Sum(nil)[:digestSize])
}

// Builder collects values. The zero value is ready.
type Builder struct{ lists [kinds][]digest }

// Add puts a value into the set; one that is there already, or an empty one,
// changes nothing.
func (b *Builder) Add(k Kind, value string) {
	if value != "" {
		b.lists[k] = append(b.lists[k], digestOf(k, value))
	}
}

// Set is what a station had used when its ledger had so many entries. It cannot
// be changed: any number of goroutines may ask it.
type Set struct {
	origin string
	size   int64
	lists  [kinds][]digest // ascending, each once
}

// Set returns what was collected from the ledger of this origin
// (plant/station/epoch) with so many entries in that epoch.
func (b *Builder) Set(origin string, size int64) (*Set, error) {
	s := &Set{origin: origin, size: size}
	if origin == "" || len(origin) > maxOrigin || size < 1 {
		return nil, fmt.Errorf("used values of %q with %d entries: an origin of up to %d bytes and a size from 1 are needed", origin, size, maxOrigin)
	}
	for k, list := range b.lists {
		list = slices.Clone(list)
		slices.SortFunc(list, compare)
		s.lists[k] = slices.Compact(list)
		if n := len(s.lists[k]); n > MaxValues {
			return nil, fmt.Errorf("used values of %s: %d of kind %s, at most %d fit", origin, n, Kind(k), MaxValues)
		}
	}
	return s, nil
}

func compare(a, b digest) int { return bytes.Compare(a[:], b[:]) }

// Origin is the ledger that the set was made from.
func (s *Set) Origin() string { return s.origin }

// Station is the station of that ledger: plant/station.
func (s *Set) Station() string {
	if i := strings.LastIndexByte(s.origin, '/'); i >= 0 {
		return s.origin[:i]
	}
	return s.origin
}

// Size is how many entries the origin's epoch had then.
func (s *Set) Size() int64 { return s.size }

// Len is how many values of a kind the set has.
func (s *Set) Len(k Kind) int { return len(s.lists[k]) }

// Has tells whether a value was used.
func (s *Set) Has(k Kind, value string) bool {
	_, found := slices.BinarySearchFunc(s.lists[k], digestOf(k, value), compare)
	return found
}

// Encode writes the set: the magic, the origin's length (2 bytes) and text, the
// size (8), then for each kind a count (4) and as many digests of 16 bytes in
// ascending order. Numbers are big-endian.
func (s *Set) Encode() []byte {
	out := append([]byte(magic), byte(len(s.origin)>>8), byte(len(s.origin)))
	out = append(out, s.origin...)
	out = binary.BigEndian.AppendUint64(out, uint64(s.size))
	for _, list := range s.lists {
		out = binary.BigEndian.AppendUint32(out, uint32(len(list)))
		for _, d := range list {
			out = append(out, d[:]...)
		}
	}
	return out
}

var errShort = errors.New("used values: the file ends too early")

// parseSet reads what Encode wrote, and nothing else: there is one form for
// each set. rest is what stands behind it.
func parseSet(file []byte) (s *Set, rest []byte, err error) {
	in := reading{rest: file}
	if string(in.next(len(magic))) != magic {
		return nil, nil, errors.New("used values: this is no file of them, version 1")
	}
	s = &Set{}
	n := in.number(2)
	if n == 0 || n > maxOrigin {
		return nil, nil, fmt.Errorf("used values: origin of %d bytes, allowed are 1 to %d", n, maxOrigin)
	}
	s.origin = string(in.next(int(n)))
	size := in.number(8)
	if size < 1 || size > 1<<40 {
		return nil, nil, fmt.Errorf("used values: size %d, allowed are 1 to 2^40", size)
	}
	s.size = int64(size)
	for k := range s.lists {
		if s.lists[k], err = in.digests(Kind(k)); err != nil {
			return nil, nil, err
		}
	}
	if in.short {
		return nil, nil, errShort
	}
	return s, in.rest, nil
}

// reading cuts bytes off a file; once too few are left it is short, and all it
// returns is empty.
type reading struct {
	rest  []byte
	short bool
}

func (r *reading) next(n int) []byte {
	if r.short || n < 0 || len(r.rest) < n {
		r.short = true
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reading) number(bytes int) (n uint64) {
	for _, b := range r.next(bytes) {
		n = n<<8 | uint64(b)
	}
	return n
}

func (r *reading) digests(k Kind) ([]digest, error) {
	count := r.number(4)
	if count > MaxValues {
		return nil, fmt.Errorf("used values: %d of kind %s, at most %d are read", count, k, MaxValues)
	}
	raw := r.next(int(count) * digestSize)
	if len(raw) != int(count)*digestSize {
		return nil, errShort
	}
	list := make([]digest, count)
	for i := range list {
		list[i] = digest(raw[i*digestSize:])
		if i > 0 && compare(list[i-1], list[i]) >= 0 {
			return nil, fmt.Errorf("used values: those of kind %s are not in ascending order, each once", k)
		}
	}
	return list, nil
}
