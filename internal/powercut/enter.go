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
	system  = "POWERCUT_SYSTEM"  // folder of what the kernel tells of its file systems
)

// Enter runs the calling test once more, in a process with a mount namespace of its own, and returns false:
// the caller then returns. In that process it returns true. Only a whole test can enter, no subtest.
func Enter(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) == t.Name() {
		mountKernel(t, devices, "devtmpfs")
		mountKernel(t, system, "sysfs")
		return true
	}
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts disks of its own and cuts their power: run it as root (sudo make test)")
	}
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+regexp.QuoteMeta(t.Name())+"$", "-test.v", "-test.count=1")
	dir := t.TempDir()
	c.Env = append(os.Environ(), inside+"="+t.Name(), devices+"="+filepath.Join(dir, "dev"), system+"="+filepath.Join(dir, "sys"))
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), "\n--- PASS: "+t.Name()+" ") {
		t.Errorf("inside: %v", err)
	}
	return false
}

// mountKernel mounts a file system of the kernel's own at the folder that a variable names: in a bare root there are no loop devices, and
// nothing of the kernel's can be written.
func mountKernel(t testing.TB, variable, kind string) {
	t.Helper()
	dir := os.Getenv(variable)
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	if err := unix.Mount(kind, dir, kind, 0, ""); err != nil {
		t.Fatalf("mount %s: %v: this test wants to mount disks, which a container without CAP_SYS_ADMIN may not", kind, err)
	}
}
