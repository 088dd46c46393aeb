// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package port

// A hold is empty here: Windows opens a serial port for one process only, and
// elsewhere the library's TIOCEXCL has to do.
type hold struct{}

func grab(string) (*hold, error) { return &hold{}, nil }

func (h *hold) settle() error { return nil }

func (h *hold) noModemLines(error) bool { return false }

func (h *hold) discardOutput() {}

// await has nothing to wait with: the library's Read waits for pollEvery.
func (h *hold) await() {}

func (h *hold) wake() {}

// Close has nothing to give back.
func (h *hold) Close() error { return nil }
