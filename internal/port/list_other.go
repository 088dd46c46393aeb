// SPDX-License-Identifier: Apache-2.0

//go:build !linux && !windows

package port

import (
	"fmt"

	"go.bug.st/serial"
)

// List returns the names of the serial ports, sorted.
func List() ([]Info, error) {
	names, err := serial.GetPortsList()
	if err != nil {
		return nil, fmt.Errorf("list serial ports: %w", err)
	}
	ports := make([]Info, len(names))
	for i, name := range names {
		ports[i].Name = name
	}
	sortByName(ports)
	return ports, nil
}
