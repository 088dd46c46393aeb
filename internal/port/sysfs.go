// SPDX-License-Identifier: Apache-2.0

package port

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A Lister reads the serial ports out of a sysfs tree (Linux).
type Lister struct {
	Root string // where sysfs is mounted: /sys
	Dev  string // where the nodes are, "" for /dev
}

// List returns the serial ports that are plugged in, sorted by name. Consoles,
// pseudo-terminals and the places of a driver where no UART was found are left
// out, and so is what vanishes meanwhile. A tree without terminals lists none.
func (l Lister) List() ([]Info, error) {
	root, err := filepath.EvalSymlinks(l.Root)
	if err != nil {
		return nil, fmt.Errorf("list serial ports: %w", err)
	}
	entries, err := os.ReadDir(filepath.Join(root, "class", "tty"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list serial ports: %w", err)
	}
	var ports []Info
	for _, e := range entries {
		if p, ok := readPort(root, e.Name()); ok {
			p.Name = filepath.Join(cmp.Or(l.Dev, "/dev"), p.Name)
			ports = append(ports, p)
		}
	}
	sortByName(ports)
	return ports, nil
}

// readPort reads one terminal, with the name of its node in /dev; ok is false
// when it is no serial port.
func readPort(root, name string) (p Info, ok bool) {
	tty := filepath.Join(root, "class", "tty", name)
	device, err := filepath.EvalSymlinks(filepath.Join(tty, "device"))
	if err != nil {
		return Info{}, false // a console has no device
	}
	if attribute(tty, "type") == "0" {
		return Info{}, false // a place of the 8250 driver without a UART
	}
	p.Name = strings.ReplaceAll(name, "!", "/")
	describeUSB(&p, root, device)
	return p, true
}

// describeUSB walks from the device of a terminal up to the USB device it is
// part of: terminal, interface (1-1.4:1.0), device (1-1.4).
func describeUSB(p *Info, root, device string) {
	number := attribute(device, "port_number") // of an adapter with many ports behind one interface
	for dir := device; strings.HasPrefix(dir, root+string(filepath.Separator)); dir = filepath.Dir(dir) {
		if p.USB.Location == "" && attribute(dir, "bInterfaceNumber") != "" {
			p.USB.Location = filepath.Base(dir)
		}
		if attribute(dir, "idVendor") == "" {
			continue
		}
		p.USB.VID, p.USB.PID = attribute(dir, "idVendor"), attribute(dir, "idProduct")
		p.USB.Serial, p.USB.Product, p.USB.Manufacturer = attribute(dir, "serial"), attribute(dir, "product"), attribute(dir, "manufacturer")
		if number := attribute(dir, "devnum"); number != "" {
			p.USB.Address = attribute(dir, "busnum") + ":" + number
		}
		if p.USB.Location == "" {
			p.USB.Location = filepath.Base(dir)
		}
		if number != "" && number != "0" {
			p.USB.Location += "." + number
		}
		return
	}
	p.USB.Location = "" // not on USB
}

// attribute returns the text of a sysfs file, "" when there is none.
func attribute(dir, name string) string {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096)) // sysfs gives one page at most
	if err != nil {
		return ""
	}
	return label(string(b))
}
