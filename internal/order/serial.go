// SPDX-License-Identifier: Apache-2.0

package order

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// serialPattern is what a serial may look like: it ends up in certificates,
// labels and spreadsheets, so nothing that a cell would take for a formula
// and nothing that does not print.
var serialPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._:/-]{0,63}$`)

// CheckSerial refuses a serial that may not be given to a unit; the error is a
// sentence.
func CheckSerial(s string) error {
	if !serialPattern.MatchString(s) || strings.HasSuffix(s, " ") {
		return fmt.Errorf("%.80q is no serial: 1 to 64 letters, digits or . _ : / - are allowed", s)
	}
	return nil
}

// A Range is serials that differ in a number at their end, which is written with
// the same count of digits in all of them: as text they sort as they count.
type Range struct {
	prefix      string
	digits      int
	first, last int64
}

// maxDigits is how many digits the number may have: what fits into an int64.
const maxDigits = 18

// NewRange makes the range from first to last, both included.
func NewRange(first, last string) (Range, error) {
	if err := CheckSerial(first); err != nil {
		return Range{}, err
	}
	a, b := number(first), number(last)
	prefix := first[:len(first)-len(a)]
	switch {
	case a == "":
		return Range{}, fmt.Errorf("first is %q: a serial that ends with the number to count", first)
	case len(a) != len(b) || prefix != last[:len(last)-len(b)]:
		return Range{}, fmt.Errorf("first is %q, last %q: the same text, and a number of the same length at the end", first, last)
	}
	r := Range{prefix: prefix, digits: len(a)}
	var errs [2]error
	r.first, errs[0] = strconv.ParseInt(a, 10, 64)
	r.last, errs[1] = strconv.ParseInt(b, 10, 64)
	if err := errors.Join(errs[:]...); err != nil {
		return Range{}, err
	}
	if r.last < r.first {
		return Range{}, fmt.Errorf("last is %q, which comes before first, %q", last, first)
	}
	return r, nil
}

// number is the digits at the end of a serial, at most maxDigits of them.
func number(s string) string {
	n := len(s)
	for n > 0 && len(s)-n < maxDigits && s[n-1] >= '0' && s[n-1] <= '9' {
		n--
	}
	return s[n:]
}

// Len is how many serials the range has; 0 for the zero Range.
func (r Range) Len() int64 {
	if r.digits == 0 {
		return 0
	}
	return r.last - r.first + 1
}

// At is the n-th serial, from 0 to Len()-1.
func (r Range) At(n int64) string { return fmt.Sprintf("%s%0*d", r.prefix, r.digits, r.first+n) }

// Index finds the place of a serial in the range.
func (r Range) Index(serial string) (n int64, ok bool) {
	digits, has := strings.CutPrefix(serial, r.prefix)
	if !has || r.digits == 0 || len(digits) != r.digits || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	v, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || v < r.first || v > r.last {
		return 0, false
	}
	return v - r.first, true
}

// Prefix is the text before the number.
func (r Range) Prefix() string { return r.prefix }

// Digits is how many digits the number has.
func (r Range) Digits() int { return r.digits }

// First is the first serial.
func (r Range) First() string { return r.At(0) }

// Last is the last serial.
func (r Range) Last() string { return r.At(r.Len() - 1) }
