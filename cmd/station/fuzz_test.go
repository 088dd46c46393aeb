// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// FuzzHome: a station.toml is refused with its name and line, or comes out the
// same when it is written and read again.
func FuzzHome(f *testing.F) {
	f.Add([]byte("name = \"ulm/st-07\"\ntpm = \"sim\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseHome("station.toml", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "station.toml:") {
				t.Errorf("refused without name and line: %v", err)
			}
			return
		}
		raw, err := toml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseHome("station.toml", raw)
		if err != nil {
			t.Fatalf("written again it is refused: %v\n%s", err, raw)
		}
		if twice, err := toml.Marshal(again); err != nil || string(twice) != string(raw) {
			t.Errorf("written again it is another: %v\n%s\n%s", err, raw, twice)
		}
	})
}
