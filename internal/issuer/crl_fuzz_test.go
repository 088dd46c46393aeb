// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"bytes"
	"testing"
	"time"
)

// FuzzParseCRL: what is accepted is one whole list in which every certificate
// stands once, for a reason of the table, and which says nothing else.
func FuzzParseCRL(f *testing.F) {
	f.Fuzz(func(t *testing.T, der []byte) {
		list, err := ParseCRL(der)
		if err != nil {
			return
		}
		if !bytes.Equal(list.Raw, der) || list.Number.Sign() <= 0 || len(list.AuthorityKeyId) == 0 || !list.NextUpdate.After(list.ThisUpdate) {
			t.Fatalf("accepted list %v", list.Number)
		}
		seen := map[string]bool{}
		for _, e := range list.RevokedCertificateEntries {
			if seen[e.SerialNumber.String()] || e.RevocationTime.After(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)) {
				t.Fatalf("accepted certificate %v twice", e.SerialNumber)
			}
			seen[e.SerialNumber.String()] = true
		}
	})
}
