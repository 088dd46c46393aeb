// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"maps"
	"slices"
)

// seats say which slot a port belongs to: one at a bound location always to
// its slot, any other to a slot that is not bound.
type seats struct {
	bound map[string]int // slot by USB location, from station.toml
	slots int            // places on the bench; 0: as many as are wanted
	taken map[int]seen   // by slot
	last  map[string]int // slot by place, of ports that are not bound
}

// place is what a port is known by when it comes back: a board that restarts
// may get another name.
func (b seen) place() string { return cmp.Or(b.usb, b.name) }

func newSeats(bound map[string]int, slots int) *seats {
	return &seats{bound: bound, slots: slots, taken: map[int]seen{}, last: map[string]int{}}
}

func (s *seats) has(b seen) bool {
	for _, t := range s.taken {
		if t == b {
			return true
		}
	}
	return false
}

// leave takes away who is not there any more, and who was plugged in anew.
func (s *seats) leave(now []seen) (gone []seen) {
	for slot, b := range s.taken {
		if !slices.Contains(now, b) {
			gone = append(gone, b)
			delete(s.taken, slot)
		}
	}
	return gone
}

// choose finds the slot of a port, 0 when there is none now: its own by
// binding, the one it had, one that nobody had, any. Whether a slot may be
// taken is asked of free, too.
func (s *seats) choose(b seen, free func(slot int) bool) int {
	open := func(n int) bool { _, taken := s.taken[n]; return !taken && free(n) }
	if n := s.bound[b.usb]; n > 0 {
		if open(n) {
			return n
		}
		return 0
	}
	if n := s.last[b.place()]; n > 0 && open(n) {
		return n
	}
	used := 0
	for n := 1; n <= s.slots || s.slots == 0; n++ {
		switch {
		case s.isBound(n):
		case !s.wasUsed(n):
			if open(n) {
				return n
			}
		case used == 0 && open(n):
			used = n
		}
	}
	return used
}

func (s *seats) isBound(slot int) bool {
	for _, n := range s.bound {
		if n == slot {
			return true
		}
	}
	return false
}

func (s *seats) wasUsed(slot int) bool {
	for _, n := range s.last {
		if n == slot {
			return true
		}
	}
	return false
}

func (s *seats) sit(slot int, b seen) {
	s.taken[slot] = b
	if s.bound[b.usb] == 0 {
		s.last[b.place()] = slot
	}
}

// seatAll gives every board a slot and returns the slots, in order.
func (s *seats) seatAll(boards []seen) []int {
	for _, b := range boards {
		if n := s.choose(b, func(int) bool { return true }); n > 0 {
			s.sit(n, b)
		}
	}
	return slices.Sorted(maps.Keys(s.taken))
}
