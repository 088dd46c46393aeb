// SPDX-License-Identifier: Apache-2.0

// Package label makes labels for units: templates in TOML or ZPL II with named
// placeholders, the ZPL II that a printer gets, a picture of it, and printers
// that are never waited for longer than is said.
//
// ZPL II: Zebra, ZPL II Programming Guide; QR codes ISO/IEC 18004, DataMatrix
// ECC 200 ISO/IEC 16022.
package label

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"provisioning.example/station/internal/settings"
)

// Template is a checked template for one printer resolution.
type Template struct {
	name     string
	path     string // for errors
	digest   string
	perMM    int // dots
	w, h     int // dots
	elements []element
	media    []command // how it is printed
}

// Resolutions are the dots per inch of label printers; Zebra's are 8, 12 and
// 24 dots per millimetre.
func Resolutions() []int { return []int{203, 300, 600} }

func dotsPerMM(dpi int) (int, error) {
	switch dpi {
	case 203:
		return 8, nil
	case 300:
		return 12, nil
	case 600:
		return 24, nil
	}
	return 0, fmt.Errorf("%d dots per inch; allowed: 203, 300, 600", dpi)
}

// Load reads a template's file: .toml in millimetres, or .zpl in dots. Errors
// name file and line and say what is allowed.
func Load(path string, dpi int) (*Template, error) {
	raw, err := settings.Read(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, raw, dpi)
}

//go:embed builtin
var builtins embed.FS

// The templates that need no file.
const (
	BuiltinPass = "pass"
	BuiltinFail = "fail"
)

// Builtin is a template of the program: pass or fail, 50 by 25 mm.
func Builtin(name string, dpi int) (*Template, error) {
	raw, err := builtins.ReadFile("builtin/" + name + ".toml")
	if err != nil {
		return nil, fmt.Errorf("there is no built-in label template %q", name)
	}
	return Parse(name+".toml", raw, dpi)
}

// Parse reads a template; path tells the form by its extension, and names it.
func Parse(path string, raw []byte, dpi int) (*Template, error) {
	perMM, err := dotsPerMM(dpi)
	if err != nil {
		return nil, err
	}
	if len(raw) > settings.MaxFile {
		return nil, fmt.Errorf("%s: %d bytes, at most %d are read", path, len(raw), settings.MaxFile)
	}
	sum := sha256.Sum256(raw)
	t := &Template{path: path, name: nameOf(path), digest: hex.EncodeToString(sum[:]), perMM: perMM}
	switch filepath.Ext(path) {
	case ".toml":
		t.w, t.h, t.elements, err = parseTOML(path, raw, perMM)
	case ".zpl":
		err = t.readZPL(raw)
	default:
		err = fmt.Errorf("%s: a label template is a .toml or a .zpl file", path)
	}
	if err != nil {
		return nil, err
	}
	if err := t.settle(); err != nil {
		return nil, err
	}
	return t, nil
}

// nameOf is the file's name without its end, at most 64 bytes of plain ASCII.
func nameOf(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	plain := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '?'
		}
		return r
	}, name)
	return plain[:min(len(plain), 64)]
}

// Name is the template's name on record.
func (t *Template) Name() string { return t.name }

// Digest is the SHA-256 of the template's file in hex.
func (t *Template) Digest() string { return t.digest }

// Size is the label's size in dots and in millimetres.
func (t *Template) Size() (dotsX, dotsY int, mmX, mmY float64) {
	return t.w, t.h, float64(t.w) / float64(t.perMM), float64(t.h) / float64(t.perMM)
}

// Uses tells whether a placeholder stands in the template.
func (t *Template) Uses(name string) bool {
	return slices.ContainsFunc(t.elements, func(e element) bool { return e.data.uses(name) })
}

// readZPL takes a template that is ZPL itself.
func (t *Template) readZPL(raw []byte) error {
	all, err := parseZPL(t.path, raw)
	if err != nil {
		return err
	}
	line := 0
	if t.elements, t.media, line, err = layoutOf(all); err != nil {
		return t.at(line, err)
	}
	for _, c := range all {
		switch c.name {
		case "PW":
			t.w = c.num(0, 0)
		case "LL":
			t.h = c.num(0, 0)
		}
	}
	if t.w == 0 || t.h == 0 {
		return t.at(1, errors.New("^PW and ^LL must say the label's width and length in dots"))
	}
	if len(t.elements) == 0 {
		return t.at(1, errors.New("nothing is on the label"))
	}
	return nil
}

// settle checks the size, and that a specimen can be drawn.
func (t *Template) settle() error {
	if most := maxMM * t.perMM; t.w > most || t.h > most {
		return t.at(1, fmt.Errorf("the label has %d by %d dots, at most %d mm are allowed", t.w, t.h, maxMM))
	}
	if len(t.elements) > maxElements {
		return t.at(1, fmt.Errorf("%d things are on the label, at most %d are allowed", len(t.elements), maxElements))
	}
	_, err := t.Fill(Specimen())
	return err
}

// maxElements bounds what is on one label.
const maxElements = 64

// at names a place in the template's file.
func (t *Template) at(line int, err error) error {
	return fmt.Errorf("%s:%d: %w", t.path, line, err)
}
