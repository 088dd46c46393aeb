// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package tpm

import "errors"

func newDevice(string) (source, error) {
	return nil, errors.New("TPM device files exist on Linux only; on Windows use tbs")
}
