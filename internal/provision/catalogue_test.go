// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"testing"

	"provisioning.example/station/internal/provision"
)

func TestFaultNamed(t *testing.T) {
	for code, known := range map[string]bool{
		"F-PROVE-01": true, "F-CONNECT-90": true, "F-PROVE-91": true,
		"": false, "F-PROVE-00": false, "F-PROVE-9": false, "F-NOWHERE-90": false, "F-PROVE-901": false, "PROVE-01": false,
	} {
		f, ok := provision.FaultNamed(code)
		if ok != known || known && (f.Code != code || f.Sentence == "" || f.Remedy == "") {
			t.Errorf("%q: %+v, %v", code, f, ok)
		}
	}
}
