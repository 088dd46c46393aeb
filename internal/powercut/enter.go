// SPDX-License-Identifier: Apache-2.0

//go:build linux

package powercut

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	inside  = "POWERCUT_INSIDE"  // the test that runs inside
	devices = "POWERCUT_DEVICES" // folder of its device nodes
)

// Enter runs the calling test once more, in a process with a mount namespace of its own, and returns false:
// the caller then returns. In that process it returns true. Only a whole test can enter, no subtest.
func Enter(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) == t.Name() {
		mountDevices(t)
		return true
	}
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts disks of its own and cuts their power: run it as root (sudo make test)")
	}
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+regexp.QuoteMeta(t.Name())+"$", "-test.v", "-test.count=1")
	c.Env = append(os.Environ(), inside+"="+t.Name(), devices+"="+filepath.Join(t.TempDir(), "dev"))
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), "\n--- PASS: "+t.Name()+" ") {
		t.Errorf("inside: %v", err)
	}
	return false
}

// mountDevices mounts the kernel's device file system: a bare root's own has no loop devices.
func mountDevices(t testing.TB) {
	t.Helper()
	dir := os.Getenv(devices)
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	if err := unix.Mount("devtmpfs", dir, "devtmpfs", 0, ""); err != nil {
		t.Fatalf("mount the kernel's device nodes: %v: this test wants to mount disks, which a container without CAP_SYS_ADMIN may not", err)
	}
}
