// SPDX-License-Identifier: Apache-2.0

//go:build !nogui

package main

import (
	"fmt"
	"testing"
)

// slotIs tells whether a slot of the window shows a state, and every other one
// is empty but those that are named, too.
func slotIs(want map[int]string) func(described) bool {
	return func(d described) bool {
		for _, s := range d.Slots {
			state := want[s.Slot]
			if state == "" {
				state = "EMPTY"
			}
			if s.State != state {
				return false
			}
		}
		return len(d.Slots) > 0
	}
}

// TestWindowPlug plugs boards in and pulls them out while the window is open:
// a bound place is always its slot, whatever the port is called.
func TestWindowPlug(t *testing.T) {
	p := newPlant(t, posixProduct+"usb = [\"0403:6001\"]\n")
	agents := p.agents(2)
	s := newSockets(t)
	s.do(exitPassed, p.path("home"), "slots", "bind", "1=1-1.1:1.0", "3=1-1.3:1.0")
	c := p.station("--describe", "--pin-file", p.path("pin"))
	c.Env = append(c.Env, s.env())
	w := newScreen(p).open(c)
	w.until("an empty bench", slotIs(nil))
	s.in("ttyUSB0", "1-1.3:1.0", agents[0])
	w.until("the board is in its slot", slotIs(map[int]string{3: "READY"}))
	s.in("ttyUSB1", "1-1.8:1.0", agents[1])
	w.until("the other in the first that is not bound", slotIs(map[int]string{2: "READY", 3: "READY"}))
	w.click("provision")
	w.until("both passed", slotIs(map[int]string{2: "PASS", 3: "PASS"}))
	s.out("ttyUSB0", "1-1.3:1.0")
	w.until("the board is gone", slotIs(map[int]string{2: "PASS"}))
	s.in("ttyUSB7", "1-1.3:1.0", agents[0]) // the same place, another name
	w.until("it is back", slotIs(map[int]string{2: "PASS", 3: "READY"}))
	s.out("ttyUSB1", "1-1.8:1.0")
	s.in("ttyUSB2", "1-1.8:1.0", agents[1]) // swapped, perhaps between two looks
	w.until("a result does not stay for another board", slotIs(map[int]string{2: "READY", 3: "READY"}))
	p.sqlite(fmt.Sprintf("select count(*) from entry where kind = 'end' and body like '%%%q:%q%%'", "usb", "1-1.3:1.0"), "1")
}
