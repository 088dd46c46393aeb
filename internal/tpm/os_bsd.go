// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package tpm

import "syscall"

// childAttr gives a child its own process group, so that Ctrl-C in a terminal
// reaches us alone and the last signatures can still be made.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
