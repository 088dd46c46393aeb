// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"errors"
	"os"
	"syscall"
)

var errNoLock = errors.New("file locks are not supported on Windows")

func lockFile(string) (*os.File, error) { return nil, errNoLock }

func lockHolder(string) (int, error) { return 0, errNoLock }

// syncDir does nothing: Windows has no such call, and renames are journalled.
func syncDir(string) error { return nil }

func terminate(p *os.Process) error { return p.Kill() }

func killGroup(p *os.Process) error { return p.Kill() }

func childAttr() *syscall.SysProcAttr { return nil }
