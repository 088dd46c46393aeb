// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/record"
)

// TestClaimTableIsWhatTheEntriesSay lets boards and labels meet at random. Whatever the ledger took and refused,
// the claims it keeps must be those an auditor rebuilds from the entries, and no entry may be against the rules.
func TestClaimTableIsWhatTheEntriesSay(t *testing.T) {
	l := open(t, create(t))
	random := rand.New(rand.NewPCG(1, 2))
	refused, released := 0, 0
	for i := range 400 {
		u := newUnit(random.IntN(4))
		u.serial = newUnit(random.IntN(3)).serial
		u.run = hexOf("random run", random.IntN(6))[:32]
		var b record.Body
		switch random.IntN(6) {
		case 0, 1:
			b = claiming(u.body(record.KindBegun), u.claims()...)
		case 2:
			b = claiming(u.key(), record.Claim{Kind: record.ClaimSPKI, Value: u.spki})
		case 3:
			b = u.issued()
			b.Cert = hexOf("certificate", i)
		case 4:
			b = releasing(u.end(record.Failed), append(u.claims(), record.Claim{Kind: record.ClaimSPKI, Value: u.spki})...)
		case 5:
			b = releasing(u.body(record.KindRework), u.claims()...)
			b.Reason, b.Approver = "test", "qa-2"
		}
		_, err := l.Append(t.Context(), bodies(b))
		var claim *ledger.ClaimError
		var release *ledger.ReleaseError
		switch {
		case err == nil && len(b.Releases) > 0:
			released++
		case errors.As(err, &claim), errors.As(err, &release):
			refused++
		case err != nil:
			t.Fatal(err)
		}
	}
	if refused < 50 || released < 20 {
		t.Errorf("%d refused and %d released are too few to prove anything", refused, released)
	}
	var rebuilt record.ClaimSet
	err := l.Reader().Scan(t.Context(), 1, 1, func(e record.Entry) error {
		for _, wrong := range rebuilt.Apply(e) {
			t.Errorf("entry %d %s", e.Seq, wrong)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	held := map[record.HeldClaim]bool{}
	for _, c := range rebuilt.Held() {
		held[c] = true
	}
	stored := 0
	for c, err := range l.Reader().Claims(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if stored++; !held[c] {
			t.Errorf("stored and not rebuilt: %+v", c)
		}
	}
	if stored != len(held) || stored == 0 {
		t.Errorf("%d stored, %d rebuilt", stored, len(held))
	}
}
