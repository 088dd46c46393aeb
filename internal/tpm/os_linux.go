// SPDX-License-Identifier: Apache-2.0

package tpm

import "syscall"

// childAttr gives a child its own process group, so that Ctrl-C in a terminal
// reaches us alone and the last signatures can still be made, and has the
// kernel kill it when we end in whatever way. The kernel counts the end of the
// thread that started the child, see process.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
