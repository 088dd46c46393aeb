// SPDX-License-Identifier: Apache-2.0

// Package authority is the life of an intermediate between two machines: the
// root's, which is offline, and the station's, whose key never leaves its TPM.
//
//	station:  [Request]     keys in the TPM -> request.pem
//	root:     [CreateRoot] once, then [Root.Challenge] -> challenge.pem
//	station:  [Respond]     challenge.pem -> answer.pem
//	root:     [Root.Sign]   request.pem, answer.pem -> certificates.pem
//	station:  [Install]     certificates.pem, which [Load] reads at every start
//
// The files and what they prove are package ceremony's. The two lines in the
// middle may be left out; then every result says "TPM not proven".
//
// The hierarchy has three levels: root, intermediate, device. The root may as
// well be one that only openssl ever touched: the first block of a request is
// an ordinary certification request, and [Install] takes what comes back. Then
// the checkpoint key of the station's ledger has no certificate.
//
// The root takes a station back with [Root.Revoke] and tells of it in its
// revocation list, [Root.CRL], which stations carry.
package authority

import (
	"encoding/pem"
	"errors"
	"strings"

	"provisioning.example/station/internal/audit/ceremony"
)

const (
	// SimulatedMark ends the common name of every authority whose key is in no
	// real TPM.
	SimulatedMark = ceremony.SimulatedMark
	// NotProven is what is said of keys nobody has seen evidence for.
	NotProven = ceremony.NotProven
)

var (
	// ErrExists means that a file is there that would have been overwritten.
	ErrExists = errors.New("already exists and is not overwritten")
	// ErrPassphrase means that a key file does not open with this passphrase.
	ErrPassphrase = errors.New("wrong passphrase")
	// ErrNotInstalled means that a station has no intermediate yet.
	ErrNotInstalled = errors.New("no intermediate is installed: ca request, have it signed, ca install")
)

// maxFile bounds every file of a ceremony: they are a few kilobytes.
const maxFile = ceremony.MaxFile

const (
	labelCertificate = "CERTIFICATE"
	labelCRL         = "X509 CRL"
	labelKey         = "ENCRYPTED PRIVATE KEY"
)

func appendPEM(dst []byte, label string, der []byte) []byte {
	return append(dst, pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})...)
}

// CheckStation says whether a name, PLANT/STATION, can stand in certificates.
func CheckStation(name string) error { return ceremony.CheckStation(name) }

func isSimulated(commonName string) bool { return strings.HasSuffix(commonName, SimulatedMark) }
