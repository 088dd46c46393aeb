// SPDX-License-Identifier: Apache-2.0

// Package settings reads configuration files strictly: a mistake is refused
// with file, line and what is allowed, an unknown key is a mistake.
package settings

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// MaxFile bounds a configuration file, in bytes.
const MaxFile = 64 << 10

// Read reads a file of at most MaxFile bytes.
func Read(path string) ([]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if fi.Size() > MaxFile {
		return nil, fmt.Errorf("%s: %d bytes, at most %d are read", path, fi.Size(), MaxFile)
	}
	return os.ReadFile(path)
}

// Decode reads TOML text into v and refuses keys that v does not have.
// Errors start with path:line.
func Decode(path string, text []byte, v any) error {
	err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(v)
	var strict *toml.StrictMissingError
	var syntax *toml.DecodeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &strict) && len(strict.Errors) > 0:
		row, _ := strict.Errors[0].Position()
		return fmt.Errorf("%s:%d: unknown key %q", path, row, strings.Join(strict.Errors[0].Key(), "."))
	case errors.As(err, &syntax):
		row, _ := syntax.Position()
		return fmt.Errorf("%s:%d: %s", path, row, strings.TrimPrefix(syntax.Error(), "toml: "))
	}
	return fmt.Errorf("%s: %w", path, err)
}

// A Check is one rule about one top-level key.
type Check struct {
	Key     string
	OK      bool
	Allowed string // what is allowed there, for people
}

// Verify returns the first check that does not hold, with the line its key
// stands in; line 1 stands for a key that is missing.
func Verify(path string, text []byte, checks []Check) error {
	for _, c := range checks {
		if !c.OK {
			return fmt.Errorf("%s:%d: %s: %s", path, line(text, c.Key), c.Key, c.Allowed)
		}
	}
	return nil
}

func line(text []byte, key string) int {
	for i, l := range bytes.Split(text, []byte("\n")) {
		name, _, found := bytes.Cut(l, []byte("="))
		if found && string(bytes.TrimSpace(name)) == key {
			return i + 1
		}
	}
	return 1
}

// Write replaces a file as a whole: temporary name, fsync, rename, fsync of
// the folder. Nothing half-written is ever seen under the name.
func Write(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
