// SPDX-License-Identifier: Apache-2.0

package port

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tree builds a sysfs tree: a path ending in / is a directory, "a -> b" a
// symbolic link, "a = b" a file.
func tree(t *testing.T, lines string) string {
	t.Helper()
	root := t.TempDir()
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		path, target, isLink := strings.Cut(line, " -> ")
		path, text, isFile := strings.Cut(path, " = ")
		path = filepath.Join(root, path)
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		switch {
		case err != nil:
		case isLink:
			err = os.Symlink(target, path)
		case isFile:
			err = os.WriteFile(path, []byte(text+"\n"), 0o600)
		default:
			err = os.MkdirAll(path, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const bench = `
devices/pci0/usb1/idVendor = 1d6b
devices/pci0/usb1/1-1/idVendor = 0424
devices/pci0/usb1/1-1/1-1.4/idVendor = 0403
devices/pci0/usb1/1-1/1-1.4/idProduct = 6001
devices/pci0/usb1/1-1/1-1.4/serial = A9QXYZ01
devices/pci0/usb1/1-1/1-1.4/product = FT232R USB UART
devices/pci0/usb1/1-1/1-1.4/manufacturer = FTDI
devices/pci0/usb1/1-1/1-1.4/1-1.4:1.0/bInterfaceNumber = 00
devices/pci0/usb1/1-1/1-1.4/1-1.4:1.0/ttyUSB10/port_number = 0
devices/pci0/usb1/1-1/1-1.4/1-1.4:1.0/ttyUSB10/tty/ttyUSB10/device -> ../../../ttyUSB10
class/tty/ttyUSB10 -> ../../devices/pci0/usb1/1-1/1-1.4/1-1.4:1.0/ttyUSB10/tty/ttyUSB10

devices/pci0/usb1/1-2/idVendor = 110a
devices/pci0/usb1/1-2/idProduct = 1250
devices/pci0/usb1/1-2/busnum = 1
devices/pci0/usb1/1-2/devnum = 9
devices/pci0/usb1/1-2/1-2:1.0/bInterfaceNumber = 00
devices/pci0/usb1/1-2/1-2:1.0/ttyUSB2/port_number = 3
devices/pci0/usb1/1-2/1-2:1.0/ttyUSB2/tty/ttyUSB2/device -> ../../../ttyUSB2
class/tty/ttyUSB2 -> ../../devices/pci0/usb1/1-2/1-2:1.0/ttyUSB2/tty/ttyUSB2

devices/pci0/usb1/1-3/idVendor = 2fe3
devices/pci0/usb1/1-3/idProduct = 0100
devices/pci0/usb1/1-3/product =   bad  name` + "\x1b" + `[31m
devices/pci0/usb1/1-3/1-3:1.2/bInterfaceNumber = 02
devices/pci0/usb1/1-3/1-3:1.2/tty/ttyACM0/device -> ../../../1-3:1.2
class/tty/ttyACM0 -> ../../devices/pci0/usb1/1-3/1-3:1.2/tty/ttyACM0

devices/pnp0/00:01/tty/ttyS0/device -> ../../../00:01
devices/pnp0/00:01/tty/ttyS0/type = 4
class/tty/ttyS0 -> ../../devices/pnp0/00:01/tty/ttyS0
devices/platform/serial8250/tty/ttyS1/device -> ../../../serial8250
devices/platform/serial8250/tty/ttyS1/type = 0
class/tty/ttyS1 -> ../../devices/platform/serial8250/tty/ttyS1

devices/virtual/tty/tty0/
class/tty/tty0 -> ../../devices/virtual/tty/tty0
devices/virtual/tty/ptmx/
class/tty/ptmx -> ../../devices/virtual/tty/ptmx
class/tty/ttyUSB7 -> ../../devices/pci0/gone
devices/pci0/cciss!tty/tty/x!ttyQ0/device -> ../../../cciss!tty
class/tty/x!ttyQ0 -> ../../devices/pci0/cciss!tty/tty/x!ttyQ0
`

func TestList(t *testing.T) {
	ports, err := Lister{Root: tree(t, bench)}.List()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	byName := map[string]Info{}
	for _, p := range ports {
		names = append(names, p.Name)
		byName[p.Name] = p
	}
	if want := []string{"/dev/ttyACM0", "/dev/ttyS0", "/dev/ttyUSB2", "/dev/ttyUSB10", "/dev/x/ttyQ0"}; !slices.Equal(names, want) {
		t.Fatalf("got %v, want %v", names, want)
	}
	want := Info{Name: "/dev/ttyUSB10"}
	want.USB.VID, want.USB.PID, want.USB.Serial = "0403", "6001", "A9QXYZ01"
	want.USB.Product, want.USB.Manufacturer, want.USB.Location = "FT232R USB UART", "FTDI", "1-1.4:1.0"
	if got := byName["/dev/ttyUSB10"]; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := byName["/dev/ttyUSB2"].USB.Location; got != "1-2:1.0.3" {
		t.Errorf("fourth port of one interface: location %q", got)
	}
	want = Info{Name: "/dev/ttyACM0"}
	want.USB.VID, want.USB.PID, want.USB.Product, want.USB.Location = "2fe3", "0100", "bad  name?[31m", "1-3:1.2"
	if got := byName["/dev/ttyACM0"]; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := byName["/dev/ttyS0"]; got != (Info{Name: "/dev/ttyS0"}) {
		t.Errorf("a port on the board: %+v", got)
	}
}

func TestListWithoutTerminals(t *testing.T) {
	if ports, err := (Lister{Root: t.TempDir()}).List(); err != nil || len(ports) != 0 {
		t.Errorf("an empty tree: %v, %v", ports, err)
	}
	if _, err := (Lister{Root: filepath.Join(t.TempDir(), "none")}).List(); err == nil {
		t.Error("a tree that is not there was listed")
	}
	if _, err := List(); err != nil {
		t.Errorf("this machine: %v", err)
	}
}

func FuzzLabel(f *testing.F) {
	f.Add("FT232R USB UART\n")
	f.Add("\x1b[31m\x00\xff\u202e")
	f.Add(strings.Repeat("\u20ac", 200))
	f.Fuzz(func(t *testing.T, s string) {
		got := label(s)
		if len(got) > maxLabel || label(got) != strings.TrimSpace(got) || strings.ContainsAny(got, "\n\r\x00\x1b") {
			t.Errorf("%q became %q", s, got)
		}
	})
}
