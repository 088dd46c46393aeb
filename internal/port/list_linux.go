// SPDX-License-Identifier: Apache-2.0

package port

// List returns the serial ports that are plugged in, sorted by name. It never
// opens one: that could reset a board.
func List() ([]Info, error) { return Lister{Root: "/sys"}.List() }
