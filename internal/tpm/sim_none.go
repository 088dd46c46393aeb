// SPDX-License-Identifier: Apache-2.0

//go:build !cgo || nosim

package tpm

import "errors"

func newSim(string) (source, error) {
	return nil, errors.New("this build has no TPM simulator: use swtpm:DIR, or build with cgo and without the tag nosim")
}
