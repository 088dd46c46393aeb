// SPDX-License-Identifier: Apache-2.0

package export

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sumsFile lists the digests of a pack's files, as sha256sum -c reads them.
const sumsFile = "SHA256SUMS"

// folder is a pack on its way: it is filled under another name in the same
// place and gets its own at the end, or is taken away.
type folder struct {
	path, temp string
	files      []*folderFile
}

// newFolder begins a folder. One that is there already is left alone.
func newFolder(path string) (*folder, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fs.ErrExist
		}
		return nil, fmt.Errorf("export: folder %s: %w", path, err)
	}
	temp, err := os.MkdirTemp(filepath.Dir(path), "."+filepath.Base(path)+".part-")
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return &folder{path: path, temp: temp}, nil
}

// folderFile is one file of a pack.
type folderFile struct {
	name    string
	f       *os.File
	w       *bufio.Writer
	counted *counter
	lines   *json.Encoder
}

// create begins a file that is written line by line.
func (d *folder) create(name string) (*folderFile, error) {
	f, err := os.OpenFile(filepath.Join(d.temp, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	c := &counter{w: f, hash: sha256.New()}
	out := &folderFile{name: name, f: f, counted: c, w: bufio.NewWriterSize(c, 1<<16)}
	out.lines = json.NewEncoder(out.w)
	out.lines.SetEscapeHTML(false)
	d.files = append(d.files, out)
	return out, nil
}

// line writes one JSON object and a line feed.
func (f *folderFile) line(v any) error {
	if err := f.lines.Encode(v); err != nil {
		return fmt.Errorf("export: %s: %w", f.name, err)
	}
	return nil
}

// text writes a file that is at hand.
func (d *folder) text(name, text string) error {
	f, err := d.create(name)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(f.w, text); err != nil {
		return fmt.Errorf("export: %s: %w", name, err)
	}
	return nil
}

// document writes a JSON document for people and programs.
func (d *folder) document(name string, v any) error {
	text, err := indented(v)
	if err != nil {
		return fmt.Errorf("export: %s: %w", name, err)
	}
	return d.text(name, text)
}

func indented(v any) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.String(), err
}

// finish puts everything on the disk, adds the list of digests, and gives the
// folder its name.
func (d *folder) finish() (bytes int64, digest string, err error) {
	slices.SortFunc(d.files, func(a, b *folderFile) int { return strings.Compare(a.name, b.name) })
	var sums strings.Builder
	for _, f := range d.files {
		if err := f.close(); err != nil {
			return 0, "", err
		}
		fmt.Fprintf(&sums, "%s  %s\n", f.counted.sum(), f.name)
		bytes += f.counted.n
	}
	if err := d.text(sumsFile, sums.String()); err != nil {
		return 0, "", err
	}
	last := d.files[len(d.files)-1]
	if err := last.close(); err != nil {
		return 0, "", err
	}
	err = os.Chmod(d.temp, 0o755)
	if err == nil {
		err = syncFolder(d.temp)
	}
	if err == nil {
		err = os.Rename(d.temp, d.path)
	}
	if err != nil {
		return 0, "", fmt.Errorf("export: %w", err)
	}
	return bytes + last.counted.n, last.counted.sum(), syncFolder(filepath.Dir(d.path))
}

func (f *folderFile) close() error {
	err := f.w.Flush()
	if err == nil {
		err = f.f.Sync()
	}
	if err = errors.Join(err, f.f.Close()); err != nil {
		return fmt.Errorf("export: %s: %w", f.name, err)
	}
	return nil
}

// abandon takes everything away again; after finish it finds nothing.
func (d *folder) abandon() {
	for _, f := range d.files {
		f.f.Close() //nolint:errcheck // it is being thrown away
	}
	os.RemoveAll(d.temp) //nolint:errcheck // the first error counts
}
