// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"provisioning.example/station/internal/provision"
)

// closeLimit is how long closing waits for the runs to come to an end. A run
// cut off there is resumed from the ledger at the next start.
const closeLimit = 2 * time.Minute

// close asks before runs are interrupted, then ends them and the program.
func (u *UI) close() {
	busy := u.cfg.Station.Busy()
	if busy == 0 || u.closing {
		u.shutDown()
		return
	}
	text := "Every board stops at its next safe point and its state is recorded. It can be finished later without a second certificate."
	u.ask(fmt.Sprintf("Close while %s?", runningWord(busy)), text, nil,
		answer{name: "close-no", word: "Keep running"},
		answer{name: "close-yes", word: "Stop and close", strong: true, do: u.shutDown})
}

func (u *UI) shutDown() {
	if u.closing {
		return
	}
	u.closing = true
	u.complain("Closing: the running boards come to an end.")
	u.threads.aside(func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, closeLimit)
		defer cancel()
		// Whether all runs ended in time or not, the ledger says where each one is.
		_ = u.cfg.Station.Stop(ctx)
		return u.window.Close
	})
}

// ask puts a panel over the screen.
func (u *UI) ask(title, text string, facts [][2]string, answers ...answer) {
	if u.prompt != nil {
		return
	}
	u.prompt = newPrompt(u.palette, u.window.Canvas(), title, text, facts, func() {
		u.prompt = nil
		u.refocus()
		u.threads.changed()
	}, answers...)
	u.threads.changed()
}

// detail tells everything about a slot that its card has no room for.
func (u *UI) detail(v provision.SlotView) {
	text := v.Note
	answers := []answer{{name: "detail-close", word: "Close", strong: true}}
	if v.Fault != nil && v.State == provision.Fail {
		text = v.Fault.Sentence + " " + v.Fault.Remedy
		if v.Fault.Action != provision.RejectUnit {
			answers = []answer{
				{name: "detail-close", word: "Close"},
				{name: "detail-retry", word: "RETRY", strong: true, do: func() { u.retry(v.Slot) }},
			}
		}
	}
	u.ask(fmt.Sprintf("Slot %d: %s", v.Slot, v.State), text, facts(v, u.steps), answers...)
}

// facts is what is known of a slot, for a panel.
func facts(v provision.SlotView, steps []provision.StepInfo) [][2]string {
	var out [][2]string
	add := func(name, value string) {
		if value != "" && value != "0" {
			out = append(out, [2]string{name, value})
		}
	}
	if v.Fault != nil {
		add("Fault", v.Fault.Code)
	}
	add("Serial", v.Serial)
	add("Device ID", v.UID)
	if v.Step >= 0 && v.Step < len(steps) {
		add("Step", steps[v.Step].Name)
	}
	add("Port", v.Port)
	add("USB location", v.USB)
	add("Attempt", strconv.Itoa(v.Attempt))
	add("Entry", grouped(v.Entry))
	return out
}
