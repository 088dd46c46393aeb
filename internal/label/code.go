// SPDX-License-Identifier: Apache-2.0

package label

import (
	"errors"
	"fmt"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/datamatrix"
	"github.com/boombuler/barcode/qr"
)

// code is a square of n by n modules, true where it is black.
type code struct {
	n    int
	dark []bool
}

func encodeQR(s string, level byte) (*code, error) {
	ecc := map[byte]qr.ErrorCorrectionLevel{'L': qr.L, 'M': qr.M, 'Q': qr.Q, 'H': qr.H}[level]
	return encode("QR code", s, func() (barcode.Barcode, error) { return qr.Encode(s, ecc, qr.Auto) })
}

func encodeMatrix(s string) (*code, error) {
	return encode("DataMatrix", s, func() (barcode.Barcode, error) { return datamatrix.Encode(s) })
}

func encode(what, s string, do func() (barcode.Barcode, error)) (*code, error) {
	if s == "" {
		return nil, errors.New("the " + what + " is empty")
	}
	img, err := do()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	box := img.Bounds()
	c := &code{n: box.Dx()}
	if box.Dy() != c.n {
		return nil, errors.New(what + " is not square")
	}
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			r, _, _, _ := img.At(x, y).RGBA()
			c.dark = append(c.dark, r < 0x8000)
		}
	}
	return c, nil
}
