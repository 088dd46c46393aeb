// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"bytes"
	"slices"
)

// proveMessage is M of the prove command: digests and state as storage reads
// them back, nil for an object that is absent (32 zero bytes).
func proveMessage(nonce [32]byte, chain, anchors, rework, root *[32]byte, prot, state byte, uid []byte) []byte {
	m := []byte("station-prove-v1\x00")
	m = append(m, nonce[:]...)
	for _, d := range []*[32]byte{chain, anchors, rework, root} {
		if d == nil {
			d = new([32]byte)
		}
		m = append(m, d[:]...)
	}
	m = append(m, prot, state)
	return append(m, uid...)
}

// reworkMessage is what a rework key signs to unlock this board.
func reworkMessage(nonce, spki [32]byte, uid []byte) []byte {
	return slices.Concat([]byte("station-rework-v1\x00"), nonce[:], spki[:], uid)
}

// tlsPrefix is what the content of a TLS 1.3 client CertificateVerify starts
// with (RFC 8446, section 4.4.3).
var tlsPrefix = append(bytes.Repeat([]byte{0x20}, 64), "TLS 1.3, client CertificateVerify\x00"...)

// isCertificateVerify tells whether tbs is exactly the content of a TLS 1.3
// client CertificateVerify with a transcript hash of 32 or 48 bytes. Nothing
// else may be signed through tls-sign, or a request or a proof could be.
func isCertificateVerify(tbs []byte) bool {
	n := len(tbs) - len(tlsPrefix)
	return (n == 32 || n == 48) && bytes.HasPrefix(tbs, tlsPrefix)
}
