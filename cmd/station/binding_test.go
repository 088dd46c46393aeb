// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const plainHome = "name = \"plant/line-1\"\ntpm = \"sim\"\nslots = 4\n"

func TestBenchTable(t *testing.T) {
	c, err := parseHome("station.toml", []byte(plainHome+"[bench]\n1 = \"1-1.4:1.0\"\n\"3\" = '3-2:1.0.1'\n"))
	if err != nil || !maps.Equal(c.bound(), map[string]int{"1-1.4:1.0": 1, "3-2:1.0.1": 3}) {
		t.Fatalf("%v, %v", c.bound(), err)
	}
	for text, want := range map[string]string{
		"[bench]\n5 = \"1-1:1.0\"\n":                    "station.toml:5: bench: 5: the keys of bench are slots, 1 to 4",
		"[bench]\n# left\n\n0 = \"1-1:1.0\"\n":          "station.toml:7: bench: 0: the keys",
		"[bench]\nleft = \"1-1:1.0\"\n":                 "station.toml:5: bench: left: the keys",
		"[bench]\n\"01\" = \"1-1:1.0\"\n":               "station.toml:5: bench: 01: the keys",
		"[bench]\n1 = \"/dev/ttyUSB0\"\n":               "station.toml:5: bench: 1: \"/dev/ttyUSB0\" is no USB location",
		"[bench]\n1 = \"\"\n":                           "station.toml:5: bench: 1: \"\" is no USB location",
		"[bench]\n1 = \"1-1:1.0\"\n'2' = \"1-1:1.0\"\n": "station.toml:6: bench: 2: 1-1:1.0 is bound to slot 1 already",
		"[bench]\n1 = 5\n":                              "station.toml:5: ",
		"[bench]\n1 = \"1-1:1.0\"\n1 = \"1-2:1.0\"\n":   "station.toml:6: ",
		"[bench.1]\nusb = \"1-1:1.0\"\n":                "station.toml:4: ",
	} {
		if _, err := parseHome("station.toml", []byte(plainHome+text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s\ngot %v, want %s", text, err, want)
		}
	}
}

// TestExampleHome: the commented example is what the parser takes.
func TestExampleHome(t *testing.T) {
	raw, err := os.ReadFile("../../testdata/station.toml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := parseHome("station.toml", raw)
	if err != nil || len(c.Bench) == 0 || c.Keys.CA == nil {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestWriteBench(t *testing.T) {
	const keys = "\n# the keys\n[keys]\n# none yet\n"
	for what, c := range map[string]struct {
		before string
		bench  map[string]string
		after  string // "" when it must be refused
	}{
		"a first table": {
			plainHome,
			map[string]string{"10": "1-1:1.0", "2": "1-2:1.0"},
			plainHome + "\n[bench]\n2 = \"1-2:1.0\"\n10 = \"1-1:1.0\"\n",
		},
		"what stands stays": {
			plainHome + "[bench] # by hand\n# left\n1 = '1-1:1.0' # mended\n2 = \"1-2:1.0\"\n" + keys,
			map[string]string{"1": "1-1:1.0", "3": "1-3:1.0"},
			plainHome + "[bench] # by hand\n# left\n1 = '1-1:1.0' # mended\n3 = \"1-3:1.0\"\n" + keys,
		},
		"bound anew": {
			plainHome + "[bench]\n\"1\" = \"1-1:1.0\"\n" + keys,
			map[string]string{"1": "1-1:1.1"},
			plainHome + "[bench]\n1 = \"1-1:1.1\"\n" + keys,
		},
		"all cleared": {
			plainHome + "[bench]\n1 = \"1-1:1.0\"\n" + keys,
			map[string]string{},
			plainHome + "[bench]\n" + keys,
		},
		"nothing to clear":    {strings.TrimSuffix(plainHome, "\n"), map[string]string{}, plainHome + "\n[bench]\n"},
		"no newline, bound":   {plainHome + "[bench]", map[string]string{"1": "1-1:1.0"}, plainHome + "[bench]\n1 = \"1-1:1.0\"\n"},
		"a table in one line": {"bench = {1 = \"1-1:1.0\"}\n" + plainHome, map[string]string{"2": "1-2:1.0"}, ""},
		"dotted keys":         {"bench.1 = \"1-1:1.0\"\n" + plainHome, map[string]string{}, ""},
		"a slot too many":     {plainHome, map[string]string{"5": "1-1:1.0"}, ""},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "station.toml")
		before := strings.Replace(c.before, "slots = 4", "slots = 10", 1)
		if what == "a slot too many" {
			before = c.before
		}
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := openHome(dir)
		if err != nil {
			t.Fatal(err)
		}
		err = h.rebind(c.bench)
		raw, readErr := os.ReadFile(path)
		if readErr != nil {
			t.Fatal(readErr)
		}
		want := strings.Replace(c.after, "slots = 4", "slots = 10", 1)
		if c.after == "" {
			want = before
		}
		if string(raw) != want || (err == nil) != (c.after != "") {
			t.Errorf("%s: %v\n%s\nwant\n%s", what, err, raw, want)
		}
	}
}
