// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package powercut makes disks that lose their power, fill up or break, for tests: real file systems of the kernel's,
// each in an image behind a loop device, in a mount namespace that only the test sees.
// Whatever a test mounted is gone when its process is gone, however it ended.
//
// A power cut is FS_IOC_SHUTDOWN without a flush of the log: what was not flushed to the disk is lost,
// from the kernel's memory too. Not lost is what a disk's own memory would lose: a disk that lies about a flush is not played here.
package powercut

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// kinds are the file systems that a disk can have.
var kinds = map[string]struct {
	mkfs  []string
	least int64 // MiB
}{
	"ext4": {[]string{"mkfs.ext4", "-q", "-F", "-m", "0", "-e", "remount-ro"}, 8},
	"xfs":  {[]string{"mkfs.xfs", "-q", "-f"}, 300}, // mkfs.xfs makes no smaller one
}

// Disk is a mounted file system of its own.
type Disk struct {
	t     testing.TB
	kind  string
	dir   string // where it is mounted
	under string // the small file system in memory that holds the image
	image string
	loop  *os.File
}

// patient bounds the wait for a file system that the kernel still holds; reaching it is a failure.
const patient = time.Minute

// New makes a disk of a kind, "ext4" or "xfs", and mounts it. It takes memory only for what is written.
// The test must be inside [Enter]; mib 0 is the smallest disk of its kind.
func New(t testing.TB, kind string, mib int64) *Disk {
	t.Helper()
	k, known := kinds[kind]
	if !known {
		t.Fatalf("there is no disk of kind %q", kind)
	}
	mib = max(mib, k.least)
	dir := t.TempDir()
	d := &Disk{t: t, kind: kind, dir: filepath.Join(dir, "disk"), under: filepath.Join(dir, "under")}
	d.image = filepath.Join(d.under, "image")
	for _, made := range []string{d.dir, d.under} {
		d.must("make a folder", os.Mkdir(made, 0o700))
	}
	d.must("mount a file system in memory", unix.Mount("tmpfs", d.under, "tmpfs", 0, fmt.Sprintf("size=%dm", mib+8)))
	t.Cleanup(d.remove)
	f, err := os.Create(d.image)
	d.must("make an image", err)
	d.must("make an image", errors.Join(f.Truncate(mib<<20), f.Close()))
	if out, err := exec.CommandContext(t.Context(), k.mkfs[0], append(k.mkfs[1:], d.image)...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v %s (scripts/install-deps.sh test installs it)", k.mkfs[0], err, out)
	}
	d.attach()
	d.mount()
	return d
}

// Dir is where the disk is mounted.
func (d *Disk) Dir() string { return d.dir }

// must ends the test with a sentence.
func (d *Disk) must(what string, err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatalf("%s: %v: the disks of this test want root, loop devices, and the kernel's ext4 and xfs (modprobe loop ext4 xfs)", what, err)
	}
}

