// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"os"
	"syscall"
)

// flock takes an advisory lock that the kernel drops when the process ends.
func flock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// freeMiB is the free space for an unprivileged user on the file system of dir.
func freeMiB(dir string) (int, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int(uint64(s.Bavail) * uint64(s.Bsize) >> 20), nil
}
