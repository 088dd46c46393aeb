// SPDX-License-Identifier: Apache-2.0

package provision

import "time"

// SlotState is the one word a slot's card shows.
type SlotState uint8

// The states of a slot. A result (Pass, Fail) stays until the board is taken
// away or the next run on the slot starts.
const (
	Empty SlotState = iota // no board
	Scan                   // a board is there, its label has not been scanned
	Ready                  // may be started
	Busy                   // a run is going on
	Pass                   // the last run passed
	Fail                   // the last run did not pass
)

var slotStateNames = [...]string{"EMPTY", "SCAN", "READY", "BUSY", "PASS", "FAIL"}

// String is the word as it stands on the card.
func (s SlotState) String() string { return slotStateNames[s] }

// SlotView is what an observer may know of one slot at one instant.
type SlotView struct {
	Slot    int    // from 1, as it stands on the fixture
	Port    string // "" when no port is bound to the slot
	USB     string // USB location, where the port has one
	State   SlotState
	Serial  string
	UID     string // lower-case hex, once the board told it
	Step    int    // index into Steps: running or failed; len(Steps()) when all are done, -1 before the first
	Note    string // one line: the step's name, or what to do, or the entry's number
	Elapsed time.Duration
	Attempt int   // which attempt on this unit, from 1
	Entry   int64 // sequence number of the end entry, 0 before it is recorded
	Fault   *Fault
	Advice  *Fault // the slot is held: board after board did not pass in it; nil: it is not
}

// Bucket counts the attempts that ended in one slice of time.
type Bucket struct{ Passed, Failed int }

// Counters are the day's figures so far, read from the ledger. They count
// attempts that ended; those that a person stopped are left out.
type Counters struct {
	Passed     int
	Failed     int        // failed by the unit or by the station
	FirstTried int        // first attempts that passed or failed
	FirstPass  int        // of these, those that passed
	PerHour    int        // passed within the last hour
	Hour       [12]Bucket // the last hour in slices of five minutes, oldest first
}

// Yield is the share of units that passed at the first attempt, in tenths of a
// percent; ok is false while no unit was tried.
func (c Counters) Yield() (permille int, ok bool) {
	if c.FirstTried == 0 {
		return 0, false
	}
	return c.FirstPass * 1000 / c.FirstTried, true
}

// Level grades one line of the station's health.
type Level uint8

// The levels of health, as doctor prints them.
const (
	OK Level = iota
	Warn
	Stop
)

var levelNames = [...]string{"ok", "warn", "stop"}

func (l Level) String() string { return levelNames[l] }

// Health is one organ of the station: a short name for the header and a
// sentence for whoever asks.
type Health struct {
	Name  string // "TPM", "Ledger", "CA 214 d"
	Level Level
	Text  string
}

// Snapshot is everything the line screen draws, taken at one instant.
type Snapshot struct {
	Product   string
	Order     string
	Done      int // units of the order that passed
	Quantity  int // 0: no limit
	Operator  string
	Role      string
	Simulated bool // the TPM is not hardware: shown wherever a result is shown
	Demo      bool
	Training  bool // shown as loudly as can be: nothing that is made is meant to leave
	Auto      bool // a board that is ready is started without anybody's doing
	Slots     []SlotView
	Ready     int // boards that Provision would start now
	ScanSlot  int // the slot whose label is asked for, 0: none
	Counters  Counters
	Health    []Health
	Stopped   *Fault // the line is stopped: nothing starts until it is mended
}
