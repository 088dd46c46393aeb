// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

// TestLostKey: a key that somebody else may have is lost in every certificate
// it has, whichever of them is named; other reasons take back the one named.
func TestLostKey(t *testing.T) {
	for reason, lost := range map[string]bool{"keyCompromise": true, "superseded": false} {
		synctest.Test(t, func(t *testing.T) {
			w, key := fielded(t)
			defer w.close()
			<-time.After(200 * 24 * time.Hour)
			renewed := w.renew(csrOf(t, key, uid1))
			first := w.entries(uid1, record.KindIssued)[0]
			done, err := w.desk().RevokeCertificate(t.Context(), first.CertSerial, provision.Why{Reason: reason, Approver: "qa-2"})
			want := []string{first.CertSerial}
			if lost {
				want = append(want, renewed.CertSerial)
			}
			if err != nil || len(done.Certificates) != len(want) || done.Certificates[0] != want[0] || done.Certificates[len(want)-1] != want[len(want)-1] {
				t.Errorf("%s: revoked %+v, %v; want %v", reason, done, err, want)
			}
			<-time.After(200 * 24 * time.Hour)
			_, err = w.desk().Renew(t.Context(), w.terms(), csrOf(t, key, uid1))
			if lost != errors.Is(err, provision.ErrRefused) {
				t.Errorf("%s: renewed afterwards: %v", reason, err)
			}
		})
	}
}
