// SPDX-License-Identifier: Apache-2.0

package port

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// zeroed joins strings, each ended by a zero byte.
func zeroed(s ...string) []byte { return []byte(strings.Join(s, "\x00") + "\x00") }

const path = "/devices/pci0/usb1/1-1/1-1.4/1-1.4:1.0/ttyUSB10/tty/ttyUSB10"

var plugged = []string{
	"ACTION=add", "DEVPATH=" + path, "SUBSYSTEM=tty", "SYNTH_UUID=0", "MAJOR=188", "MINOR=10", "DEVNAME=ttyUSB10", "SEQNUM=4711",
}

func kernelMessage(properties ...string) []byte {
	return append(zeroed("add@"+path), zeroed(properties...)...)
}

// udevMessage makes a message as udevd does: a header of 40 bytes.
func udevMessage(properties ...string) []byte {
	body := zeroed(properties...)
	b := append([]byte("libudev\x00"), make([]byte, 32)...)
	binary.BigEndian.PutUint32(b[8:], udevMagic)
	binary.NativeEndian.PutUint32(b[12:], 40)
	binary.NativeEndian.PutUint32(b[16:], 40)
	binary.NativeEndian.PutUint32(b[20:], uint32(len(body)))
	return append(b, body...)
}

// with replaces the property of the same key, or adds one.
func with(properties []string, property string) []string {
	key, _, _ := strings.Cut(property, "=")
	for i, p := range properties {
		if strings.HasPrefix(p, key+"=") {
			return slices.Replace(slices.Clone(properties), i, i+1, property)
		}
	}
	return append(slices.Clone(properties), property)
}

func TestParseKernel(t *testing.T) {
	want := uevent{"add", path, "tty", "ttyUSB10"}
	if got, err := parseKernel(kernelMessage(plugged...)); err != nil || got != want {
		t.Fatalf("got %+v, %v", got, err)
	}
	noNode := append(zeroed("add@/devices/x"), zeroed("ACTION=add", "DEVPATH=/devices/x", "SUBSYSTEM=usb")...)
	if got, err := parseKernel(noNode); err != nil || got.node != "" {
		t.Errorf("without a node: %+v, %v", got, err)
	}
	good := kernelMessage(plugged...)
	for what, b := range map[string][]byte{
		"nothing":              {},
		"no end":               good[:len(good)-1],
		"head alone":           zeroed("add@" + path),
		"no @":                 append(zeroed("add"), zeroed(plugged...)...),
		"another action":       kernelMessage(with(plugged, "ACTION=remove")...),
		"another path":         kernelMessage(with(plugged, "DEVPATH=/devices/x")...),
		"no subsystem":         kernelMessage("ACTION=add", "DEVPATH="+path),
		"an empty value":       kernelMessage(with(plugged, "SUBSYSTEM=")...),
		"a property twice":     kernelMessage(append(slices.Clone(plugged), "SUBSYSTEM=usb")...),
		"no =":                 kernelMessage(append(slices.Clone(plugged), "HUH")...),
		"no key":               kernelMessage(append(slices.Clone(plugged), "=1")...),
		"an empty property":    kernelMessage(append(slices.Clone(plugged), "")...),
		"too many properties":  kernelMessage(append(slices.Clone(plugged), slices.Repeat([]string{"A=1"}, maxProperties)...)...),
		"too long":             kernelMessage(append(slices.Clone(plugged), "A="+strings.Repeat("1", maxUevent))...),
		"a message of udev":    udevMessage(plugged...),
		"a path without slash": append(zeroed("add@x"), zeroed("ACTION=add", "DEVPATH=x", "SUBSYSTEM=tty")...),
	} {
		if got, err := parseKernel(b); err == nil {
			t.Errorf("%s: got %+v", what, got)
		}
	}
}

func TestParseUdev(t *testing.T) {
	settled := with(plugged, "DEVNAME=/dev/ttyUSB10")
	want := uevent{"add", path, "tty", "ttyUSB10"}
	good := udevMessage(settled...)
	if got, err := parseUdev(good); err != nil || got != want {
		t.Fatalf("got %+v, %v", got, err)
	}
	longer := slices.Concat(good[:40], make([]byte, 8), good[40:]) // a header of the future
	binary.NativeEndian.PutUint32(longer[12:], 48)
	binary.NativeEndian.PutUint32(longer[16:], 48)
	if got, err := parseUdev(longer); err != nil || got != want {
		t.Errorf("a longer header: %+v, %v", got, err)
	}
	broken := func(offset int, value uint32) []byte {
		b := bytes.Clone(good)
		binary.NativeEndian.PutUint32(b[offset:], value)
		return b
	}
	for what, b := range map[string][]byte{
		"nothing":                   {},
		"a header alone":            good[:40],
		"half a header":             good[:39],
		"cut":                       good[:len(good)-1],
		"another magic":             broken(8, 1),
		"a short header":            broken(12, 39),
		"properties in the header":  broken(16, 39),
		"properties beyond the end": broken(16, 0xffffffff),
		"more than there is":        broken(20, uint32(len(good))),
		"a sum that overflows":      broken(20, 0xffffffff-39),
		"a message of the kernel":   kernelMessage(plugged...),
	} {
		if got, err := parseUdev(b); err == nil {
			t.Errorf("%s: got %+v", what, got)
		}
	}
}

func FuzzUevent(f *testing.F) {
	f.Add(kernelMessage(plugged...))
	f.Add(kernelMessage(with(plugged, "DEVNAME=bus/usb/001/017")...))
	f.Add(kernelMessage("ACTION=add", "DEVPATH="+path))
	f.Add(udevMessage(with(plugged, "DEVNAME=/dev/ttyUSB10")...))
	f.Add(udevMessage(plugged...)[:40])
	f.Add([]byte("libudev\x00\xfe\xed\xca\xfe"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, parse := range []func([]byte) (uevent, error){parseKernel, parseUdev} {
			e, err := parse(b)
			if err != nil {
				continue
			}
			for _, s := range []string{e.action, e.path, e.subsystem, e.node} {
				if strings.Contains(s, "\x00") || !bytes.Contains(b, []byte(s)) {
					t.Errorf("%q is not in the message", s)
				}
			}
			if e.action == "" || e.subsystem == "" || e.path == "" || len(b) > maxUevent {
				t.Errorf("accepted %+v", e)
			}
			again := udevMessage("ACTION="+e.action, "DEVPATH="+e.path, "SUBSYSTEM="+e.subsystem)
			if got, err := parseUdev(again); len(again) <= maxUevent && (err != nil || got.path != e.path) {
				t.Errorf("%+v, written again: %+v, %v", e, got, err)
			}
		}
	})
}
