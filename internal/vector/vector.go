// SPDX-License-Identifier: Apache-2.0

// Package vector reads the test vectors that the Go side and the C agent share.
//
// A vector file is ASCII text: lines that start with # are comments, blank
// lines separate cases, and a case is a block of `key = value` lines. The first
// is `name = text`; every other value is lower-case hex, except that a key
// ending in _text carries its value as plain ASCII. An empty value is allowed:
//
//	# requests of group 64
//	name = info, sequence 1
//	message = 0800000100400100a0
//	packet = 0609...0a
//
//	name = length runs past the packet
//	packet = 0609...0a
//	refuse_text = length
package vector

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxLine bounds one line of a vector file, in bytes.
const maxLine = 1 << 20

// A Case is one block of a vector file.
type Case struct {
	Name   string            // unique within its file
	Fields map[string][]byte // decoded values by key; never holds "name"
}

// Text returns the field called key as a string, "" when the case has none.
func (c Case) Text(key string) string { return string(c.Fields[key]) }

// Has reports whether the case has a field called key, be it empty.
func (c Case) Has(key string) bool {
	_, ok := c.Fields[key]
	return ok
}

// Read returns the cases of the file at path in the order of the file. A file
// without any case is an error: a golden test that finds no vectors must fail.
func Read(path string) ([]Case, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read vectors: %w", err)
	}
	defer f.Close()
	cases, err := parse(f)
	if err != nil {
		return nil, fmt.Errorf("read vectors: %s: %w", path, err)
	}
	if len(cases) == 0 {
		return nil, fmt.Errorf("read vectors: %s: the file holds no vectors", path)
	}
	return cases, nil
}

func parse(r io.Reader) ([]Case, error) {
	var cases []Case
	names := map[string]bool{}
	inBlock := false
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		if line == "" {
			inBlock = false
			continue
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		key, value, err := field(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		switch {
		case inBlock && key == "name":
			return nil, fmt.Errorf("line %d: second name in one block; separate cases by a blank line", n)
		case inBlock:
			fields := cases[len(cases)-1].Fields
			if _, ok := fields[key]; ok {
				return nil, fmt.Errorf("line %d: key %q given twice", n, key)
			}
			fields[key] = value
		case key != "name":
			return nil, fmt.Errorf("line %d: a block starts with %q, not with name", n, key)
		case names[string(value)]:
			return nil, fmt.Errorf("line %d: name %q used twice", n, value)
		default:
			names[string(value)] = true
			cases = append(cases, Case{Name: string(value), Fields: map[string][]byte{}})
			inBlock = true
		}
	}
	return cases, s.Err()
}

// field splits one `key = value` line and decodes the value by its key.
func field(line string) (key string, value []byte, err error) {
	key, text, ok := strings.Cut(line, "=")
	if !ok {
		return "", nil, fmt.Errorf("%q is not of the form key = value", line)
	}
	key, text = strings.TrimSpace(key), strings.TrimSpace(text)
	switch {
	case key == "":
		return "", nil, fmt.Errorf("%q has no key", line)
	case key == "name" && text == "":
		return "", nil, fmt.Errorf("a name may not be empty")
	case key == "name" || strings.HasSuffix(key, "_text"):
		return key, []byte(text), ascii(text)
	case text != strings.ToLower(text):
		return "", nil, fmt.Errorf("key %q: hex is written in lower case", key)
	}
	value, err = hex.DecodeString(text)
	if err != nil {
		return "", nil, fmt.Errorf("key %q: %w", key, err)
	}
	return key, value, nil
}

func ascii(s string) error {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return fmt.Errorf("byte %#02x is not printable ASCII", s[i])
		}
	}
	return nil
}
