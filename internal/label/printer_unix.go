// SPDX-License-Identifier: Apache-2.0

//go:build unix

package label

import "syscall"

// openFlags: a device that is off must not hold open(2) or write(2), and must not
// become this program's terminal.
const openFlags = syscall.O_NONBLOCK | syscall.O_NOCTTY
