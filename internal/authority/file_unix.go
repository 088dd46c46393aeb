// SPDX-License-Identifier: Apache-2.0

//go:build !windows

package authority

import (
	"errors"
	"fmt"
	"os"
)

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
