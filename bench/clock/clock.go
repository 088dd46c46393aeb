// SPDX-License-Identifier: Apache-2.0

// Package clock waits for moments more exactly than the timers of an idle Go
// program, which are rounded up to whole milliseconds: as much as a message
// takes on a fast line, and some percent of a signature.
package clock

import (
	"errors"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Fine gives the calling goroutine a thread of its own whose waits the kernel
// does not stretch to save power; the thread ends with the goroutine.
func Fine() {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // without it waits are 50 us longer
}

// Until waits for a moment. It cannot be woken before.
func Until(at time.Time) {
	for {
		left := time.Until(at)
		if left <= 0 {
			return
		}
		t := unix.NsecToTimespec(left.Nanoseconds())
		if err := unix.Nanosleep(&t, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return // the kernel refuses only lengths that are none
		}
	}
}
