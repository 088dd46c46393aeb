// SPDX-License-Identifier: Apache-2.0

package enroll

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
)

// spkiLength is the length of a DER SubjectPublicKeyInfo on P-256 with an
// uncompressed point (RFC 5480, section 2.2): boards take no other.
const spkiLength = 91

// SplitRework cuts a rework object into its one or two keys, each the DER
// SubjectPublicKeyInfo of a key on P-256 (protocol, objects). The keys are
// parts of the object, in its order.
func SplitRework(object []byte) ([][]byte, error) {
	if len(object) != spkiLength && len(object) != 2*spkiLength {
		return nil, fmt.Errorf("%d bytes, one or two keys have %d or %d", len(object), spkiLength, 2*spkiLength)
	}
	keys := slices.Collect(slices.Chunk(object, spkiLength))
	for _, der := range keys {
		pub, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			return nil, err
		}
		if key, ok := pub.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
			return nil, errors.New("a key that is not on P-256")
		}
	}
	return keys, nil
}
