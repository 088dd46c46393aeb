// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"slices"
)

// Codes of group 64, as in the protocol's table of errors.
const (
	rcMalformed     = 1
	rcWrongState    = 2
	rcAlgorithm     = 3
	rcOffset        = 4
	rcDigest        = 5
	rcChain         = 6
	rcKeyMismatch   = 7
	rcUntrusted     = 8
	rcStorage       = 9
	rcEntropy       = 10
	rcLocked        = 11
	rcNotAuthorised = 12
	rcBusy          = 13
)

// spkiP256Len is the size of a DER SubjectPublicKeyInfo with an uncompressed
// P-256 point (RFC 5480).
const spkiP256Len = 91

// checkObjects runs the checks of commit from the parsing on, each over all
// objects named before the next begins: parse (6), leaf key (7), links (6, or
// 3 at the link whose algorithm the board cannot check), pinned root (8). An
// object that is not named is nil. It returns 0 when everything holds.
func checkObjects(objects map[string][]byte, spki []byte, root *x509.Certificate, verify []string) int {
	chain, err := x509.ParseCertificates(objects["chain"])
	if err != nil || len(chain) < 1 || len(chain) > 4 {
		return rcChain
	}
	if der, ok := objects["anchors"]; ok {
		anchors, err := x509.ParseCertificates(der)
		if err != nil || len(anchors) == 0 {
			return rcChain
		}
	}
	if der, ok := objects["rework"]; ok {
		if _, ok := splitRework(der); !ok {
			return rcChain
		}
	}
	if !bytes.Equal(chain[0].RawSubjectPublicKeyInfo, spki) {
		return rcKeyMismatch
	}
	for i := range len(chain) - 1 {
		if rc := checkLink(chain[i], chain[i+1], i, verify, rcChain); rc != 0 {
			return rc
		}
	}
	if root == nil {
		return 0
	}
	return checkLink(chain[len(chain)-1], root, len(chain)-1, verify, rcUntrusted)
}

// checkLink checks that issuer issued child, with below certificates of CAs
// under the issuer. What does not hold is answered with the code bad. Dates
// are not checked: a board has no clock.
func checkLink(child, issuer *x509.Certificate, below int, verify []string, bad int) int {
	hasPathLen := issuer.MaxPathLen > 0 || issuer.MaxPathLenZero
	switch {
	case !bytes.Equal(child.RawIssuer, issuer.RawSubject):
		return bad
	case !issuer.BasicConstraintsValid || !issuer.IsCA:
		return bad
	case issuer.KeyUsage&x509.KeyUsageCertSign == 0: // also when it is absent
		return bad
	case hasPathLen && below > issuer.MaxPathLen:
		return bad
	}
	alg := algorithmOfLink(child.SignatureAlgorithm, issuer.PublicKey)
	if alg == nil || !slices.Contains(verify, alg.name) {
		return rcAlgorithm
	}
	if issuer.CheckSignature(child.SignatureAlgorithm, child.RawTBSCertificate, child.Signature) != nil {
		return bad
	}
	return 0
}

// splitRework cuts a rework object into its one or two P-256 keys.
func splitRework(object []byte) (spkis [][]byte, ok bool) {
	if len(object) != spkiP256Len && len(object) != 2*spkiP256Len {
		return nil, false
	}
	for spki := range slices.Chunk(object, spkiP256Len) {
		pub, err := x509.ParsePKIXPublicKey(spki)
		if err != nil {
			return nil, false
		}
		if key, ok := pub.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
			return nil, false
		}
		spkis = append(spkis, spki)
	}
	return spkis, true
}
