// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"errors"
	"os"
	"syscall"
)

// reserve gives an empty file its room on the disk.
func reserve(f *os.File, size int64) error {
	err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return fill(f, size)
	}
	return err
}
