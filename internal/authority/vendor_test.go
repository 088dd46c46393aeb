// SPDX-License-Identifier: Apache-2.0

package authority_test

import (
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/attest"
	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/authority"
)

// TestVendorName: who vouches for a TPM stands in the root's record and in a
// certificate. A name that cannot stand there is refused before anything is
// recorded, and the record stays readable.
func TestVendorName(t *testing.T) {
	s := simulator(t, "ulm/st-07")
	ek := s.request(t).Evidence().EK
	for name, subject := range map[string]pkix.Name{
		"none": {}, "long": {OrganizationalUnit: slices.Repeat([]string{strings.Repeat("x", 60)}, 5)},
	} {
		r, dir := newRoot(t)
		vendor := &foreignRoot{key: newKey(t, elliptic.P256())}
		vendor.cert = &x509.Certificate{
			Subject: subject, SerialNumber: big.NewInt(7), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
		}
		vendor.cert = vendor.certify(t, vendor.cert, vendor.key.Public())
		own := vendor.certify(t, &x509.Certificate{
			SerialNumber: big.NewInt(8), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}, ek.PublicKey())
		q := changed(t, s.config, func(raw *ceremony.RawRequest) { raw.Certificates = [][]byte{own.Raw} })
		_, _, err := r.Challenge(q, ceremony.Trust{Vendors: []*x509.Certificate{vendor.cert}}, 0, time.Time{})
		if err == nil || !strings.Contains(err.Error(), "pin the key") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := r.Sign(softStation(t).request(t), authority.Terms{}); err != nil {
			t.Errorf("%s: afterwards the root cannot sign: %v", name, err)
		}
		if log, err := authority.RootLog(dir); err != nil || len(log) != 2 {
			t.Errorf("%s: record of %d entries, %v", name, len(log), err)
		}
	}
}

// TestChallengeCounter: what seals the ledger must be a counter.
func TestChallengeCounter(t *testing.T) {
	s := simulator(t, "ulm/st-07")
	r, _ := newRoot(t)
	ref, err := s.chip.DefineCounter(t.Context(), []byte("secret of the counter"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{string(ref.Name[:]): nil, "\x00\x0b" + strings.Repeat("x", 32): attest.ErrNoCounter} {
		q := changed(t, s.config, func(raw *ceremony.RawRequest) { raw.Counter = []byte(name) })
		if _, _, err := r.Challenge(q, s.trust(t), 0, time.Time{}); want == nil && err != nil || !errors.Is(err, want) {
			t.Errorf("counter %x: %v, want %v", name, err, want)
		}
	}
}
