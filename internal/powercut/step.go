// SPDX-License-Identifier: Apache-2.0

//go:build linux

package powercut

import (
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// steps are the system calls by which a program changes what a power cut leaves: flushing, and giving and taking names.
var steps = map[uint64]bool{
	unix.SYS_FSYNC: true, unix.SYS_FDATASYNC: true, unix.SYS_RENAMEAT: true, unix.SYS_RENAMEAT2: true, unix.SYS_LINKAT: true, unix.SYS_UNLINKAT: true,
}

// KillAtStep runs a program and kills it with SIGKILL when it is about to do its n-th step that lasts, from 1. It reports whether the program
// came that far; else it has ended by itself. Output goes to files only: c.Stdout and c.Stderr are nil or an *os.File.
func KillAtStep(c *exec.Cmd, n int) (killed bool, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()         // which is the tracer
		defer runtime.UnlockOSThread() // it must live on: it may have started others, who end with it
		killed, err = killAtStep(c, n)
	}()
	<-done
	return killed, err
}

func killAtStep(c *exec.Cmd, n int) (killed bool, err error) {
	if c.SysProcAttr == nil {
		c.SysProcAttr = &syscall.SysProcAttr{}
	}
	c.SysProcAttr.Ptrace = true
	if err := c.Start(); err != nil {
		return false, err
	}
	defer c.Process.Release() //nolint:errcheck // it was waited for here
	pid := c.Process.Pid
	var state unix.WaitStatus
	if _, err := unix.Wait4(pid, &state, unix.WALL, nil); err != nil || !state.Stopped() {
		return false, fmt.Errorf("the program does not stop at its start: %v %w", state, err)
	}
	const options = unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_EXITKILL
	if err := unix.PtraceSetOptions(pid, options); err != nil {
		return false, err
	}
	known := map[int]bool{pid: true}
	for at, left, signal := pid, n, 0; ; {
		// One that was killed meanwhile is met again below.
		if err := unix.PtraceSyscall(at, signal); err != nil && err != unix.ESRCH {
			return killed, err
		}
		if at, err = unix.Wait4(-1, &state, unix.WALL|unix.WNOTHREAD, nil); err != nil {
			return killed, err
		}
		signal = 0
		switch {
		case at == pid && (state.Exited() || state.Signaled()):
			return killed, nil
		case !state.Stopped():
			delete(known, at)
		case state.StopSignal() == unix.SIGTRAP|0x80:
			if entersStep(at) {
				left--
			}
			if left == 0 && !killed {
				killed = true
				if err := unix.Kill(pid, unix.SIGKILL); err != nil {
					return killed, err
				}
			}
		case state.StopSignal() == unix.SIGSTOP && !known[at]: // a new thread
			known[at] = true
		case state.StopSignal() != unix.SIGTRAP:
			signal = int(state.StopSignal())
		}
	}
}

// entersStep tells whether a thread that stands at a system call is about to do a step.
func entersStep(tid int) bool {
	var info struct { // ptrace(2), PTRACE_GET_SYSCALL_INFO
		op   uint8
		_    [3]uint8
		arch uint32
		_    [2]uint64
		nr   uint64
		_    [8]uint64
	}
	const getSyscallInfo, entry = 0x420e, 1
	_, _, e := unix.Syscall6(unix.SYS_PTRACE, getSyscallInfo, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	return e == 0 && info.op == entry && steps[info.nr]
}
