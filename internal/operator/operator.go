// SPDX-License-Identifier: Apache-2.0

// Package operator knows who may do what at a station: ids, roles and PINs.
//
// The [Register] is a file of the station's home. Entries of the ledger carry
// ids only: a person's name stands here, and here alone it can be erased.
package operator

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Role is what somebody is at the station.
type Role string

// The roles. A technician makes units; qa judges them and approves what cannot
// be undone; an admin sets the station up.
const (
	Technician Role = "technician"
	QA         Role = "qa"
	Admin      Role = "admin"
)

// Roles returns all roles.
func Roles() []Role { return []Role{Technician, QA, Admin} }

// Action is something that not everybody may do.
type Action string

// The actions.
const (
	Provision Action = "provision units"
	Approve   Action = "approve" // rework, scrap, revocation, a new epoch, a clock set right
	SignOff   Action = "sign off"
	Correct   Action = "correct an entry"
	Export    Action = "export the ledger"
	Set       Action = "change settings" // products, slots, authority, TPM
	Enrol     Action = "manage operators"
)

// allowed is the one table of who may do what.
var allowed = []struct {
	action Action
	roles  []Role
}{
	{Provision, []Role{Technician, QA, Admin}},
	{Approve, []Role{QA}},
	{SignOff, []Role{QA}},
	{Correct, []Role{QA}},
	{Export, []Role{QA, Admin}},
	{Set, []Role{Admin}},
	{Enrol, []Role{Admin}},
}

// May says whether a role may do a thing.
func (r Role) May(a Action) bool {
	for _, row := range allowed {
		if row.action == a {
			return slices.Contains(row.roles, r)
		}
	}
	return false
}

// WhoMay lists the roles that may do a thing, for people.
func WhoMay(a Action) string {
	var names []string
	for _, r := range Roles() {
		if r.May(a) {
			names = append(names, string(r))
		}
	}
	return strings.Join(names, " or ")
}

// NeedsPIN says whether a role signs in with a PIN; a technician's badge or
// name is enough.
func (r Role) NeedsPIN() bool { return r != Technician }

// Person is somebody who may work here.
type Person struct {
	ID    string // what the ledger shows; never given to another person
	Name  string // empty once it was erased
	Role  Role
	Badge string // what a badge scan types; may be empty
	// Locked is set after [MaxTries] wrong PINs, until an admin sets a new one.
	Locked bool
	// Erased people stay in the register, so that their id is not given again.
	Erased bool
}

// What is said of people and PINs that are not as they must be.
var (
	ErrUnknown = errors.New("nobody of this id or badge may work here")
	ErrExists  = errors.New("this id or badge is in the register already")
	ErrLocked  = errors.New("locked after too many wrong PINs: an admin sets a new one")
	ErrNoPIN   = errors.New("no PIN was set: an admin sets one")
	ErrLast    = errors.New("the last admin stays: add another one first")
)

// PINError is a wrong PIN.
type PINError struct {
	Left int // tries that are left; 0: locked now
}

func (e *PINError) Error() string {
	if e.Left == 0 {
		return "wrong PIN, and now locked: an admin sets a new one"
	}
	return fmt.Sprintf("wrong PIN, %d tries left", e.Left)
}

var (
	idPattern    = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,31}$`)
	badgePattern = regexp.MustCompile(`^[!-~]{1,64}$`)
)

// check says what is wrong with a person, for people.
func (p Person) check() error {
	switch {
	case !idPattern.MatchString(p.ID):
		return fmt.Errorf("id %q: 1 to 32 of a-z, 0-9 and . _ - are allowed", p.ID)
	case !slices.Contains(Roles(), p.Role):
		return fmt.Errorf("role %q: technician, qa or admin", string(p.Role))
	case p.Badge != "" && !badgePattern.MatchString(p.Badge):
		return fmt.Errorf("badge %q: 1 to 64 printable ASCII characters", p.Badge)
	case p.Erased && p.Name+p.Badge != "":
		return fmt.Errorf("%s is erased and has a name or badge", p.ID)
	}
	return checkName(p.Name)
}

// checkName refuses what would do harm in a table, a terminal or a spreadsheet.
func checkName(name string) error {
	switch {
	case !utf8.ValidString(name) || utf8.RuneCountInString(name) > 64:
		return errors.New("name: at most 64 characters")
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }): // marks of direction are not
		return errors.New("name: no control characters or text direction marks")
	case name != "" && strings.ContainsRune("=+-@ ", rune(name[0])):
		return errors.New("name: may not begin with = + - @ or a space")
	}
	return nil
}
