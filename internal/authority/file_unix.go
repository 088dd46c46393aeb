// SPDX-License-Identifier: Apache-2.0

//go:build !windows

package authority

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFile takes path for this process until the file is closed. [ErrInUse]
// tells that another one has it.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrInUse
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

// syncDir brings new and changed names in a folder to the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	if err != nil {
		return fmt.Errorf("bring folder %s to the disk: %w", dir, err)
	}
	return nil
}
