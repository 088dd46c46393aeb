// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

// correctable tells whether a person could have got anything wrong in an
// entry.
func correctable(e record.Entry) bool { return len(correctableFields(e.Body.Kind)) > 0 }

func correctableFields(kind string) []string {
	return slices.DeleteFunc(record.Correctable(), func(field string) bool { return !record.Corrects(kind, field) })
}

// correct asks for a correction of the entry in the pane.
func (u *UI) correct(of *unit) {
	e := of.entry
	u.threads.aside(func(ctx context.Context) func() {
		all, err := u.cfg.Desk.QA.Corrections(ctx)
		return func() {
			if err != nil {
				u.ledger.complain(err.Error())
				return
			}
			u.askCorrection(e, all.Apply(e))
		}
	})
}

// askCorrection shows the form. stood is what the entry says, with the
// corrections there are already.
func (u *UI) askCorrection(e record.Entry, stood record.Body) {
	var fields []option
	for _, field := range correctableFields(e.Body.Kind) {
		fields = append(fields, option{field, field + ": " + cmp.Or(stood.Value(field), "nothing")})
	}
	title := "Correct entry " + entryNumber(e)
	if e.Body.Serial != "" {
		title += " of " + e.Body.Serial
	}
	asks := []ask{
		{name: "form-what", label: "It says", options: fields},
		{name: "form-new", label: "It should say", hint: "the right value"},
	}
	u.openForm(title, "The entry stays as it is. The correction is a new entry with your name and your reason.", "Record", asks,
		func(v values, by provision.Signature) (int64, error) {
			field := v["form-what"]
			done, err := u.cfg.Desk.QA.Correct(u.threads.ctx, by, provision.Correction{
				Epoch: e.Epoch, Seq: e.Seq, Field: field, Old: stood.Value(field), New: v["form-new"], Reason: v["form-reason"],
			})
			if err != nil {
				return 0, err
			}
			return done.Seq, nil
		},
		func(seq int64) {
			u.ledger.done(fmt.Sprintf("The correction is on record as entry %s", grouped(seq)))
			u.ledger.load(false)
			u.ledger.look(e.Place())
		})
}

// openForm asks for something that is signed for: reason, and where there is a
// register of operators id and PIN, come after the asks given. act runs away
// from the drawing goroutine.
func (u *UI) openForm(title, text, word string, asks []ask, act func(values, provision.Signature) (int64, error), done func(seq int64)) {
	if u.prompt != nil {
		return
	}
	asks = append(asks, ask{name: "form-reason", label: "Reason", hint: "in your own words"})
	if u.cfg.Desk.QA.Registered() {
		asks = append(asks,
			ask{name: "form-person", label: "Signed by", hint: "your id, or scan your badge", value: u.cfg.Desk.Person},
			ask{name: "form-pin", label: "PIN", hint: "your PIN", secret: true})
	}
	var f *form
	gone := func() {
		u.prompt = nil
		u.refocus()
		u.threads.changed()
	}
	f = newForm(u.palette, u.window.Canvas(), title, text, word, asks, func(f *form) { u.sendForm(f, act, done) }, gone)
	u.prompt = f
	f.focus(0)
	for f.at < len(f.rows)-1 && f.rows[f.at].options != nil {
		f.focus(f.at + 1) // a choice has a value already
	}
	u.threads.changed()
}

// sendForm acts on what was typed. The PIN leaves its field here and is wiped
// as soon as it was tried.
func (u *UI) sendForm(f *form, act func(values, provision.Signature) (int64, error), done func(seq int64)) {
	if empty := f.firstEmpty(); empty != "" {
		f.refuse("Fill in every field.", empty)
		u.threads.changed()
		return
	}
	v := f.values()
	by := provision.Signature{Operator: v["form-person"], PIN: f.secret("form-pin")}
	u.threads.aside(func(context.Context) func() {
		seq, err := act(v, by)
		clear(by.PIN)
		return func() {
			if err != nil {
				f.refuse(refusal(err), f.whereToGoOn())
			} else {
				f.close()
				done(seq)
			}
			u.threads.changed()
		}
	})
}

// refusal is why something was not recorded, for who asked.
func refusal(err error) string {
	text := err.Error()
	if errors.Is(err, provision.ErrRefused) {
		text = strings.TrimPrefix(text, provision.ErrRefused.Error()+": ")
	}
	return text
}

// firstEmpty names the first row without text, "" if there is none.
func (f *form) firstEmpty() string {
	for _, r := range f.rows {
		if len(r.field.text) == 0 {
			return r.name
		}
	}
	return ""
}

// whereToGoOn names the row to mend a refused form from: the PIN, which is gone,
// or where none was asked for, the first that can be typed into.
func (f *form) whereToGoOn() string {
	for _, r := range slices.Backward(f.rows) {
		if r.field.secret {
			return r.name
		}
	}
	return f.rows[slices.IndexFunc(f.rows, func(r *formRow) bool { return r.options == nil })].name
}
