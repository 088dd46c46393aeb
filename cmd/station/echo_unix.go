// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import "golang.org/x/sys/unix"

// echoOff has the terminal show nothing of what is typed, until restore.
func echoOff(terminal int) (restore func(), err error) {
	was, err := unix.IoctlGetTermios(terminal, getTermios)
	if err != nil {
		return nil, err
	}
	quiet := *was
	quiet.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(terminal, setTermios, &quiet); err != nil {
		return nil, err
	}
	// What cannot be restored is a terminal that has gone.
	return func() { _ = unix.IoctlSetTermios(terminal, setTermios, was) }, nil
}
