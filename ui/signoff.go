// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"
	"strings"

	"fyne.io/fyne/v2"

	"provisioning.example/station/internal/provision"
)

// meanings are what a sign-off can say (21 CFR 11.50).
var meanings = []option{{"reviewed", "reviewed"}, {"released", "released"}, {"responsible", "responsible for it"}}

// signOffTool is the button that signs for what was made.
func (u *UI) signOffTool() tool {
	if u.cfg.Desk.QA == nil {
		return tool{}
	}
	return tool{name: "sign-off", word: "Sign off", key: fyne.KeyF4, do: u.signOff}
}

// signOff asks for a signature under everything since the last one, or under
// the order and the days that the search names.
func (u *UI) signOff() {
	w := u.ledger.taken.wish
	scope := provision.Scope{Order: w.Order, Since: w.From, Until: w.To}
	u.threads.aside(func(ctx context.Context) func() {
		spans, err := u.cfg.Desk.QA.Spans(ctx, scope)
		return func() {
			switch {
			case err != nil:
				u.ledger.complain(err.Error())
			case len(spans) == 0:
				u.ledger.complain("There is nothing to sign for: no run has ended " + scopeWords(scope))
			default:
				u.askSignOff(scope, spans)
			}
		}
	})
}

func (u *UI) askSignOff(scope provision.Scope, spans []provision.Span) {
	text := "What ended " + scopeWords(scope) + ": " + spanWords(spans) + "."
	u.openForm("Sign off", text, "Sign", []ask{{name: "form-meaning", label: "I have", options: meanings}},
		func(v values, by provision.Signature) (int64, error) {
			seqs, err := u.cfg.Desk.QA.SignOff(u.threads.ctx, by, spans, provision.Statement{Meaning: v["form-meaning"], Reason: v["form-reason"]})
			if err != nil {
				return 0, err
			}
			return seqs[len(seqs)-1], nil
		},
		func(seq int64) {
			u.ledger.done(fmt.Sprintf("Signed off, on record as entry %s", grouped(seq)))
			u.ledger.first()
		})
}

// scopeWords says what a sign-off is about.
func scopeWords(s provision.Scope) string {
	if s == (provision.Scope{}) {
		return "since the last sign-off"
	}
	var parts []string
	if s.Order != "" {
		parts = append(parts, "for order "+s.Order)
	}
	if !s.Since.IsZero() || !s.Until.IsZero() {
		parts = append(parts, "in the days "+span{s.Since, s.Until}.String())
	}
	return strings.Join(parts, ", ")
}

// spanWords counts what is signed for.
func spanWords(spans []provision.Span) string {
	var count, passed, failed int64
	var where []string
	for _, s := range spans {
		count, passed, failed = count+s.Count, passed+s.Passed, failed+s.Failed
		text := fmt.Sprintf("entries %s to %s", grouped(s.From), grouped(s.To))
		if len(spans) > 1 || s.Epoch > 1 {
			text += fmt.Sprintf(" of epoch %d", s.Epoch)
		}
		where = append(where, text)
	}
	if len(where) > 3 {
		where = append(where[:2], fmt.Sprintf("and %d more epochs", len(where)-2))
	}
	text := fmt.Sprintf("%s attempts in %s; %s passed, %s failed", grouped(count), strings.Join(where, ", "), grouped(passed), grouped(failed))
	if rest := count - passed - failed; rest > 0 {
		text += fmt.Sprintf(", %s spoiled by the station or stopped", grouped(rest))
	}
	return text
}