// attach puts the image behind a free loop device, which is given back when nobody uses it any more.
func (d *Disk) attach() {
	d.t.Helper()
	control, err := os.OpenFile(device("loop-control"), os.O_RDWR, 0)
	d.must("find a loop device", err)
	defer control.Close() //nolint:errcheck // nothing was written
	image, err := os.OpenFile(d.image, os.O_RDWR, 0)
	d.must("open the image", err)
	defer image.Close() //nolint:errcheck // the loop device holds it
	config := unix.LoopConfig{Fd: uint32(image.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		d.must("find a loop device", err)
		d.loop, err = os.OpenFile(device("loop"+strconv.Itoa(n)), os.O_RDWR, 0)
		d.must("open a loop device", err)
		err = unix.IoctlLoopConfigure(int(d.loop.Fd()), &config)
		if err == nil {
			return
		}
		_ = d.loop.Close()
		if !errors.Is(err, unix.EBUSY) { // somebody else was faster
			d.must("set up a loop device", err)
		}
	}
}

func (d *Disk) mount(options ...string) {
	d.t.Helper()
	d.must("mount "+d.kind, unix.Mount(d.loop.Name(), d.dir, d.kind, 0, strings.Join(options, ",")))
}

// unmount waits for those who are just letting go of the file system.
func (d *Disk) unmount() error {
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Unmount(d.dir, 0)
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

func (d *Disk) remove() {
	err := d.unmount()
	if d.loop != nil {
		err = errors.Join(err, d.loop.Close())
	}
	// The loop device lets go of the image a moment later.
	if err = errors.Join(err, unix.Unmount(d.under, unix.MNT_DETACH)); err != nil {
		d.t.Error(err)
	}
}

const (
	shutdown   = 0x8004587d // FS_IOC_SHUTDOWN, linux/fs.h
	noLogFlush = 2          // FS_SHUTDOWN_FLAGS_NOLOGFLUSH
)

// Cut takes the power away: whoever uses the disk gets errors from here on. [Disk.Restore] gives it back.
func (d *Disk) Cut() {
	d.t.Helper()
	f, err := os.Open(d.dir)
	d.must("open the disk", err)
	defer f.Close() //nolint:errcheck // nothing was written
	d.must("cut the power", unix.IoctlSetPointerInt(int(f.Fd()), shutdown, noLogFlush))
}

// CutUnder takes the power away under a child process that uses the disk, which dies: it stands still before,
// so that nothing it says can be of after the cut.
func (d *Disk) CutUnder(p *os.Process) {
	d.t.Helper()
	var state unix.WaitStatus
	d.must("stop the process", p.Signal(unix.SIGSTOP))
	if _, err := unix.Wait4(p.Pid, &state, unix.WUNTRACED, nil); err != nil || !state.Stopped() {
		d.t.Fatalf("the process does not stop: %v %v", state, err)
	}
	d.Cut()
	d.must("kill the process", p.Kill())
}

// Restore mounts the disk again as a start of the machine does: nobody may use it any more.
func (d *Disk) Restore() {
	d.t.Helper()
	d.must("unmount", d.unmount())
	d.mount()
}

// Flush writes all of the disk that is still in memory.
func (d *Disk) Flush() {
	d.t.Helper()
	f, err := os.Open(d.dir)
	d.must("open the disk", err)
	defer f.Close() //nolint:errcheck // nothing was written
	d.must("flush", unix.Syncfs(int(f.Fd())))
}

// Fill leaves no room on the disk, until [Disk.Empty].
func (d *Disk) Fill() {
	d.t.Helper()
	d.fill(filepath.Join(d.dir, "filler"))
}

// Empty makes room again.
func (d *Disk) Empty() {
	d.t.Helper()
	d.must("empty the disk", os.Remove(filepath.Join(d.dir, "filler")))
}

// Break has every write to a part of the disk that was not written to before fail, until [Disk.Mend].
func (d *Disk) Break() {
	d.t.Helper()
	d.fill(d.image + ".filler")
}

// Mend ends what [Disk.Break] began. What the file system made of the errors is over after [Disk.Restore].
func (d *Disk) Mend() {
	d.t.Helper()
	d.must("mend the disk", os.Remove(d.image+".filler"))
}

// fill writes a file until there is no room.
func (d *Disk) fill(path string) {
	d.t.Helper()
	f, err := os.Create(path)
	d.must("make a file", err)
	defer f.Close() //nolint:errcheck // what counts is that it does not fit
	for size := 1 << 20; size > 0; {
		if _, err = f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		d.must("fill the disk", err)
	}
	// On ext4 the blocks are taken when they are written.
	if err := f.Sync(); err != nil && !errors.Is(err, unix.ENOSPC) {
		d.must("fill the disk", err)
	}
}

// TurnReadOnly has the kernel find an error in the file system, which ext4 answers by taking no more writes, until [Disk.Restore].
func (d *Disk) TurnReadOnly() {
	d.t.Helper()
	trigger := filepath.Join(os.Getenv(system), "fs", "ext4", filepath.Base(d.loop.Name()), "trigger_fs_error")
	d.must("trigger an error of ext4", os.WriteFile(trigger, []byte("a test"), 0))
}

// device is a device node of the kernel's own device file system: a bare root may have none.
func device(name string) string { return filepath.Join(os.Getenv(devices), name) }
