// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fyne.io/fyne/v2"
)

// auditing is the audit that goes on, or the last one's verdict.
type auditing struct {
	run     func(context.Context, func(Progress)) (Verdict, error) // nil: there is none
	button  *button
	stop    context.CancelFunc // nil: no audit goes on
	began   time.Time
	at      Progress
	verdict *Verdict
	problem string // why there is no verdict
	ended   time.Time
	shown   bool // in the pane
}

// verifyTool is the button that audits the ledger.
func (l *ledgerScreen) verifyTool(run func(context.Context, func(Progress)) (Verdict, error)) tool {
	if run == nil {
		return tool{}
	}
	l.audit.run = run
	return tool{name: "verify", word: "Verify", key: fyne.KeyF6, do: l.verify}
}

// verify shows the audit that goes on or the last verdict; where that is on
// the screen already, or there is none, it begins another one.
func (l *ledgerScreen) verify() {
	a := &l.audit
	known := a.stop != nil || a.verdict != nil || a.problem != ""
	if !known || a.stop == nil && l.showsAudit() {
		l.beginAudit()
	}
	l.unit = nil
	l.looked++
	a.shown = true
	l.openPane(a.sheet(l))
}

func (l *ledgerScreen) showsAudit() bool { return l.open && l.audit.shown }

func (l *ledgerScreen) beginAudit() {
	gone, cancel := context.WithCancel(context.Background())
	a := &l.audit
	a.stop, a.began, a.at, a.verdict, a.problem = cancel, time.Now(), Progress{}, nil, ""
	tell := latest(l.report, func(p Progress) {
		if a.stop != nil {
			a.at = p
			l.showAudit()
		}
	})
	l.aside(func(ctx context.Context) func() {
		ctx, end := context.WithCancel(ctx)
		defer end()
		defer context.AfterFunc(gone, end)()
		v, err := a.run(ctx, tell)
		return func() { l.endAudit(v, err) }
	})
}

// cancelAudit gives up. The verdict that is on its way is dropped.
func (l *ledgerScreen) cancelAudit() {
	if l.audit.stop != nil {
		l.audit.stop()
	}
}

func (l *ledgerScreen) endAudit(v Verdict, err error) {
	a := &l.audit
	a.stop()
	a.stop, a.ended = nil, time.Now()
	switch {
	case errors.Is(err, context.Canceled):
		a.problem = "It was cancelled; nothing is known of the ledger."
	case err != nil:
		a.problem = err.Error()
	default:
		a.verdict = &v
	}
	l.showAudit()
}

// showAudit brings button and pane up to date.
func (l *ledgerScreen) showAudit() {
	a, p := &l.audit, l.palette
	look := buttonLook{p.idle, p.edge, p.text}
	switch v := a.verdict; {
	case a.stop != nil && a.at.All > 0:
		a.button.set(fmt.Sprintf("%d"+nbsp+"%%", a.at.Done*100/a.at.All), "", look, true)
	case a.stop != nil:
		a.button.set("Verifying", "", look, true)
	case v == nil:
		a.button.set("Verify", "", look, true)
	case !v.Valid:
		look.back, look.hover, look.ink = p.field, p.field, p.bad
		a.button.set("Not valid", "stop", look, true)
	case !v.Proven:
		look.back, look.hover, look.ink = p.field, p.field, p.caution()
		a.button.set("Unproven", "", look, true)
	default:
		look.back, look.hover, look.ink = p.field, p.field, p.good
		a.button.set("Valid", "pass", look, true)
	}
	if l.showsAudit() {
		l.pane.show(a.sheet(l))
		l.arrange(l.box.Size())
	}
	l.changed()
}

// sheet is the audit for the side pane.
func (a *auditing) sheet(l *ledgerScreen) sheet {
	s := sheet{title: "Verify the ledger", share: -1, tone: soft}
	again := action{name: "verify-again", word: "Verify again", icon: "retry", key: fyne.KeyF6, do: l.verify}
	switch v := a.verdict; {
	case a.stop != nil:
		return a.going(s, l)
	case v == nil:
		s.icon, s.tone, s.note = "stop", doubtful, "There is no verdict"
		s.pages = []page{{"verify-verdict", "Verdict", []fact{{text: a.problem}}}}
	default:
		s.icon, s.tone, s.note = "stop", bad, "The ledger is NOT valid"
		switch {
		case v.Valid && v.Proven:
			s.icon, s.tone, s.note = "pass", good, "Valid, and proven"
		case v.Valid:
			s.icon, s.tone, s.note = "health-warn", doubtful, "Nothing is wrong, but not all is proven"
		}
		facts := []fact{{text: v.Line, tone: s.tone}, {}}
		for _, line := range v.Summary {
			facts = append(facts, fact{text: line})
		}
		facts = append(facts, fact{}, fact{text: fmt.Sprintf("Judged %s, in %s.", a.ended.Format("2006-01-02 15:04:05"), a.ended.Sub(a.began).Round(10*time.Millisecond)), tone: soft})
		s.pages = []page{{"verify-verdict", "Verdict", facts}, {"verify-details", "Details", detailFacts(v.Details)}}
	}
	s.acts = []action{again}
	return s
}

// going is the audit while it goes on.
func (a *auditing) going(s sheet, l *ledgerScreen) sheet {
	s.share, s.note = 0, a.at.Doing
	if s.note == "" {
		s.note = "Beginning"
	}
	text := "Everything is hashed again, every signature is checked, every unit is followed. The line works on meanwhile."
	facts := []fact{{text: text}}
	if a.at.All > 0 {
		s.share = float32(a.at.Done) / float32(a.at.All)
		facts = append(facts, fact{}, fact{label: "Entries", text: fmt.Sprintf("%s of %s", grouped(a.at.Done), grouped(a.at.All))})
	}
	s.pages = []page{{"verify-progress", "Progress", facts}}
	s.acts = []action{{name: "verify-cancel", word: "Cancel", icon: "clear", key: fyne.KeyF3, do: l.cancelAudit}}
	return s
}

func detailFacts(lines []string) (out []fact) {
	for _, line := range lines {
		out = append(out, fact{text: line})
	}
	if len(out) == 0 {
		return []fact{{text: "There is nothing to add.", tone: soft}}
	}
	return out
}
