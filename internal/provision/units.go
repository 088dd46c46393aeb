// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/order"
)

// UnitRow is one row of a list of units.
type UnitRow struct {
	Serial string
	UID    string // "" when any board will do
	Slot   int    // 0 when any slot will do
	Vars   map[string]string
	line   int
	uid    string // the board that took the row
}

// Units is a list of serials to give to boards: by board ID where the row has
// one, else by slot, else in file order. It may be used by many runs at once.
type Units struct {
	path string
	mu   sync.Mutex // guards rows
	rows []*UnitRow
}

// CheckSerial refuses a serial that may not be given to a unit; the error is a
// sentence.
func CheckSerial(s string) error { return order.CheckSerial(s) }

const (
	maxUnitRows = 1_000_000
	// MaxUnitFile bounds a list of units, in bytes.
	MaxUnitFile = 128 << 20
)

var varPattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// LoadUnits reads a list: CSV (RFC 4180) with a header; serial is required,
// uid and slot are known, every other column is a variable of the profile.
// Mistakes name file and line.
func LoadUnits(path string, raw []byte) (*Units, error) {
	if len(raw) > MaxUnitFile {
		return nil, fmt.Errorf("%s: %d bytes, at most %d are read", path, len(raw), MaxUnitFile)
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(raw, []byte("\ufeff"))))
	head, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("%s:1: no header: %w", path, err)
	}
	if err := checkHead(head); err != nil {
		return nil, fmt.Errorf("%s:1: %w", path, err)
	}
	u := &Units{path: path}
	seen := map[string]int{}
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var syntax *csv.ParseError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("%s:%d: %w", path, syntax.Line, syntax.Err)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		line, _ := r.FieldPos(0)
		row, err := parseRow(head, cells)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
		}
		for _, key := range []string{"serial " + row.Serial, "board " + row.UID} {
			if before := seen[key]; before > 0 && key != "board " {
				return nil, fmt.Errorf("%s:%d: %s stands in line %d already", path, line, key, before)
			}
			seen[key] = line
		}
		row.line = line
		if u.rows = append(u.rows, row); len(u.rows) > maxUnitRows {
			return nil, fmt.Errorf("%s: over %d rows", path, maxUnitRows)
		}
	}
	if len(u.rows) == 0 {
		return nil, fmt.Errorf("%s: no unit in it", path)
	}
	return u, nil
}

func checkHead(head []string) error {
	for i, h := range head {
		if !varPattern.MatchString(h) {
			return fmt.Errorf("column %d is called %q: lower-case letters, digits and _ are allowed", i+1, h)
		}
		if slices.Index(head, h) != i {
			return fmt.Errorf("two columns are called %q", h)
		}
	}
	if !slices.Contains(head, "serial") {
		return errors.New(`there is no column "serial"`)
	}
	return nil
}

func parseRow(head, cells []string) (*UnitRow, error) {
	row := &UnitRow{Vars: map[string]string{}}
	for i, name := range head {
		v := strings.TrimSpace(cells[i])
		switch name {
		case "serial":
			if err := CheckSerial(v); err != nil {
				return nil, err
			}
			row.Serial = v
		case "uid":
			row.UID = strings.ToLower(v)
			if strings.Trim(row.UID, "0123456789abcdef") != "" || len(row.UID) > 64 || len(row.UID)%2 != 0 {
				return nil, fmt.Errorf("uid %q: 1 to 32 bytes in hex, or nothing", v)
			}
		case "slot":
			n, err := strconv.Atoi(cmp.Or(v, "0"))
			if err != nil || n < 0 {
				return nil, fmt.Errorf("slot %q: a number from 1, or nothing", v)
			}
			row.Slot = n
		default:
			row.Vars[name] = v
		}
	}
	return row, nil
}

// Fits tells whether the list has every variable that the profile wants.
func (u *Units) Fits(profile *issuer.Profile) error {
	for _, name := range profile.Variables() {
		if _, ok := u.rows[0].Vars[name]; !ok {
			return fmt.Errorf("%s:1: there is no column %q, which profile %s wants", u.path, name, profile.Name())
		}
	}
	return nil
}

// Within tells whether every slot that the list names is one of the bench's, 1
// to slots. The error names file and line.
func (u *Units) Within(slots int) error {
	for _, row := range u.rows {
		if row.Slot > slots {
			return fmt.Errorf("%s:%d: slot %d: this bench has slots 1 to %d", u.path, row.line, row.Slot, slots)
		}
	}
	return nil
}

// Len is the number of rows.
func (u *Units) Len() int { return len(u.rows) }

// Taken marks the rows whose serials the ledger already gave to boards: used
// maps serials to board IDs.
func (u *Units) Taken(used func(serial string) (uid string, ok bool)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, row := range u.rows {
		if uid, ok := used(row.Serial); ok {
			row.uid = uid
		}
	}
}

// take gives a board its row: the one it has, the one with its ID, the one of
// its slot, the next free one. A serial already known picks its own row.
func (u *Units) take(slot int, uid, serial string) (UnitRow, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	free := func(row *UnitRow) bool { return row.uid == "" && row.UID == "" }
	wanted := []func(*UnitRow) bool{
		func(row *UnitRow) bool { return row.uid == uid },
		func(row *UnitRow) bool { return row.UID == uid && row.uid == "" },
		func(row *UnitRow) bool { return free(row) && row.Slot == slot },
		func(row *UnitRow) bool { return free(row) && row.Slot == 0 },
	}
	for _, fits := range wanted {
		for _, row := range u.rows {
			if fits(row) && (serial == "" || row.Serial == serial) {
				row.uid = uid
				return *row, nil
			}
		}
	}
	return UnitRow{}, fmt.Errorf("%s has no free row for board %s in slot %d", u.path, uid, slot)
}
