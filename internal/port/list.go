// SPDX-License-Identifier: Apache-2.0

package port

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLabel bounds the strings a USB device tells about itself, in bytes (a
// string descriptor holds 126 UTF-16 units).
const maxLabel = 3 * 126

// Info describes a serial port that is plugged in.
type Info struct {
	Name string // to open it by: /dev/ttyUSB0
	USB  struct {
		VID, PID                      string // four lower-case hex digits, "" for a port that is not USB
		Serial, Product, Manufacturer string // as the device says; printable characters only
		Location                      string // the place in the USB tree: bus, ports, interface (1-1.4:1.0)
		Address                       string // bus and number there (1:17); another one each time the device is plugged in
	}
}

// location is how sysfs names a place in the USB tree: bus-port.port..., then
// :configuration.interface, then the number of a port behind that interface.
var location = regexp.MustCompile(`^[1-9][0-9]{0,2}-[1-9][0-9]{0,2}(\.[1-9][0-9]{0,2}){0,6}(:[0-9]{1,3}\.[0-9]{1,3}(\.[0-9]{1,3})?)?$`)

// IsLocation tells whether s can be the USB location of a port.
func IsLocation(s string) bool { return location.MatchString(s) }

// Device is the part of a location that all ports of one USB device share.
func Device(location string) string {
	device, _, _ := strings.Cut(location, ":")
	return device
}

// CompareLocations orders locations as a person counts: 1-1.2 before 1-1.10.
func CompareLocations(a, b string) int { return slices.Compare(numbers(a), numbers(b)) }

// numbers are those of a location, in order.
func numbers(location string) []int {
	var out []int
	for _, part := range strings.FieldsFunc(location, func(r rune) bool { return r < '0' || r > '9' }) {
		if n, err := strconv.Atoi(part); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// label makes a string of a device printable and short: it goes to screens,
// logs and exports.
func label(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.TrimSpace(s))
	if len(s) > maxLabel {
		s = strings.ToValidUTF8(s[:maxLabel], "")
	}
	return s
}

// sortByName puts ttyUSB2 before ttyUSB10.
func sortByName(ports []Info) {
	slices.SortFunc(ports, func(a, b Info) int {
		aText, aNumber := splitNumber(a.Name)
		bText, bNumber := splitNumber(b.Name)
		return cmp.Or(cmp.Compare(aText, bText), cmp.Compare(aNumber, bNumber), cmp.Compare(a.Name, b.Name))
	})
}

// splitNumber splits the number off the end of a name.
func splitNumber(name string) (text string, number uint64) {
	text = strings.TrimRight(name, "0123456789")
	number, err := strconv.ParseUint(name[len(text):], 10, 64)
	if err != nil {
		return name, 0 // no number there
	}
	return text, number
}
