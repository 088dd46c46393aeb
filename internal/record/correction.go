// SPDX-License-Identifier: Apache-2.0

package record

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// correctable are the fields that a correction may name: what a person typed, scanned or was taken for. What the station or the board
// found out for itself (outcome, fault, times, keys, digests) is evidence and stays as it is.
var correctable = []string{"serial", "order", "operator", "slot", "hw", "detail"}

// Correctable returns the names of the fields that a correction may name.
func Correctable() []string { return slices.Clone(correctable) }

// Value is what a field of an entry holds, as a correction writes it: a number in decimal, "" where the entry does not have it.
// Only correctable fields are told.
func (b Body) Value(field string) string {
	if !slices.Contains(correctable, field) {
		return ""
	}
	v := reflect.ValueOf(b).Field(fieldOf[field].index)
	switch {
	case v.IsZero():
		return ""
	case v.Kind() == reflect.String:
		return v.String()
	}
	return strconv.FormatInt(v.Int(), 10)
}

// with is the entry with another value in a field, or what is wrong with the value. The entry itself stays.
func (b Body) with(field, value string) (Body, error) {
	if !slices.Contains(correctable, field) {
		return b, fmt.Errorf("%q can not be corrected", field)
	}
	place := fieldOf[field]
	v := reflect.ValueOf(&b).Elem().Field(place.index)
	if v.Kind() == reflect.String {
		v.SetString(value)
	} else {
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil || strconv.FormatInt(n, 10) != value {
			return b, fmt.Errorf("%s %q is not a number", field, value)
		}
		v.SetInt(n)
	}
	if err := place.check(v.Interface()); err != nil {
		return b, fmt.Errorf("%s %w", field, err)
	}
	return b, nil
}

// Corrects tells whether an entry of this kind can be corrected in a field at all. A correction or a sign-off can not: it was signed
// for as it stands, and another one may follow it.
func Corrects(kind, field string) bool {
	k, ok := kindNamed(kind)
	return ok && kind != KindCorrection && kind != KindSignoff && slices.Contains(correctable, field) && k.has(field)
}

// validateCorrection holds the rules of a correction that can be seen without the entry it is about.
func (b Body) validateCorrection() error {
	for _, value := range []string{b.Old, b.New} {
		if value == "" {
			continue // old is absent where nothing stood there; new is required
		}
		if _, err := (Body{}).with(b.What, value); err != nil {
			return fmt.Errorf("says what no entry can: %w", err)
		}
	}
	if b.Old == b.New {
		return errors.New("changes nothing")
	}
	return nil
}

// validateSignoff holds the rules of a sign-off that can be seen without the entries it is about.
func (b Body) validateSignoff() error {
	switch {
	case b.From > b.To:
		return fmt.Errorf("goes from entry %d to %d", b.From, b.To)
	case b.RunsPassed+b.RunsFailed > b.Count:
		return fmt.Errorf("counts %d runs, of which %d passed and %d failed", b.Count, b.RunsPassed, b.RunsFailed)
	}
	return nil
}

// Place names an entry.
type Place struct {
	Epoch int
	Seq   int64
}

// Place is where the entry stands.
func (e Entry) Place() Place { return Place{e.Epoch, e.Seq} }

// About is the entry that a correction is about.
func (b Body) About() Place { return Place{b.EntryEpoch, b.EntrySeq} }

// Corrections are the corrections of a ledger, or of a part of it, by the entry they are about. The zero value holds none.
type Corrections struct {
	of map[Place][]Entry
	n  int
}

// Add takes a correction in; entries of other kinds are not kept. Corrections must come in the order of the ledger.
func (c *Corrections) Add(e Entry) {
	if e.Body.Kind != KindCorrection {
		return
	}
	if c.of == nil {
		c.of = map[Place][]Entry{}
	}
	c.of[e.Body.About()] = append(c.of[e.Body.About()], e)
	c.n++
}

// Len is how many there are.
func (c *Corrections) Len() int { return c.n }

// Of returns the corrections of an entry, oldest first.
func (c *Corrections) Of(at Place) []Entry { return c.of[at] }

// Newest returns the correction of an entry that counts for each field, in the order of the fields' names.
func (c *Corrections) Newest(at Place) []Entry {
	var newest []Entry
	for _, e := range c.of[at] {
		newest = slices.DeleteFunc(newest, func(x Entry) bool { return x.Body.What == e.Body.What })
		newest = append(newest, e)
	}
	slices.SortFunc(newest, func(x, y Entry) int { return strings.Compare(x.Body.What, y.Body.What) })
	return newest
}

// Apply returns what an entry should have said by all its corrections. The entry itself stays as it is.
func (c *Corrections) Apply(e Entry) Body {
	b := e.Body
	for _, by := range c.Of(e.Place()) {
		if corrected, err := b.with(by.Body.What, by.Body.New); err == nil && Corrects(b.Kind, by.Body.What) {
			b = corrected
		}
	}
	return b
}

// Judge tells what is wrong with a correction of the entry e; earlier are the corrections of e before it, oldest first.
func Judge(correction Body, e Entry, earlier []Entry) error {
	field := correction.What
	if !Corrects(e.Body.Kind, field) {
		return fmt.Errorf("corrects %s of a %s entry, which has none that could be", field, e.Body.Kind)
	}
	stood := e.Body.Value(field)
	for _, by := range earlier {
		if by.Body.What == field {
			stood = by.Body.New
		}
	}
	if correction.Old != stood {
		return fmt.Errorf("corrects %s of entry %d of epoch %d from %q, but %q stood there", field, e.Seq, e.Epoch, correction.Old, stood)
	}
	return nil
}
