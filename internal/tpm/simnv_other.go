// SPDX-License-Identifier: Apache-2.0

//go:build cgo && !nosim && !linux

package tpm

import "errors"

var errNoNV = errors.New("the simulator keeps its state in a file only on Linux: use sim or swtpm:DIR")

func nvLinked() error      { return errNoNV }
func readNV() []byte       { return nil }
func writeNV([]byte) error { return errNoNV }
