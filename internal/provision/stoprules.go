// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/record"
)

// StopRules say when failures speak of more than one board. Each is a number of
// boards, 0 switches the rule off. What counts is what ended since the line was
// last started or resumed; a board that is tried again counts once, and runs that
// a person stopped do not count.
type StopRules struct {
	// InARow boards that did not pass, one after the other in whatever slots,
	// stop the line (F-LINE-01).
	InARow int
	// SameFault is the number of slots whose last boards ended with one and the
	// same fault: it stops the line (F-LINE-02). The fault is the station's.
	SameFault int
	// SameSlot boards in a row that did not pass in one slot, while it is that
	// slot alone, hold the slot (F-LINE-03). The fault is its cable or fixture.
	SameSlot int
}

// ending is what the rules look at.
type ending struct {
	slot  int
	uid   string // "" when the board never told
	fault string // code, "" for a pass
}

// stopRule is one rule: what it says of the endings, oldest first, at its limit.
type stopRule struct {
	code  string
	limit func(StopRules) int
	holds func(ends []ending, limit int) (why string, holds bool)
}

// stopRules are tried in this order when a run did not pass; the first that
// holds decides. The slot comes first: a slot that fails alone says nothing of
// the line.
var stopRules = []stopRule{
	{"F-LINE-03", func(r StopRules) int { return r.SameSlot }, sameSlot},
	{"F-LINE-02", func(r StopRules) int { return r.SameFault }, sameFault},
	{"F-LINE-01", func(r StopRules) int { return r.InARow }, inARow},
}

// maxEndings bounds what is remembered, and with it every rule's limit.
const maxEndings = 256

// MaxStopRule is the greatest number that a rule can have.
const MaxStopRule = 100

// streak are the endings since the last pass, newest first, the same board once.
func streak(ends []ending) []ending {
	var out []ending
	seen := map[string]bool{}
	for i := len(ends) - 1; i >= 0 && ends[i].fault != ""; i-- {
		if uid := ends[i].uid; uid == "" || !seen[uid] {
			out = append(out, ends[i])
		}
		seen[ends[i].uid] = true
	}
	return out
}

func inARow(ends []ending, limit int) (string, bool) {
	s := streak(ends)
	if len(s) < limit {
		return "", false
	}
	return fmt.Sprintf("%d boards in a row did not pass, the last with %s", len(s), s[0].fault), true
}

// sameSlot looks at the slot of the last ending: its boards fail, and at least
// one board passed elsewhere meanwhile, or no other slot was used.
func sameSlot(ends []ending, limit int) (string, bool) {
	slot := ends[len(ends)-1].slot
	var own, others []ending
	for _, e := range ends {
		if e.slot == slot {
			own = append(own, e)
		} else {
			others = append(others, e)
		}
	}
	s := streak(own)
	if len(s) < limit || len(others) > 0 && !slices.ContainsFunc(others, func(e ending) bool { return e.fault == "" }) {
		return "", false
	}
	return fmt.Sprintf("%d boards in a row did not pass in slot %d, the last with %s", len(s), slot, s[0].fault), true
}

// sameFault looks at the last ending of each slot.
func sameFault(ends []ending, limit int) (string, bool) {
	code := ends[len(ends)-1].fault
	last := map[int]string{}
	for _, e := range ends {
		last[e.slot] = e.fault
	}
	n := 0
	for _, fault := range last {
		if fault == code {
			n++
		}
	}
	if n < limit || limit < 2 {
		return "", false
	}
	return fmt.Sprintf("%s in %d slots", code, n), true
}

// judge adds a run's end and asks the rules. A rule that holds stops the line,
// or holds the run's slot. st.mu is held.
func (st *Station) judge(s *slot, r *run, failed *Fault) {
	if failed != nil && (Outcome(failed) == record.Aborted || failed.Action == StopStation) {
		return
	}
	e := ending{slot: r.slot, uid: r.uid()}
	if failed != nil {
		e.fault = failed.Code
	}
	if st.ends = append(st.ends, e); len(st.ends) > maxEndings {
		st.ends = st.ends[1:]
	}
	if failed == nil {
		return
	}
	for _, rule := range stopRules {
		limit := rule.limit(st.cfg.Stop)
		if limit < 1 {
			continue
		}
		why, holds := rule.holds(st.ends, limit)
		if !holds {
			continue
		}
		advice := classify("LINE", &fault{rule.code, errors.New(why)})
		if advice.Action == StopStation {
			st.stopped = advice
		} else {
			s.view.Advice = advice
		}
		st.healers.Go(func() { st.recordAdvice(advice) })
		return
	}
}

// recordAdvice puts on record that the rules stopped the line, or a slot.
func (st *Station) recordAdvice(advice *Fault) {
	ctx, cancel := context.WithTimeout(context.Background(), recordLimit)
	defer cancel()
	b := st.stamp(record.Body{
		Kind: record.KindSelfcheck, What: "line", Outcome: record.Failed, Detail: record.Plain(advice.Error(), 500),
	})
	if _, err := st.cfg.Ledger.Append(ctx, ledger.Batch{Bodies: []record.Body{b}}); err != nil {
		st.cfg.Log.Warn("what the rules say of the line is not on record", "advice", advice.Code, "err", err)
	}
}

// forgive forgets what the rules looked at and lets held slots go: a person has
// seen to it. st.mu is held.
func (st *Station) forgive() {
	st.ends = nil
	for _, s := range st.slots {
		s.view.Advice = nil
	}
}
