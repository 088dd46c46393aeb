// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/pelletier/go-toml/v2"

	"provisioning.example/station/internal/settings"
)

// Register is the file of who may work here. Its methods may be called at the
// same time; one process at a time opens it (the home's lock).
type Register struct {
	path string

	mu   sync.Mutex // guards what follows, and the file
	rows []row
}

// row is a person as the file has them.
type row struct {
	ID     string `toml:"id"`
	Name   string `toml:"name,omitempty"`
	Role   Role   `toml:"role"`
	Badge  string `toml:"badge,omitempty"`
	PIN    string `toml:"pin,omitempty"`   // argon2id, PHC string
	Tries  int    `toml:"tries,omitempty"` // wrong PINs in a row
	Erased bool   `toml:"erased,omitempty"`
}

type file struct {
	Operator []row `toml:"operator"`
}

// Open reads the register of a path; a file that is not there is an empty one.
// Mistakes name file and line.
func Open(path string) (*Register, error) {
	text, err := settings.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Register{path: path}, nil
	}
	if err != nil {
		return nil, err
	}
	rows, err := parse(path, text)
	return &Register{path: path, rows: rows}, err
}

func parse(path string, text []byte) ([]row, error) {
	var f file
	if err := settings.Decode(path, text, &f); err != nil {
		return nil, err
	}
	r := Register{}
	for i, o := range f.Operator {
		err := o.person().check()
		if err == nil && o.PIN != "" {
			_, _, err = parsePHC(o.PIN)
		}
		if err == nil && (o.Tries < 0 || o.Tries > MaxTries) {
			err = fmt.Errorf("tries: 0 to %d", MaxTries)
		}
		if err == nil {
			err = r.free(o.ID, o.Badge)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: operator %d: %w", path, i+1, err)
		}
		r.rows = append(r.rows, o)
	}
	return r.rows, nil
}

func (o row) person() Person {
	return Person{ID: o.ID, Name: o.Name, Role: o.Role, Badge: o.Badge, Locked: o.Tries >= MaxTries, Erased: o.Erased}
}

// save puts the file in the place of the old one. The caller holds mu.
func (r *Register) save(rows []row) error {
	text, err := toml.Marshal(file{rows})
	if err == nil {
		err = settings.Write(r.path, append([]byte("# Who may work at this station; written by: station operator\n"), text...), 0o600)
	}
	if err != nil {
		return fmt.Errorf("the register of operators: %w", err)
	}
	r.rows = rows
	return nil
}

// Empty says whether nobody has been registered yet.
func (r *Register) Empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.rows) == 0
}

// People lists everybody, in the order they came.
func (r *Register) People() []Person {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Person
	for _, o := range r.rows {
		all = append(all, o.person())
	}
	return all
}

// Find returns the person of an id or badge.
func (r *Register) Find(text string) (Person, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := slices.IndexFunc(r.rows, func(o row) bool { return !o.Erased && text != "" && (o.ID == text || o.Badge == text) })
	if at < 0 {
		return Person{}, fmt.Errorf("%q: %w", text, ErrUnknown)
	}
	return r.rows[at].person(), nil
}

// Add takes somebody in. The first one must be an admin: nobody else could add
// the second. A role that needs a PIN gets one here.
func (r *Register) Add(p Person, pin []byte) error {
	p.Locked, p.Erased = false, false
	if err := p.check(); err != nil {
		return err
	}
	o := row{ID: p.ID, Name: p.Name, Role: p.Role, Badge: p.Badge}
	var err error
	if o.PIN, err = pinOf(p.Role, pin); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rows) == 0 && p.Role != Admin {
		return errors.New("the first operator must be an admin")
	}
	if err := r.free(p.ID, p.Badge); err != nil {
		return err
	}
	return r.save(append(slices.Clone(r.rows), o))
}

// free says whether an id and a badge are nobody's. An id may not be another's
// badge: both are typed into the same field.
func (r *Register) free(id, badge string) error {
	for _, o := range r.rows {
		for _, taken := range []string{o.ID, o.Badge} {
			if taken != "" && (taken == id || taken == badge) {
				return fmt.Errorf("%q: %w", taken, ErrExists)
			}
		}
	}
	return nil
}

func pinOf(role Role, pin []byte) (string, error) {
	if len(pin) == 0 && !role.NeedsPIN() {
		return "", nil
	}
	if err := CheckPIN(pin); err != nil {
		return "", err
	}
	return hashPIN(pin)
}

// SetPIN gives somebody a new PIN and unlocks them.
func (r *Register) SetPIN(id string, pin []byte) error {
	if err := CheckPIN(pin); err != nil {
		return err
	}
	stored, err := hashPIN(pin)
	if err != nil {
		return err
	}
	return r.change(id, func(o *row) { o.PIN, o.Tries = stored, 0 })
}

// Erase forgets who somebody was: name, badge and PIN. The id stays taken.
func (r *Register) Erase(id string) error {
	return r.change(id, func(o *row) { *o = row{ID: o.ID, Role: o.Role, Erased: true} })
}

// change changes one person in the file. The last admin can not be erased.
func (r *Register) change(id string, to func(*row)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	rows := slices.Clone(r.rows)
	at := slices.IndexFunc(rows, func(o row) bool { return o.ID == id && !o.Erased })
	if at < 0 {
		return fmt.Errorf("%q: %w", id, ErrUnknown)
	}
	to(&rows[at])
	if !slices.ContainsFunc(rows, func(o row) bool { return o.Role == Admin && !o.Erased }) {
		return ErrLast
	}
	return r.save(rows)
}

// Check tries somebody's PIN. The try is on the disk before it is made, so that
// pulling the plug wins none. Errors to tell apart: ErrUnknown, ErrLocked,
// ErrNoPIN, *PINError.
func (r *Register) Check(id string, pin []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := slices.IndexFunc(r.rows, func(o row) bool { return o.ID == id && !o.Erased })
	switch {
	case at < 0:
		return fmt.Errorf("%q: %w", id, ErrUnknown)
	case r.rows[at].PIN == "":
		return fmt.Errorf("%s: %w", id, ErrNoPIN)
	case r.rows[at].Tries >= MaxTries:
		return fmt.Errorf("%s: %w", id, ErrLocked)
	}
	rows := slices.Clone(r.rows)
	rows[at].Tries++
	if err := r.save(rows); err != nil {
		return err
	}
	same, err := samePIN(rows[at].PIN, pin)
	if err != nil {
		return err
	}
	if !same {
		return fmt.Errorf("%s: %w", id, &PINError{Left: MaxTries - rows[at].Tries})
	}
	rows = slices.Clone(rows)
	rows[at].Tries = 0
	return r.save(rows)
}
