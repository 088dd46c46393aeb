// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"strings"
	"time"
)

// span is a time from its first day to the one after its last; a zero time is
// open.
type span struct{ from, to time.Time }

// readDate reads a day, a month, or two of them with dots between, in the zone
// of now.
func (r reading) readDate(now time.Time) (reading, string) {
	const problem = "a date is 2026-11-22, 22.11.2026, 2026-11, today, yesterday, or two with .. between"
	first, last, ranged := strings.Cut(r.value, "..")
	var s span
	var ok bool
	switch {
	case !ranged:
		s, ok = parseDay(first, now)
	case first == "" && last == "":
		return r, problem
	default:
		a, okA := parseDay(first, now)
		b, okB := parseDay(last, now)
		s, ok = span{a.from, b.to}, (okA || first == "") && (okB || last == "")
	}
	switch {
	case !ok:
		return r, problem
	case r.key == "from":
		s.to = time.Time{}
	case r.key == "to":
		s.from = time.Time{}
	}
	if !s.to.IsZero() && !s.from.Before(s.to) {
		return r, "the last day is before the first"
	}
	return r.is(s.String(), func(w *wish) {
		if !s.from.IsZero() {
			w.From = s.from
		}
		if !s.to.IsZero() {
			w.To = s.to
		}
	})
}

// parseDay reads one day or month.
func parseDay(text string, now time.Time) (s span, ok bool) {
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	switch strings.ToLower(text) {
	case "today":
		return span{midnight, midnight.AddDate(0, 0, 1)}, true
	case "yesterday":
		return span{midnight.AddDate(0, 0, -1), midnight}, true
	}
	for _, form := range []struct {
		layout       string
		months, days int
	}{{"2006-01-02", 0, 1}, {"2006-01", 1, 0}, {"2.1.2006", 0, 1}} {
		if t, err := time.ParseInLocation(form.layout, text, now.Location()); err == nil && t.Year() >= 1970 {
			return span{t, t.AddDate(0, form.months, form.days)}, true
		}
	}
	return span{}, false
}

// String tells the days in words, both ends included.
func (s span) String() string {
	last := s.to.AddDate(0, 0, -1)
	switch {
	case s.to.IsZero():
		return "from " + day(s.from)
	case s.from.IsZero():
		return "to " + day(last)
	case day(s.from) == day(last):
		return day(last)
	}
	return day(s.from) + " to " + day(last)
}

// day writes a date as a calendar has it.
func day(t time.Time) string { return t.Format("2 Jan 2006") }
