// SPDX-License-Identifier: Apache-2.0

//go:build cgo && !nosim

package tpm

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

// TestStateVersion ties the header of state files to the version in go.mod.
func TestStateVersion(t *testing.T) {
	path := filepath.Join("..", "..", "go.mod")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse(path, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	found := ""
	for _, r := range mod.Require {
		if r.Mod.Path == "github.com/google/go-tpm-tools" {
			found = r.Mod.Version
		}
	}
	if found != simulatorVersion {
		t.Errorf("go.mod has go-tpm-tools %q, state files are of %s: see TestGoldenState", found, simulatorVersion)
	}
}

// TestStateFileLocked gives a state file to one user at a time.
func TestStateFileLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	load := func() (*stateFile, error) {
		f, err := newStateFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.load()
		return f, err
	}
	first, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := load(); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second user: %v", err)
	}
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	next, err := load()
	if err != nil {
		t.Errorf("after the first has gone: %v", err)
	}
	if err := next.close(); err != nil {
		t.Error(err)
	}
}

func FuzzDecodeState(f *testing.F) {
	image := make([]byte, nvSize)
	good := encodeState(image)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(append(bytes.Clone(good), 0))
	f.Add([]byte(stateHeader))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		image, err := decodeState(data)
		if err == nil && !bytes.Equal(encodeState(image), data) {
			t.Error("decoded what does not encode to the same")
		}
	})
}
