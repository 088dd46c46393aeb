// SPDX-License-Identifier: Apache-2.0

package vector

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	path := write(t, "# head\n\nname = one two\na = 00ff\nempty =\n# inside\nb_text = p = q\n\n\nname = next\n")
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []Case{
		{Name: "one two", Fields: map[string][]byte{"a": {0, 0xff}, "empty": {}, "b_text": []byte("p = q")}},
		{Name: "next", Fields: map[string][]byte{}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !got[0].Has("empty") || got[0].Has("none") || got[0].Text("b_text") != "p = q" {
		t.Errorf("accessors disagree with the fields of %v", got[0])
	}
}

func TestReadRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing in it", "# only a comment\n", "no vectors"},
		{"no name", "a = 00\n", "line 1: a block starts"},
		{"empty name", "name =\n", "line 1: a name may not be empty"},
		{"two names in a block", "name = a\nname = b\n", "line 2: second name"},
		{"name used twice", "name = a\n\nname = a\n", "line 3: name"},
		{"key twice", "name = a\nk = 00\nk = 00\n", "line 3: key"},
		{"bad hex", "name = a\nk = 0g\n", "line 2: key"},
		{"odd hex", "name = a\nk = 000\n", "line 2: key"},
		{"upper case", "name = a\nk = FF\n", "lower case"},
		{"no equals sign", "name = a\nk 00\n", "not of the form"},
		{"no key", "name = a\n= 00\n", "no key"},
		{"not ASCII", "name = a\nk_text = \u00e9\n", "not printable ASCII"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read(write(t, c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none.txt")); err == nil {
		t.Error("a missing file was read")
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "v.txt")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
