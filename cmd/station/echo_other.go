// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package main

// echoOff leaves it to the reading of a secret, where the terminal has no mode
// that outlasts a read.
func echoOff(int) (restore func(), err error) { return func() {}, nil }
