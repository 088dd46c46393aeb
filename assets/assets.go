// SPDX-License-Identifier: Apache-2.0

// Package assets holds the pictures the program carries inside itself. All of
// them were drawn for it.
package assets

import (
	"bytes"
	"embed"
	"fmt"
	"image/color"
)

//go:embed icon.svg icon.png icons/*.svg
var files embed.FS

// ink is the one colour the icons are drawn in; Icon replaces it.
var ink = []byte("#ffffff")

// AppIcon is the program's icon as a PNG of 512 by 512 pixels.
func AppIcon() ([]byte, error) { return files.ReadFile("icon.png") }

// AppIconSVG is the drawing AppIcon was rendered from.
func AppIconSVG() ([]byte, error) { return files.ReadFile("icon.svg") }

// Icon gives the SVG of one of the program's icons, drawn in one opaque
// colour. The name is that of a file in icons, without its ending.
func Icon(name string, c color.NRGBA) ([]byte, error) {
	svg, err := files.ReadFile("icons/" + name + ".svg")
	if err != nil {
		return nil, fmt.Errorf("icon %q: %w", name, err)
	}
	return bytes.ReplaceAll(svg, ink, fmt.Appendf(nil, "#%02x%02x%02x", c.R, c.G, c.B)), nil
}

// Icons lists the names Icon knows.
func Icons() ([]string, error) {
	entries, err := files.ReadDir("icons")
	if err != nil {
		return nil, fmt.Errorf("icons: %w", err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name()[:len(e.Name())-len(".svg")])
	}
	return names, nil
}
