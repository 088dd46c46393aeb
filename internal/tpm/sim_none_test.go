// SPDX-License-Identifier: Apache-2.0

//go:build !cgo || nosim

package tpm

import (
	"strings"
	"testing"
)

func TestNoSimulator(t *testing.T) {
	for _, spec := range []string{"sim", "sim:file"} {
		if _, err := Open(t.Context(), Config{Spec: spec}); err == nil || !strings.Contains(err.Error(), "this build has no TPM simulator") {
			t.Errorf("%s: %v", spec, err)
		}
	}
}
