// SPDX-License-Identifier: Apache-2.0

//go:build linux

package port

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// unprivileged runs f on a thread that may open only what the modes of files
// allow, root or not.
func unprivileged(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		err := unix.Capset(&header, &none[0])
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestAccess(t *testing.T) {
	_, name := openPTY(t)
	shut := filepath.Join(t.TempDir(), "ttyUSB0")
	if err := os.WriteFile(shut, nil, 0); err != nil {
		t.Fatal(err)
	}
	unprivileged(t, func() {
		if err := Access(name); err != nil {
			t.Errorf("an own terminal: %v", err)
		}
		for what, err := range map[string]error{"Access": Access(shut), "open": errOf(open(shut, Options{Baud: DefaultBaud}))} {
			var denied *PermissionError
			if !errors.As(err, &denied) || denied.Name != shut || !errors.Is(err, fs.ErrPermission) {
				t.Errorf("%s of a shut port: %v", what, err)
			}
		}
		if err := Access(shut + "0"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a port that is not there: %v", err)
		}
	})
}

func errOf(_ *Port, err error) error { return err }

// TestGroupOf: the group to join, and whether it is in force.
func TestGroupOf(t *testing.T) {
	name := filepath.Join(t.TempDir(), "ttyUSB0")
	if err := os.WriteFile(name, nil, 0o660); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, 0o660); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	if g, joined := groupOf(name); g == "" || joined {
		t.Errorf("our own group: %q, joined only now: %t", g, joined)
	}
	if !inForce(os.Getegid()) || inForce(1<<30) {
		t.Error("the groups in force are wrong")
	}
	if isMember("no group") {
		t.Error("a member of a group that is none")
	}
}

func TestRemedies(t *testing.T) {
	for want, err := range map[string]interface{ Remedy() string }{
		"Run `sudo usermod -aG dialout $USER`, then log in again.":                                     &PermissionError{Group: "dialout"},
		"You belong to the group dialout since you logged in: log out, and in again.":                  &PermissionError{Group: "dialout", Joined: true},
		"The port belongs to root: install a udev rule that gives it to a group, and join that group.": &PermissionError{},
		"Close the program that has it open (a terminal, another station).":                            &BusyError{},
	} {
		if got := err.Remedy(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if told := err.(error).Error(); !strings.Contains(told, strings.TrimSuffix(want[1:], ".")) {
			t.Errorf("%q does not say what to do", told)
		}
	}
}
