// SPDX-License-Identifier: Apache-2.0

//go:build linux

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

// runUnprivileged runs a command that may open only what the modes of files
// allow, root or not: an exec gives root its capabilities back, but not beyond
// the bounding set of the thread it comes from.
func runUnprivileged(t *testing.T, c *exec.Cmd) (code int, out, errs string) {
	t.Helper()
	var o, e strings.Builder
	c.Stdout, c.Stderr = &o, &e
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		for _, capability := range []uintptr{unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH} {
			err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
			if err != nil && !errors.Is(err, unix.EPERM) { // who may not give it up has not got it
				done <- err
				return
			}
		}
		c.SysProcAttr = nil // Pdeathsig would follow the thread
		done <- c.Run()
	}()
	return exitCode(t, <-done), o.String(), e.String()
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
	has(t, out, `"fault":"F-CONNECT-01"`, remedy)
	if code != exitUnfit {
		t.Errorf("batch: exit %d\n%s", code, errs)
	}
	s.ok(os.Chmod(shut, 0o600))
	_, out, _ = runUnprivileged(t, s.station(p.path("home"), "ports"))
	has(t, out, "  ok\n")
}
