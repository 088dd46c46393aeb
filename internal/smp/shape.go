// SPDX-License-Identifier: Apache-2.0

package smp

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

var rawMessage = reflect.TypeFor[cbor.RawMessage]()

// deref follows pointers. Types that take any item (any, cbor.RawMessage) and
// the absence of a destination are nil.
func deref(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() == reflect.Interface || t == rawMessage {
		return nil
	}
	return t
}

func isBytes(t reflect.Type) bool {
	return (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) && t.Elem().Kind() == reflect.Uint8
}

// element returns the type of the elements of the array type t.
func element(t reflect.Type) reflect.Type {
	if t == nil {
		return nil
	}
	return t.Elem()
}

// field returns the type that the value of key is decoded into, nil for a key
// that is ignored. It follows the naming of package cbor.
func field(t reflect.Type, key string) reflect.Type {
	if t == nil {
		return nil
	}
	if t.Kind() == reflect.Map {
		return t.Elem()
	}
	for f := range t.Fields() {
		if f.Anonymous && fieldTag(f) == "" && deref(f.Type).Kind() == reflect.Struct {
			if in := field(deref(f.Type), key); in != nil {
				return in
			}
			continue
		}
		if f.IsExported() && fieldName(f) == key {
			return f.Type
		}
	}
	return nil
}

func fieldTag(f reflect.StructField) string {
	if tag, ok := f.Tag.Lookup("cbor"); ok {
		return tag
	}
	return f.Tag.Get("json")
}

// fieldName returns the key of a field, "" for one that is never decoded.
func fieldName(f reflect.StructField) string {
	tag := fieldTag(f)
	if tag == "-" {
		return ""
	}
	name, _, _ := strings.Cut(tag, ",")
	if name == "" {
		return f.Name
	}
	return name
}

// fits reports whether an item with head h and first byte b may be decoded into
// a value of type t.
func fits(h head, b byte, t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool:
		return b == 0xf4 || b == 0xf5
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		return h.major == majorUint
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Int:
		return h.major == majorUint || h.major == majorNegative
	case reflect.String:
		return h.major == majorText
	case reflect.Array:
		return isBytes(t) && h.major == majorBytes && (h.info == infoIndefinite || h.arg == uint64(t.Len()))
	case reflect.Slice:
		if isBytes(t) {
			return h.major == majorBytes
		}
		return h.major == majorArray
	case reflect.Struct, reflect.Map:
		return h.major == majorMap
	}
	return false
}

// expected names what fits t, for people who read a board's log.
func expected(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Array && isBytes(t):
		return fmt.Sprintf("a byte string of %d bytes", t.Len())
	case isBytes(t):
		return "a byte string"
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Slice:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "a map"
	}
	return "a value of type " + t.Kind().String()
}
