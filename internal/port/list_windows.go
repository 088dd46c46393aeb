// SPDX-License-Identifier: Apache-2.0

package port

import (
	"fmt"
	"strings"

	"go.bug.st/serial/enumerator"
)

// List returns the serial ports that are plugged in, sorted by name. Windows
// does not tell their location.
func List() ([]Info, error) {
	found, err := enumerator.GetDetailedPortsList()
	if err != nil {
		return nil, fmt.Errorf("list serial ports: %w", err)
	}
	var ports []Info
	for _, f := range found {
		if f.Name == "" {
			continue // unplugged meanwhile
		}
		p := Info{Name: f.Name}
		if f.IsUSB {
			p.USB.VID, p.USB.PID = strings.ToLower(f.VID), strings.ToLower(f.PID)
			p.USB.Serial, p.USB.Product, p.USB.Manufacturer = label(f.SerialNumber), label(f.Product), label(f.Manufacturer)
		}
		ports = append(ports, p)
	}
	sortByName(ports)
	return ports, nil
}
