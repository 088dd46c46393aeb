// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package main

import "golang.org/x/sys/unix"

const getTermios, setTermios = unix.TIOCGETA, unix.TIOCSETA
