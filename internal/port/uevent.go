// SPDX-License-Identifier: Apache-2.0

package port

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
)

const (
	maxUevent     = 8 << 10 // bytes; the kernel's are 2 KiB at most, udev's buffer has 8
	maxProperties = 512     // of one uevent
)

var errUevent = errors.New("not a uevent")

// A uevent is what the kernel or udev says about one device.
type uevent struct {
	action    string // add, remove, change, move, bind, unbind, online, offline
	path      string // in sysfs, from /devices on
	subsystem string
	node      string // in /dev, without that; "" for a device without one
}

// parseKernel reads a message of the kernel: "ACTION@PATH", then its
// properties, each ended by a zero byte (lib/kobject_uevent.c).
func parseKernel(b []byte) (uevent, error) {
	if len(b) > maxUevent {
		return uevent{}, errUevent
	}
	head, rest, ended := bytes.Cut(b, []byte{0})
	action, path, found := strings.Cut(string(head), "@")
	if !ended || !found {
		return uevent{}, errUevent
	}
	e, err := parseProperties(rest)
	if err != nil || e.action != action || e.path != path {
		return uevent{}, errUevent
	}
	return e, nil
}

// udevMagic is in network byte order, unlike the rest of the header
// (systemd, src/libsystemd/sd-device/device-monitor.c).
const udevMagic = 0xfeedcafe

// parseUdev reads a message that udev sends when its rules have run: a header
// of at least 40 bytes, then the properties.
func parseUdev(b []byte) (uevent, error) {
	const minHeader = 40
	if len(b) < minHeader || len(b) > maxUevent || !bytes.HasPrefix(b, []byte("libudev\x00")) ||
		binary.BigEndian.Uint32(b[8:]) != udevMagic {
		return uevent{}, errUevent
	}
	header, offset, length := binary.NativeEndian.Uint32(b[12:]), binary.NativeEndian.Uint32(b[16:]), binary.NativeEndian.Uint32(b[20:])
	if header < minHeader || offset < header || uint64(offset)+uint64(length) != uint64(len(b)) {
		return uevent{}, errUevent
	}
	return parseProperties(b[offset:])
}

// parseProperties reads KEY=VALUE strings, each ended by a zero byte. Action,
// path and subsystem must be there; no key that counts may come twice.
func parseProperties(b []byte) (uevent, error) {
	var e uevent
	fields := map[string]*string{"ACTION": &e.action, "DEVPATH": &e.path, "SUBSYSTEM": &e.subsystem, "DEVNAME": &e.node}
	for n := 0; len(b) > 0; n++ {
		property, rest, ended := bytes.Cut(b, []byte{0})
		key, value, found := strings.Cut(string(property), "=")
		if n == maxProperties || !ended || !found || key == "" {
			return uevent{}, errUevent
		}
		if field := fields[key]; field != nil {
			if *field != "" || value == "" {
				return uevent{}, errUevent
			}
			*field = value
		}
		b = rest
	}
	if e.action == "" || e.subsystem == "" || !strings.HasPrefix(e.path, "/") {
		return uevent{}, errUevent
	}
	e.node = strings.TrimPrefix(e.node, "/dev/") // udev names the whole path
	return e, nil
}
