// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"os"
	"syscall"
)

// syncDir does nothing: Windows has no such call, and renames are journalled.
func syncDir(string) error { return nil }

func terminate(p *os.Process) error { return p.Kill() }

func killGroup(p *os.Process) error { return p.Kill() }

func childAttr() *syscall.SysProcAttr { return nil }
