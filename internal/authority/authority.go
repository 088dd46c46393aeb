// SPDX-License-Identifier: Apache-2.0

// Package authority is the life of an intermediate between two machines: the
// root's, which is offline, and the station's, whose key never leaves its TPM.
//
//	station:  [Request]    key in the TPM -> request.pem
//	root:     [CreateRoot] once, then [ParseRequest] and [Root.Sign] -> answer.pem
//	station:  [Install]    answer.pem -> certificates.pem, which [Load] reads at every start
//
// The hierarchy has three levels: root, intermediate, device. The root may as
// well be one that only openssl ever touched: the first block of a request is
// an ordinary certification request, and [Install] takes what comes back. Then
// the checkpoint key of the station's ledger has no certificate.
//
// Nothing here proves that a key lies in a TPM: results say "TPM not proven".
package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// SimulatedMark ends the common name of every authority whose key is in no
// real TPM.
const SimulatedMark = " (SIMULATED TPM)"

// NotProven is what is said of keys nobody has seen evidence for.
const NotProven = "TPM not proven"

var (
	// ErrExists means that a file is there that would have been overwritten.
	ErrExists = errors.New("already exists and is not overwritten")
	// ErrPassphrase means that a key file does not open with this passphrase.
	ErrPassphrase = errors.New("wrong passphrase")
	// ErrNotInstalled means that a station has no intermediate yet.
	ErrNotInstalled = errors.New("no intermediate is installed: ca request, have it signed, ca install")
)

// Bounds of what is read: a request, an answer and a chain are a few kilobytes.
const (
	maxFile   = 256 << 10
	maxBlocks = 16
)

const (
	labelCertificate = "CERTIFICATE"
	labelRequest     = "CERTIFICATE REQUEST"
	labelCheckpoint  = "CHECKPOINT KEY REQUEST"
	labelKey         = "ENCRYPTED PRIVATE KEY"
)

// blocks reads the PEM blocks of a file (RFC 7468). Text between blocks is
// allowed, headers inside them and anything that begins like a block and is
// none are not.
func blocks(text []byte) ([]*pem.Block, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("%d bytes; allowed: up to %d", len(text), maxFile)
	}
	begins := strings.Count(string(text), "-----BEGIN ")
	if begins == 0 || begins > maxBlocks {
		return nil, fmt.Errorf("%d PEM blocks; allowed: 1 to %d", begins, maxBlocks)
	}
	var found []*pem.Block
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		if len(b.Headers) > 0 {
			return nil, fmt.Errorf("PEM block %s has headers, which are not allowed", b.Type)
		}
		found = append(found, b)
	}
	if len(found) != begins {
		return nil, fmt.Errorf("of %d PEM blocks only %d can be read", begins, len(found))
	}
	return found, nil
}

func appendPEM(dst []byte, label string, der []byte) []byte {
	return append(dst, pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})...)
}

// checkCurve lets through the keys that TPMs and boards have in common.
func checkCurve(public crypto.PublicKey) error {
	k, ok := public.(*ecdsa.PublicKey)
	if !ok || (k.Curve != elliptic.P256() && k.Curve != elliptic.P384()) {
		return fmt.Errorf("key of type %T; allowed: ECDSA P-256 and P-384", public)
	}
	return nil
}

// digestOf is the SHA-256 of a public key's DER SubjectPublicKeyInfo.
func digestOf(public crypto.PublicKey) ([32]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return [32]byte{}, fmt.Errorf("encode public key: %w", err)
	}
	return sha256.Sum256(der), nil
}

func isSimulated(commonName string) bool { return strings.HasSuffix(commonName, SimulatedMark) }
