// SPDX-License-Identifier: Apache-2.0

package record

// ScanBody is the short way to read a body.
func ScanBody(raw []byte) (b Body, ok bool) {
	ok = scanBody(raw, &b)
	return b, ok
}

// AppendCanonical writes any body, valid or not.
func AppendCanonical(out []byte, b *Body) []byte { return appendCanonical(out, b) }
