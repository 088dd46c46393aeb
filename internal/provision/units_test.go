// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"testing"

	"provisioning.example/station/internal/provision"
)

// TestWithin: a slot beyond the bench is refused with its line, the last one is not.
func TestWithin(t *testing.T) {
	units, err := provision.LoadUnits("u.csv", []byte("serial,slot\nSN-1,\nSN-2,8\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := units.Within(8); err != nil {
		t.Error(err)
	}
	if err := units.Within(7); err == nil || err.Error() != "u.csv:3: slot 8: this bench has slots 1 to 7" {
		t.Errorf("got %v", err)
	}
}
