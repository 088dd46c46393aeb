// SPDX-License-Identifier: Apache-2.0

package smp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"unicode/utf8"
)

// Major types of CBOR (RFC 8949, 3.1).
const (
	majorUint = iota
	majorNegative
	majorBytes
	majorText
	majorArray
	majorMap
	majorTag
	majorSimple
)

const (
	infoIndefinite = 31
	breakByte      = 0xff
)

// Why a payload is refused.
var (
	errNotMap    = errors.New("not a map")
	errTruncated = errors.New("the data ends inside an item")
	errMalformed = errors.New("not well-formed")
	errTrailing  = errors.New("bytes after the map")
	errIndefText = errors.New("string of indefinite length")
	errKey       = errors.New("a key is not UTF-8 text")
	errDuplicate = errors.New("a key comes twice")
	errType      = errors.New("wrong type")
	errNesting   = fmt.Errorf("nesting is over the limit of %d", MaxNesting)
	errMap       = fmt.Errorf("map is over the limit of %d entries", MaxMap)
	errArray     = fmt.Errorf("array is over the limit of %d elements", MaxArray)
	errText      = fmt.Errorf("text is over the limit of %d bytes", MaxText)
)

// scan checks data against limits and the Go type of its destination before
// any of it is decoded: one map, and nothing after it. It allocates nothing
// that depends on what the data announces.
func scan(data []byte, dest reflect.Type) error {
	if len(data) > MaxPacket {
		return fmt.Errorf("%d bytes are over the limit of %d", len(data), MaxPacket)
	}
	s := scanner{rest: data}
	if data[0]>>5 != majorMap {
		return errNotMap
	}
	if err := s.item(0, dest); err != nil {
		return err
	}
	if len(s.rest) != 0 {
		return errTrailing
	}
	return nil
}

type scanner struct{ rest []byte }

// A head is the first part of an item: its major type and its argument.
type head struct {
	major, info byte
	arg         uint64
}

// head reads one head (RFC 8949, 3). Of an indefinite length, which only strings
// and containers may have, info is 31. A break is no head: where it is allowed
// its container takes it.
func (s *scanner) head() (head, error) {
	if len(s.rest) == 0 {
		return head{}, errTruncated
	}
	h := head{major: s.rest[0] >> 5, info: s.rest[0] & 31}
	s.rest = s.rest[1:]
	switch {
	case h.info < 24:
		h.arg = uint64(h.info)
		return h, nil
	case h.info == infoIndefinite && h.major >= majorBytes && h.major <= majorMap:
		return h, nil
	case h.info > 27:
		return head{}, errMalformed
	}
	n := 1 << (h.info - 24)
	if len(s.rest) < n {
		return head{}, errTruncated
	}
	var wide [8]byte
	copy(wide[8-n:], s.rest[:n])
	h.arg = binary.BigEndian.Uint64(wide[:])
	s.rest = s.rest[n:]
	if h.major == majorSimple && n == 1 && h.arg < 32 {
		return head{}, errMalformed // it must take one byte
	}
	return h, nil
}

// item checks one item with all it contains. depth counts the containers
// around it; dest is the Go type it is decoded into, nil when it is ignored.
func (s *scanner) item(depth int, dest reflect.Type) error {
	dest = deref(dest)
	at := s.rest
	h, err := s.head()
	for err == nil && h.major == majorTag {
		if dest != nil {
			return fmt.Errorf("%w: a tag where %s is expected", errType, expected(dest))
		}
		h, err = s.head()
	}
	if err != nil {
		return err
	}
	if dest != nil && !fits(h, at[0], dest) {
		return fmt.Errorf("%w: byte %#02x where %s is expected", errType, at[0], expected(dest))
	}
	switch h.major {
	case majorBytes, majorText:
		_, err := s.text(h)
		return err
	case majorArray:
		return s.array(h, depth+1, dest)
	case majorMap:
		return s.mapping(h, depth+1, dest)
	}
	return nil
}

// text reads a byte or text string of definite length.
func (s *scanner) text(h head) ([]byte, error) {
	switch {
	case h.info == infoIndefinite:
		return nil, errIndefText
	case h.arg > uint64(len(s.rest)):
		return nil, errTruncated
	case h.major == majorText && h.arg > MaxText:
		return nil, errText
	}
	b := s.rest[:h.arg]
	s.rest = s.rest[h.arg:]
	return b, nil
}

// more reports whether a container has another element after n of them, and
// takes the break that ends an indefinite one.
func (s *scanner) more(h head, n int) (bool, error) {
	if h.info != infoIndefinite {
		return uint64(n) < h.arg, nil
	}
	if len(s.rest) == 0 {
		return false, errTruncated
	}
	if s.rest[0] != breakByte {
		return true, nil
	}
	s.rest = s.rest[1:]
	return false, nil
}

func (s *scanner) array(h head, depth int, dest reflect.Type) error {
	if depth > MaxNesting {
		return errNesting
	}
	for n := 0; ; n++ {
		if more, err := s.more(h, n); err != nil || !more {
			return err
		}
		if n == MaxArray {
			return errArray
		}
		if err := s.item(depth, element(dest)); err != nil {
			return err
		}
	}
}

// mapping checks a map. Keys must be text and differ in the outer map and in
// every map that is decoded; an ignored one may have any keys.
func (s *scanner) mapping(h head, depth int, dest reflect.Type) error {
	if depth > MaxNesting {
		return errNesting
	}
	var keys [MaxMap]string
	for n := 0; ; n++ {
		if more, err := s.more(h, n); err != nil || !more {
			return err
		}
		if n == MaxMap {
			return errMap
		}
		if depth > 1 && dest == nil {
			if err := s.item(depth, nil); err != nil {
				return err
			}
		} else if err := s.key(&keys, n); err != nil {
			return err
		}
		if err := s.item(depth, field(dest, keys[n])); err != nil {
			if keys[n] != "" {
				return fmt.Errorf("%q: %w", keys[n], err)
			}
			return err
		}
	}
}

// key reads the key of entry n and compares it with those before it. Two
// encodings of one text are the same key.
func (s *scanner) key(keys *[MaxMap]string, n int) error {
	h, err := s.head()
	if err != nil {
		return err
	}
	if h.major != majorText {
		return errKey
	}
	b, err := s.text(h)
	if err != nil {
		return err
	}
	if !utf8.Valid(b) {
		return errKey
	}
	keys[n] = string(b)
	for _, k := range keys[:n] {
		if k == keys[n] {
			return fmt.Errorf("%w: %q", errDuplicate, k)
		}
	}
	return nil
}
