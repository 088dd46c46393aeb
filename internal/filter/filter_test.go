// SPDX-License-Identifier: Apache-2.0

package filter_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"provisioning.example/station/internal/filter"
)

func sample(t testing.TB, n int) *filter.Set {
	t.Helper()
	var b filter.Builder
	for i := range n {
		b.Add(filter.Key, fmt.Sprintf("%064x", i))
		b.Add(filter.Serial, fmt.Sprintf("SN-%d", i))
		b.Add(filter.Board, fmt.Sprintf("gw-2/%08x", i))
		b.Add(filter.Random, fmt.Sprintf("%064x", 3*i))
	}
	s, err := b.Set("ulm/st-07/1", 4711)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHas(t *testing.T) {
	const n = 1000
	s := sample(t, n)
	if s.Origin() != "ulm/st-07/1" || s.Station() != "ulm/st-07" || s.Size() != 4711 {
		t.Errorf("the set is of %s (%s), size %d", s.Origin(), s.Station(), s.Size())
	}
	for i := range 2 * n {
		in := i < n
		if s.Has(filter.Key, fmt.Sprintf("%064x", i)) != in || s.Has(filter.Serial, fmt.Sprintf("SN-%d", i)) != in ||
			s.Has(filter.Board, fmt.Sprintf("gw-2/%08x", i)) != in {
			t.Fatalf("value %d: in the set is %v, said is the other", i, in)
		}
	}
	if s.Has(filter.Serial, fmt.Sprintf("%064x", 1)) || s.Has(filter.Key, "SN-1") || s.Has(filter.Key, "") {
		t.Error("a value of one kind is found under another, or nothing is")
	}
	for _, k := range filter.Kinds() {
		if s.Len(k) != n {
			t.Errorf("%d values of kind %s", s.Len(k), k)
		}
	}
}

func TestFile(t *testing.T) {
	f := filter.File{Set: sample(t, 20), Entry: []byte("{}"), Proof: []byte("proof"), Certificate: []byte{0x30, 0}}
	file := f.Encode()
	again, err := filter.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	if again.Digest() != f.Digest() || !bytes.Equal(again.Encode(), file) || string(again.Proof) != "proof" || !again.Set.Has(filter.Serial, "SN-7") {
		t.Error("the file comes back as another one")
	}
	for n := range file { // cut off anywhere
		if _, err := filter.Parse(file[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes were taken", n, len(file))
		}
	}
}

func TestRefused(t *testing.T) {
	good := (&filter.File{Set: sample(t, 3), Entry: []byte("{}")}).Encode()
	const head = 16
	at := head + 2 + len("ulm/st-07/1") // the size
	change := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"nothing":          {nil, "no file of them"},
		"another magic":    {change(func(b []byte) []byte { b[0] ^= 1; return b }), "no file of them"},
		"no origin":        {change(func(b []byte) []byte { b[head], b[head+1] = 0, 0; return b }), "origin of 0 bytes"},
		"long origin":      {change(func(b []byte) []byte { b[head] = 1; return b }), "origin of"},
		"no entries":       {change(func(b []byte) []byte { copy(b[at:], make([]byte, 8)); return b }), "size 0"},
		"huge size":        {change(func(b []byte) []byte { b[at] = 0xff; return b }), "allowed are 1 to 2^40"},
		"too many":         {change(func(b []byte) []byte { binary.BigEndian.PutUint32(b[at+8:], filter.MaxValues+1); return b }), "at most"},
		"more than there":  {change(func(b []byte) []byte { binary.BigEndian.PutUint32(b[at+8:], 1000); return b }), "ends too early"},
		"not in order":     {change(func(b []byte) []byte { b[at+12] = 0xff; return b }), "ascending order"},
		"twice":            {change(func(b []byte) []byte { copy(b[at+12+16:], b[at+12:at+12+16]); return b }), "ascending order"},
		"something behind": {append(bytes.Clone(good), 0), "too many at the end"},
		"long entry":       {change(func(b []byte) []byte { b[len(b)-14] = 1; return b }), "entry of"},
		"endless":          {make([]byte, filter.MaxFile+1), "at most"},
	} {
		if _, err := filter.Parse(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	var b filter.Builder
	for _, origin := range []string{"", strings.Repeat("x", 129)} {
		if _, err := b.Set(origin, 1); err == nil {
			t.Errorf("origin %q was taken", origin)
		}
	}
	if _, err := b.Set("a/b/1", 0); err == nil {
		t.Error("a set of no entries was made")
	}
}

// FuzzParse: a file is refused, or has exactly one form.
func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := filter.Parse(file)
		if err != nil {
			return
		}
		if !bytes.Equal(p.Encode(), file) {
			t.Error("it is written in another form than it was read in")
		}
		for _, k := range filter.Kinds() {
			p.Set.Has(k, "value")
		}
	})
}
