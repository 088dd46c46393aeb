// SPDX-License-Identifier: Apache-2.0

//go:build !windows

package tpm

import "errors"

func newTBS(string) (source, error) {
	return nil, errors.New("the TPM base services exist on Windows only; on Linux use dev:/dev/tpmrm0")
}
