// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"provisioning.example/station/internal/record"
)

// unitSheet is a unit for the side pane.
func unitSheet(u *unit, now time.Time) sheet {
	s := sheet{share: -1, mono: true, title: u.title()}
	s.note, s.tone, s.icon = u.state()
	if !u.isUnit() {
		s.mono = false
		s.pages = []page{{"unit-entry", "Entry", append(entryFacts(u.entry), proofFacts(u)...)}}
		return s
	}
	s.pages = []page{
		{"unit-overview", "Unit", append(overview(u), proofFacts(u)...)},
		{"unit-certificate", "Certificate", allCertificates(u, now)},
		{"unit-attempts", "Attempts", attempts(u)},
		{"unit-timeline", "Timeline", timeline(u)},
		{"unit-entry", "Entry", entryFacts(u.entry)},
	}
	return s
}

func (u *unit) title() string {
	b := u.entry.Body
	switch {
	case b.Serial != "":
		return b.Serial
	case b.UID != "":
		return b.UID
	case b.Run != "":
		return "Run " + b.Run[:8]
	}
	return "Entry " + entryNumber(u.entry)
}

// state is what became of the unit, in one line.
func (u *unit) state() (text string, t tone, icon string) {
	if !u.isUnit() {
		text, t = entryWords(u.entry.Body)
		return text, t, ""
	}
	final := u.last(record.KindEnd, record.KindBegun, record.KindRework, record.KindScrap, record.KindRenewed, record.KindRevoked)
	if final == nil {
		return "Nothing was begun", soft, ""
	}
	text, t = entryWords(final.Body)
	switch {
	case final.Body.Kind == record.KindBegun:
		return "Being provisioned: " + text, soft, ""
	case final.Body.Kind == record.KindRenewed:
		return text, good, "pass"
	case final.Body.Outcome == record.Passed:
		return text, good, "pass"
	case final.Body.Outcome == record.Failed:
		return text, bad, "fail"
	}
	return text, t, "stop"
}

// overview is what the unit is and what became of it.
func overview(u *unit) (out []fact) {
	add := func(label, text string) {
		if text != "" {
			out = append(out, fact{label: label, text: text})
		}
	}
	seen := u.about()
	add("Serial", seen.Serial)
	add("Model", strings.TrimSpace(seen.Model+" "+seen.Hardware))
	if seen.UID != "" {
		out = append(out, fact{label: "Device ID", text: seen.UID, style: mono})
	}
	add("Firmware", strings.TrimSpace(seen.Firmware+" "+seen.FirmwareVersion))
	add("Order", seen.Order)
	add("Product", seen.Product)
	add("Profile", seen.Profile)
	if end := u.last(record.KindEnd); end != nil {
		add("Last attempt", fmt.Sprintf("%s, by %s", localTime(end.Body.Time), end.Body.Operator))
		out = append(out, faultFacts(end.Body)...)
	}
	for _, e := range u.entries {
		switch e.Body.Kind {
		case record.KindCorrection, record.KindRework, record.KindScrap, record.KindRevoked:
			text, t := entryWords(e.Body)
			out = append(out, fact{label: kindLabel(e.Body.Kind), text: text, tone: t, entry: e.Place()},
				fact{label: " ", text: fmt.Sprintf("%s, by %s: %s", localTime(e.Body.Time), e.Body.Operator, e.Body.Reason), tone: soft})
		}
	}
	return out
}

func kindLabel(kind string) string {
	return map[string]string{
		record.KindCorrection: "Corrected", record.KindRework: "Rework", record.KindScrap: "Scrap", record.KindRevoked: "Revoked",
	}[kind]
}

// about gathers what the entries say of the unit; the newest that says
// something counts.
func (u *unit) about() (b record.Body) {
	fill := func(have *string, with string) {
		if *have == "" {
			*have = with
		}
	}
	for i := len(u.entries) - 1; i >= 0; i-- {
		e := u.entries[i].Body
		if e.Kind == record.KindCorrection {
			continue // it says what an entry should have said, not what the unit is
		}
		for _, f := range []struct{ have, with *string }{
			{&b.Serial, &e.Serial},
			{&b.Model, &e.Model},
			{&b.UID, &e.UID},
			{&b.Hardware, &e.Hardware},
			{&b.Firmware, &e.Firmware},
			{&b.FirmwareVersion, &e.FirmwareVersion},
			{&b.Order, &e.Order},
			{&b.Product, &e.Product},
			{&b.Profile, &e.Profile},
		} {
			fill(f.have, *f.with)
		}
	}
	return b
}

// proofFacts is what holds the entry that was chosen.
func proofFacts(u *unit) []fact {
	e, p := u.entry, u.proof
	out := []fact{{heading: "What holds entry " + entryNumber(e)}}
	switch {
	case !p.covered:
		out = append(out, fact{label: "Checkpoint", text: "none covers it yet", tone: doubtful})
	default:
		c, err := record.ReadCheckpoint(p.covering.Note)
		text := fmt.Sprintf("signed over the first %s entries", grouped(p.covering.Size))
		if err == nil {
			text += " of " + c.Origin.String()
		}
		out = append(out, fact{label: "Checkpoint", text: text, tone: good})
		if p.included {
			out = append(out, fact{label: "Place in the tree", text: "computed anew: it fits", tone: good})
		} else {
			out = append(out, fact{label: "Place in the tree", text: p.problem, tone: bad})
		}
	}
	if b := e.Body; b.Kind == record.KindEnd {
		out = append(out, receiptFact(b))
	}
	switch {
	case p.sealed && p.seal.Place() == e.Place():
		out = append(out, fact{label: "Seal", text: fmt.Sprintf("this is the seal at %s of the TPM's counter", grouped(p.seal.Body.NV)), tone: good})
	case p.sealed:
		out = append(out, fact{label: "Seal", text: fmt.Sprintf("at %s of the TPM's counter, by entry %s", grouped(p.seal.Body.NV), entryNumber(p.seal)), tone: good, entry: p.seal.Place()})
	default:
		out = append(out, fact{label: "Seal", text: "none since: the next one seals it", tone: soft})
	}
	return out
}

