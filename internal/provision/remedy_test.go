// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"provisioning.example/station/internal/port"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/smp"
)

// TestPortRemedy: the card shows the command that opens this port to this user,
// the ledger keeps why it could not be opened.
func TestPortRemedy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := one(t)
		defer w.close()
		denied := &port.PermissionError{Name: "/dev/ttyUSB0", Group: "dialout"}
		w.dial = func(context.Context, string) (smp.Stream, error) { return nil, denied }
		w.open()
		got := w.run()[1]
		wantOutcome(t, got, record.Error, "F-CONNECT-01")
		shown := w.station.Snapshot().Slots[0].Fault
		if shown.Remedy != "Run `sudo usermod -aG dialout $USER`, then log in again." {
			t.Errorf("the card says: %s", shown.Remedy)
		}
		if !strings.Contains(shown.Error(), "permission denied") {
			t.Errorf("the record says: %v", shown)
		}
	})
}
