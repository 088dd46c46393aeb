// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"crypto/x509"
	"errors"
	"testing"
)

// FuzzParseRenewal: every input is refused for a stated reason, or is what
// crypto/x509 reads too: signed by its key, with a name, asking for nothing.
func FuzzParseRenewal(f *testing.F) {
	for _, der := range seeds(f, "requests/*.der") {
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		r, err := ParseRenewal(der)
		if err != nil {
			if refused, ok := errors.AsType[*Refusal](err); !ok || refused.Reason == "" || refused.Detail == "" {
				t.Errorf("refused without reason: %v", err)
			}
			return
		}
		c, err := x509.ParseCertificateRequest(der)
		if err != nil || c.CheckSignature() != nil || len(c.Extensions) > 0 || r.CN() == "" || r.Alg() == "" {
			t.Fatalf("accepted %q, but crypto/x509 does not: %v", r.CN(), err)
		}
	})
}