// receiptFact tells whether the board signed for what it stores.
func receiptFact(b record.Body) fact {
	if b.Receipt == nil {
		return fact{label: "Receipt", text: "none: the board did not sign for what it stores", tone: soft}
	}
	text := "the board signed for what it stores"
	if b.Receipt.Alg != "" {
		text += " (" + b.Receipt.Alg + ")"
	}
	return fact{label: "Receipt", text: text, tone: good}
}

func allCertificates(u *unit, now time.Time) (out []fact) {
	if len(u.certs) == 0 {
		return []fact{{text: "No certificate was issued for this unit.", tone: soft}}
	}
	for i, c := range u.certs {
		if len(u.certs) > 1 {
			out = append(out, fact{heading: fmt.Sprintf("Certificate %d of %d", len(u.certs)-i, len(u.certs))})
		}
		out = append(out, certFacts(c, now)...)
	}
	return out
}

// attempts are the runs on the unit, newest first.
func attempts(u *unit) (out []fact) {
	runs := map[string][]record.Entry{}
	var order []string
	for _, e := range u.entries {
		run := e.Body.Run
		if run == "" {
			continue
		}
		if runs[run] == nil {
			order = append(order, run)
		}
		runs[run] = append(runs[run], e)
	}
	for i := len(order) - 1; i >= 0; i-- {
		out = append(out, attempt(i+1, runs[order[i]])...)
	}
	if len(out) == 0 {
		return []fact{{text: "Nobody tried this unit yet.", tone: soft}}
	}
	return out
}

// attempt is one run; n counts those on the unit, from 1.
func attempt(n int, entries []record.Entry) []fact {
	first, last := entries[0], entries[len(entries)-1]
	b := last.Body
	out := []fact{{heading: fmt.Sprintf("Attempt %d, %s", n, localTime(first.Body.Time))}}
	if b.Kind != record.KindEnd {
		words, _ := entryWords(b)
		return append(out, fact{label: "Result", text: "not ended; last: " + words, tone: doubtful, entry: last.Place()})
	}
	words, t := entryWords(b)
	out = append(out, fact{label: "Result", text: words, tone: t, entry: last.Place()})
	out = append(out, faultFacts(b)...)
	where := ""
	if b.Slot > 0 {
		where = "slot " + strconv.Itoa(b.Slot) + ", "
	}
	out = append(out, fact{label: "Where", text: strings.TrimSuffix(where+b.Port, ", ")}, fact{label: "Operator", text: b.Operator})
	if b.Duration > 0 {
		out = append(out, fact{label: "Took", text: seconds(b.Duration)})
	}
	for i, s := range b.Steps {
		label := "Steps"
		if i > 0 {
			label = " "
		}
		text := fmt.Sprintf("%-10s %8s", s.Name, seconds(s.Ms))
		if s.Retries > 0 {
			text += fmt.Sprintf("  sent again %d times", s.Retries)
		}
		out = append(out, fact{label: label, text: text, style: mono})
	}
	return out
}

// seconds writes milliseconds.
func seconds(ms int64) string { return fmt.Sprintf("%.2f"+nbsp+"s", float64(ms)/1000) }

// timeline is everything in its order, oldest first, day by day.
func timeline(u *unit) (out []fact) {
	date, epoch := "", 0
	for _, e := range u.entries {
		when := localTime(e.Body.Time)
		clock := when
		if d, c, ok := strings.Cut(when, " "); ok {
			clock = c
			if d != date || e.Epoch != epoch {
				head := d
				if e.Epoch != epoch && (epoch != 0 || e.Epoch > 1) {
					head += fmt.Sprintf(", epoch %d", e.Epoch)
				}
				out = append(out, fact{heading: head})
				date, epoch = d, e.Epoch
			}
		}
		words, t := entryWords(e.Body)
		f := fact{label: clock, text: words, tone: t, entry: e.Place()}
		if e.Place() == u.entry.Place() {
			f.style = bold
		}
		out = append(out, f)
	}
	return out
}

// entryFacts is an entry field by field, as the ledger has it.
func entryFacts(e record.Entry) []fact {
	out := []fact{
		{label: "Entry", text: fmt.Sprintf("%s of epoch %d", grouped(e.Seq), e.Epoch)},
		{label: "Time", text: localTime(e.Body.Time)},
	}
	d := json.NewDecoder(bytes.NewReader(e.Raw))
	d.UseNumber()
	fields := map[string]any{}
	if err := d.Decode(&fields); err != nil {
		return append(out, fact{text: err.Error(), tone: bad})
	}
	for _, f := range record.Fields() {
		v, ok := fields[f.Name]
		if !ok || f.Name == "time" {
			continue
		}
		text, style := fmt.Sprint(v), mono
		switch v.(type) {
		case map[string]any, []any:
			raw, err := json.Marshal(v)
			if err != nil {
				continue
			}
			text = string(raw)
		}
		if f.Type == record.Text {
			style = plain
		}
		out = append(out, fact{label: f.Name, text: text, style: style})
	}
	return append(out, fact{label: "leaf", text: fmt.Sprintf("%x", e.Leaf[:]), style: mono})
}
