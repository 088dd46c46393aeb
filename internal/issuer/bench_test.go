// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"crypto/elliptic"
	"testing"

	"provisioning.example/station/internal/issuer"
)

// BenchmarkIssue is a request turned into a certificate with a key in memory:
// the processor time of the issuer itself.
func BenchmarkIssue(b *testing.B) {
	w := newWorld(b, elliptic.P256())
	d, profile := newDevice(b, "sensor-001", ""), mtls(b)
	der, unit := d.request(b), issuer.Unit{Serial: "sensor-001"}
	b.ReportAllocs()
	for b.Loop() {
		r, err := issuer.ParseRequest(der, d.want)
		if err != nil {
			b.Fatal(err)
		}
		draft, err := w.issuer.Prepare(profile, r, unit)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.issuer.Sign(b.Context(), draft.TBS(), draft.SPKI()); err != nil {
			b.Fatal(err)
		}
	}
}
