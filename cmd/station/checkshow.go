// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"provisioning.example/station/internal/conform"
)

// checkShow shows the checks of a board test to a person or a script.
type checkShow struct {
	w     io.Writer
	json  bool
	bytes string // "", wrong or all
}

// checkObject is one check, or at the end the summary, for scripts.
type checkObject struct {
	Event    string        `json:"event"` // check
	ID       string        `json:"id"`
	Section  string        `json:"section"`
	What     string        `json:"what"`
	Verdict  string        `json:"verdict"` // ok, wrong, not-checked; outside: there is nothing to check
	Step     string        `json:"step,omitempty"`
	Expected string        `json:"expected,omitempty"`
	Got      string        `json:"got,omitempty"`
	Reason   string        `json:"reason,omitempty"`
	Bytes    []frameObject `json:"bytes,omitempty"`
}

type frameObject struct {
	From string `json:"from"` // station or board
	Hex  string `json:"hex"`
}

type checkSummary struct {
	Event      string `json:"event"` // summary
	OK         int    `json:"ok"`
	Wrong      int    `json:"wrong"`
	NotChecked int    `json:"not_checked"`
	Outside    int    `json:"outside"`
	First      string `json:"first_wrong,omitempty"`
	Section    string `json:"section,omitempty"` // that the first wrong one is about
	Blank      bool   `json:"blank"`
}

func (s *checkShow) frames(r conform.Result) []conform.Frame {
	if s.bytes == "all" || s.bytes == "wrong" && r.Verdict == conform.Wrong {
		return r.Frames
	}
	return nil
}

// encode writes one object a line; whoever reads may go away.
func (s *checkShow) encode(v any) { _ = json.NewEncoder(s.w).Encode(v) }

// verdictWord is a verdict for scripts.
func verdictWord(r conform.Result) string {
	switch {
	case r.Verdict == conform.OK:
		return "ok"
	case r.Verdict == conform.Wrong:
		return "wrong"
	case r.Outside:
		return "outside"
	}
	return "not-checked"
}

// result shows one check.
func (s *checkShow) result(r conform.Result) {
	if s.json {
		o := checkObject{
			Event: "check", ID: r.ID, Section: r.Section, What: r.What, Step: r.Step, Expected: r.Expected, Got: r.Got,
			Reason:  r.Reason,
			Verdict: verdictWord(r),
		}
		for _, f := range s.frames(r) {
			o.Bytes = append(o.Bytes, frameObject{sender(f, "station", "board"), hex.EncodeToString(f.Bytes)})
		}
		s.encode(o)
		return
	}
	const under = "                                     "
	fmt.Fprintf(s.w, "%-11s  %-22s  %s\n", r.Verdict, r.ID, r.What)
	switch r.Verdict {
	case conform.Wrong:
		fmt.Fprintf(s.w, "%sstep      %s\n%sexpected  %s\n%sgot       %s\n", under, oneLine(r.Step), under, oneLine(r.Expected), under, oneLine(r.Got))
		fmt.Fprintf(s.w, "%ssee       docs/protocol.md, section %s\n", under, r.Section)
	case conform.NotChecked:
		fmt.Fprintf(s.w, "%sbecause   %s\n", under, oneLine(r.Reason))
	}
	for _, f := range s.frames(r) {
		fmt.Fprintf(s.w, "%s%s %x\n", under, sender(f, "station >", "board   <"), f.Bytes)
	}
}

func sender(f conform.Frame, station, board string) string {
	if f.Sent {
		return station
	}
	return board
}

// close shows the summary and turns it into the command's outcome.
func (s *checkShow) close(sum conform.Summary) error {
	if s.json {
		o := checkSummary{Event: "summary", OK: sum.OK, Wrong: sum.Wrong, NotChecked: sum.NotChecked, Outside: sum.Outside, Blank: sum.Blank}
		if sum.First != nil {
			o.First, o.Section = sum.First.ID, sum.First.Section
		}
		s.encode(o)
	} else {
		end := "the board is blank"
		if !sum.Blank {
			end = "the board is not blank"
		}
		fmt.Fprintf(s.w, "%d ok, %d wrong, %d not checked, %d about what this board does not have; %s\n", sum.OK, sum.Wrong, sum.NotChecked, sum.Outside, end)
	}
	switch {
	case sum.First != nil:
		f := sum.First
		return exit(exitUnits, fmt.Errorf("%s is wrong: %s: expected %s, got %s", f.ID, f.Step, f.Expected, f.Got),
			"see docs/protocol.md, section "+f.Section+"; --bytes shows what passed on the line")
	case !sum.Passed():
		return exit(exitUnits, errors.New("not everything could be checked"), "the lines above say why; a board that pins a root needs --ca-cert and --ca-key")
	}
	return nil
}
