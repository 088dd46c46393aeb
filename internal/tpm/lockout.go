// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"context"
	"fmt"
	"time"
)

// LineDA returns the lockout limits for a production line: 32 tries, one healed
// every 600 s, 86400 s after a wrong lockout authorisation. The factory setting
// of some TPMs, 3 tries, is used up by as many power cuts.
func LineDA() DAState { return lineDA }

// Heals is the longest powered time until the TPM takes a PIN again; 0 if it
// takes one now, or never heals by itself.
func (s DAState) Heals() time.Duration {
	if s.Used < s.Max {
		return 0
	}
	return time.Duration(s.Used-s.Max+1) * s.Interval
}

// Remedy is for who stands at the line.
func (e *LockoutError) Remedy() string {
	if e.Heals == 0 {
		return "Call the line's engineer: the TPM must be reset with its lockout authorisation."
	}
	format := "15:04"
	if e.Heals > 12*time.Hour {
		format = time.DateTime
	}
	return fmt.Sprintf("Leave the machine on until %s, then retry.", time.Now().Add(e.Heals+time.Minute).Format(format))
}

// LockoutAuth tells whether the TPM's lockout authorisation is set. As long as
// it is not, whoever may talk to the TPM can set the limits and clear the
// counter (Part 1, section 19.8.5; TPMA_PERMANENT, Part 2, section 8.6).
func (t *TPM) LockoutAuth(ctx context.Context) (set bool, err error) {
	const ptPermanent, lockoutAuthSet = 0x200, 1 << 2
	return read(ctx, t, "read whether the lockout authorisation is set", func(b *bus) (bool, error) {
		p, err := b.properties(ptPermanent, ptPermanent)
		return p[ptPermanent]&lockoutAuthSet != 0, err
	})
}
