// SPDX-License-Identifier: Apache-2.0

package smp

import (
	"fmt"
	"reflect"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// emptyMap is {} in CBOR.
var emptyMap = []byte{0xa0}

// Marshal encodes v, a struct with cbor tags or a map with text keys, as CBOR
// with definite lengths and sorted keys (RFC 8949, 4.2.1: core deterministic
// encoding). nil gives {}.
func Marshal(v any) ([]byte, error) {
	if v == nil {
		return []byte{0xa0}, nil
	}
	m, err := cborModes()
	if err != nil {
		return nil, err
	}
	b, err := m.enc.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode cbor: %w", err)
	}
	return b, nil
}

// Unmarshal decodes a payload into v, a pointer to a struct with cbor tags or
// to a map. Empty data means {}.
//
// Before anything is decoded the whole of data is checked: one well-formed map
// with text keys, none of them twice, nothing after it, within the limits of
// this package; indefinite maps and arrays are accepted, indefinite strings are
// not. A key that v has no field for is ignored whatever it carries. A key that
// v has a field for must carry exactly the field's type: no null, no tag, no
// float for an integer, and for [N]byte a byte string of N bytes. An absent key
// leaves its field alone: optional ones are pointers or slices.
func Unmarshal(data []byte, v any) error {
	if len(data) == 0 {
		data = emptyMap
	}
	if err := scan(data, reflect.TypeOf(v)); err != nil {
		return fmt.Errorf("decode cbor: %w", err)
	}
	m, err := cborModes()
	if err != nil {
		return err
	}
	if err := m.dec.Unmarshal(data, v); err != nil {
		return fmt.Errorf("decode cbor: %w", err)
	}
	return nil
}

type modes struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

// cborModes builds the two modes once; they never change.
var cborModes = sync.OnceValues(func() (modes, error) {
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return modes{}, fmt.Errorf("set up cbor encoding: %w", err)
	}
	dec, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		MaxArrayElements:  MaxArray,
		MaxMapPairs:       MaxMap,
		// The scan limits nesting. Tags are no containers, but count as
		// nesting here, so that this limit is never the one that bites.
		MaxNestedLevels: MaxPacket + MaxNesting,
	}.DecMode()
	if err != nil {
		return modes{}, fmt.Errorf("set up cbor decoding: %w", err)
	}
	return modes{enc, dec}, nil
})
