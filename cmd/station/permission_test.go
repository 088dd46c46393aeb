// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// asNobody makes the test binary, as the program, give up the right to open what
// the modes of files forbid, root or not.
const asNobody = "STATION_TEST_UNPRIVILEGED"

// becomeNobody does so by starting the program anew, and does not return.
func becomeNobody() {
	runtime.LockOSThread() // the bounding set is the thread's, and goes with its exec
	err := os.Unsetenv(asNobody)
	for _, capability := range []uintptr{unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH} {
		// Who may not give it up has not got it.
		if e := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); !errors.Is(e, unix.EPERM) {
			err = errors.Join(err, e)
		}
	}
	panic(errors.Join(err, unix.Exec("/proc/self/exe", os.Args, os.Environ()))) // comes here only without an exec
}

// runUnprivileged runs a command that may open only what the modes of files
// allow.
func runUnprivileged(t *testing.T, c *exec.Cmd) (code int, out, errs string) {
	t.Helper()
	var o, e strings.Builder
	c.Stdout, c.Stderr = &o, &e
	c.Env = append(c.Env, asNobody+"=1")
	return exitCode(t, c.Run()), o.String(), e.String()
}

// TestPermission: ports, doctor and a batch say what opens a port.
func TestPermission(t *testing.T) {
	p := newPlant(t, posixProduct+"usb = [\"0403:6001\"]\n")
	s := newSockets(t)
	shut := filepath.Join(t.TempDir(), "node")
	s.ok(os.WriteFile(shut, nil, 0))
	s.in("ttyUSB0", "1-1.1:1.0", shut)
	const remedy = "permission denied; the port belongs to root: install a udev rule"
	_, out, _ := runUnprivileged(t, s.station(p.path("home"), "ports"))
	has(t, out, remedy)
	code, out, _ := runUnprivileged(t, s.station(p.path("home"), "doctor"))
	has(t, out, remedy)
	if code != exitUnfit || !hasStop(out, "ports") {
		t.Errorf("doctor: exit %d\n%s", code, out)
	}
	code, out, errs := runUnprivileged(t, s.station(p.path("home"), p.batchArgs(nil)...))
	has(t, out+errs, `"fault":"F-CONNECT-01"`, remedy)
	if code != exitUnfit {
		t.Errorf("batch: exit %d\n%s", code, errs)
	}
	s.ok(os.Chmod(shut, 0o600))
	_, out, _ = runUnprivileged(t, s.station(p.path("home"), "ports"))
	has(t, out, "  ok\n")
}
