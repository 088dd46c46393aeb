// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// newSecretPage is a page that is neither swapped out nor dumped nor inherited.
func newSecretPage() ([]byte, error) {
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	_ = unix.Mlock(page) // more than RLIMIT_MEMLOCK allows: without
	_ = unix.Madvise(page, unix.MADV_DONTDUMP)
	_ = unix.Madvise(page, unix.MADV_DONTFORK)
	return page, nil
}

func freeSecretPage(page []byte) error { return unix.Munmap(page) }

// noCoreDump keeps this process's memory to itself: no core dump, whatever
// takes them on this machine, and no look into it by another process of the
// same user (prctl(2), PR_SET_DUMPABLE). A program it starts has its own.
func noCoreDump() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
