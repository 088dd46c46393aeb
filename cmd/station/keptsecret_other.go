// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import "os"

// newSecretPage is ordinary memory on systems other than Linux.
func newSecretPage() ([]byte, error) { return make([]byte, os.Getpagesize()), nil }

func freeSecretPage([]byte) error { return nil }

// noCoreDump is for Linux only.
func noCoreDump() {}
