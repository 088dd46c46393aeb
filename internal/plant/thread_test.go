// SPDX-License-Identifier: Apache-2.0

package plant_test

import (
	"runtime"
	"testing"
)

// TestImportOnALockedThread: the station's main goroutine is locked to its
// thread, while the driver reads what it copies in another.
func TestImportOnALockedThread(t *testing.T) {
	w := newWorld(t)
	path := w.bundle(w.station("ulm/st-01", 1))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w.taken(path, 6)
}
