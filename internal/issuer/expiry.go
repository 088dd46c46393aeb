// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"fmt"
	"time"
)

// noExpiry is the notAfter of what has no well-defined end: 99991231235959Z
// (RFC 5280 4.1.2.5, IEEE 802.1AR).
var noExpiry = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// NoExpiry is the notAfter of a certificate without expiry: 99991231235959Z.
func NoExpiry() time.Time { return noExpiry }

// Suits says whether this issuer can ever issue certificates of a profile: one
// without expiry needs issuers without expiry, up to the root. The error wraps
// [ErrWindow].
func (i *Issuer) Suits(p *Profile) error {
	if p.Expires() {
		return nil
	}
	for _, c := range i.chain {
		if !c.NotAfter.Equal(noExpiry) {
			return fmt.Errorf("%w: certificates of profile %s do not end, but their issuer %q ends at %s: "+
				"a root and an intermediate without expiry (99991231235959Z) are needed, or another profile",
				ErrWindow, p.name, c.Subject, c.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	return nil
}
