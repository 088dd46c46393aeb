// SPDX-License-Identifier: Apache-2.0

//go:build cgo && !nosim

package tpm

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// simulatorVersion is the version of go-tpm-tools whose memory layout the
	// state file holds: a C structure that may change with any release.
	simulatorVersion = "v0.4.11"
	// nvSize is NV_MEMORY_SIZE of that version.
	nvSize = 16384
	// stateHeader begins a state file; the SHA-256 of the memory and the memory
	// follow.
	stateHeader = "TPM simulator state, go-tpm-tools " + simulatorVersion + "\n"
)

// stateFile keeps the simulator's memory between runs. The seeds lie in it in
// clear: it is for demonstrations and tests.
type stateFile struct {
	path  string
	lock  *os.File
	saved []byte
}

func newStateFile(path string) (*stateFile, error) {
	path, err := absolute(path, "sim:FILE")
	if err != nil {
		return nil, err
	}
	if err := nvLinked(); err != nil {
		return nil, err
	}
	return &stateFile{path: path}, nil
}

// load reads the memory; nil if there is no file yet. It takes the file for
// this process: two simulators would write over each other's state.
func (f *stateFile) load() ([]byte, error) {
	if f.lock == nil {
		lock, err := lockFile(f.path + ".lock")
		if err != nil {
			return nil, fmt.Errorf("state file %s: %w", f.path, err)
		}
		f.lock = lock
	}
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, int64(len(stateHeader)+sha256.Size+nvSize+1)))
	if err != nil {
		return nil, err
	}
	image, err := decodeState(data)
	if err != nil {
		return nil, fmt.Errorf("state file %s: %w", f.path, err)
	}
	f.saved = bytes.Clone(image)
	return image, nil
}

// save writes the memory if it has changed: a new file, made durable, then
// renamed, so that a power cut leaves the old state or the new one.
func (f *stateFile) save(image []byte) error {
	if bytes.Equal(image, f.saved) {
		return nil
	}
	if err := replaceFile(f.path, encodeState(image)); err != nil {
		return fmt.Errorf("save the state of the simulator: %w", err)
	}
	f.saved = image
	return nil
}

func (f *stateFile) close() error {
	if f.lock == nil {
		return nil
	}
	err := f.lock.Close()
	f.lock = nil
	return err
}

func encodeState(image []byte) []byte {
	sum := sha256.Sum256(image)
	return append(append([]byte(stateHeader), sum[:]...), image...)
}

// decodeState checks a whole state file and returns the memory.
func decodeState(data []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(data, []byte(stateHeader))
	if !ok {
		line, _, _ := bytes.Cut(data[:min(len(data), 80)], []byte("\n"))
		return nil, fmt.Errorf("begins with %q, this program reads %q only: make a new one", line, stateHeader[:len(stateHeader)-1])
	}
	if len(rest) != sha256.Size+nvSize {
		return nil, fmt.Errorf("has %d bytes, want %d: it is cut short or damaged", len(data), len(stateHeader)+sha256.Size+nvSize)
	}
	sum, image := rest[:sha256.Size], rest[sha256.Size:]
	if got := sha256.Sum256(image); !bytes.Equal(sum, got[:]) {
		return nil, errors.New("the checksum is wrong: the file is damaged")
	}
	return image, nil
}

// replaceFile writes data to a temporary file beside path, makes it durable and
// renames it to path.
func replaceFile(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, filepath.Base(path)+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}
