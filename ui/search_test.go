// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// today is noon in a zone that is not the ledger's.
var today = time.Date(2026, 11, 22, 12, 0, 0, 0, time.FixedZone("CET", 3600))

// meanings are the readings of a text, likeliest first, term by term.
func meaningsOf(text string) (out []string) {
	for _, t := range parseSearch(text, today) {
		var keys []string
		for _, r := range t.readings {
			keys = append(keys, r.key)
		}
		if t.problem != "" {
			keys = []string{"!"}
		}
		out = append(out, strings.Join(keys, "|"))
	}
	return out
}

func TestSearchMeans(t *testing.T) {
	digits := strings.Repeat("ab", 32)
	for text, want := range map[string][]string{
		"":                                    nil,
		"   ":                                 nil,
		"SN-0001":                             {"serial|order|operator"},
		"SN 0001":                             {"serial|order|operator"},
		"SN:0001":                             {"serial|order|operator"},
		"b0a4d001":                            {"serial|id|cert|order|operator"},
		"4711":                                {"serial|id|cert|order|operator"},
		digits:                                {"cert|key|id"},
		colons(make([]byte, 32)):              {"cert|key|id"},
		"f-prove-02":                          {"fault"},
		"FAIL today":                          {"result", "on|serial|order|operator"},
		"2026-11":                             {"on|serial|order|operator"},
		"#48211":                              {"entry"},
		"#2/17":                               {"entry"},
		"#x":                                  {"serial|order|operator"},
		"order:4711 operator:anna":            {"order", "operator"},
		`order:"A B" failed`:                  {"order", "result"},
		"from:2026-11 to:yesterday":           {"from", "to"},
		"on:2026-13-01":                       {"!"},
		"on:2026-11-22..2026-11-01":           {"!"},
		"order:":                              {"!"},
		"kind:scrap kind:nonsense":            {"kind", "!"},
		"entry:0":                             {"!"},
		"id:xyz":                              {"!"},
		"run:00":                              {"!"},
		`""`:                                  {"!"},
		strings.Repeat("failed ", maxTerms+1): slices.Concat(slices.Repeat([]string{"result"}, maxTerms), []string{"!"}),
	} {
		if got := meaningsOf(text); !slices.Equal(got, want) {
			t.Errorf("%q means %q, want %q", text, got, want)
		}
	}
}

func TestSearchNarrows(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2026, 11, d, 0, 0, 0, 0, today.Location()) }
	var got wish
	for _, term := range parseSearch("order:4711 FAIL f-key-01 2026-11-01..2026-11-22 operator:anna kind:end kind:scrap id:B0:A4 entry:2/17", today) {
		term.readings[0].narrow(&got)
	}
	want := wish{reader.Filter{
		Kinds: []string{"end", "scrap"}, Order: "4711", Outcome: record.Failed, Fault: "F-KEY-01", From: day(1), To: day(23), Operator: "anna", UID: "b0a4",
	}, record.Place{Epoch: 2, Seq: 17}}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for text, want := range map[string]string{
		"today": "22 Nov 2026", "yesterday": "21 Nov 2026", "22.11.2026": "22 Nov 2026", "2026-02": "1 Feb 2026 to 28 Feb 2026", "on:..2026-11-02": "to 2 Nov 2026",
		"from:2026-11": "from 1 Nov 2026", "to:2026-11": "to 30 Nov 2026",
	} {
		if r := parseSearch(text, today)[0].readings[0]; r.text != want {
			t.Errorf("%s is shown as %q, want %q", text, r.text, want)
		}
	}
}

// Of several meanings the ledger takes the one it knows, and offers the others
// it knows, too; pressing one of those takes it, pressing the taken one drops it.
func TestSearchAsksTheLedger(t *testing.T) {
	r := filled(t, 40)
	l := listing(t, darkPalette(), readerSource(r))
	example := record.Example(record.KindEnd)
	l.search.setText(example.Operator)
	if p := l.taken.parts; len(p) != 1 || p[0].took.key != "operator" || len(l.entries) != 40 {
		t.Fatalf("an operator is taken for %+v and finds %d", p, len(l.entries))
	}
	uid := fmt.Sprintf("%016x", 8)
	l.search.setText(uid + " passed")
	if p := l.taken.parts; len(p) != 2 || p[0].took.key != "id" || len(l.entries) != 1 || l.entries[0].Body.Serial != "SN-000007" {
		t.Errorf("a device ID is taken for %+v and finds %d", p, len(l.entries))
	}
	l.chips.all[0].Tapped(nil)
	if got := l.search.content(); got != "passed" {
		t.Errorf("without its first part the search is %q", got)
	}
	serial := l.entries[0].Body.CertSerial
	l.search.setText(strings.ToUpper(serial))
	if len(l.entries) != 1 || l.taken.parts[0].took.key != "cert" {
		t.Errorf("a certificate's number is taken for %+v", l.taken.parts)
	}
	l.search.setText("#31")
	if len(l.entries) != 31 || l.entries[0].Seq != 31 {
		t.Errorf("entry 31 shows %d entries from %d", len(l.entries), l.entries[0].Seq)
	}
	l.search.setText("on:never")
	if len(l.entries) != 0 || !strings.HasPrefix(l.status.full, "a date is") {
		t.Errorf("a date that is none shows %d entries and %q", len(l.entries), l.status.full)
	}
}

// FuzzSearch: whatever is typed or scanned means something or says why not, and
// every meaning, typed as it is offered, is that meaning alone.
func FuzzSearch(f *testing.F) {
	for _, seed := range []string{"SN 0001", "#1/48211", `order:"A B" 2026-11..today F-KEY-01`, "AB:cd:ef", "from:2026-02 fail", `""`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4*maxLabel {
			return
		}
		terms := parseSearch(text, today)
		if len(terms) > maxTerms+1 {
			t.Fatalf("%d terms", len(terms))
		}
		for _, term := range terms {
			if (len(term.readings) == 0) == (term.problem == "") {
				t.Fatalf("%q: %d readings, problem %q", term.typed, len(term.readings), term.problem)
			}
			for _, r := range term.readings {
				var w wish
				r.narrow(&w)
				again := parseSearch(r.String(), today)
				if len(again) != 1 || len(again[0].readings) != 1 || again[0].readings[0].text != r.text {
					t.Fatalf("%q offers %q, which means %+v", text, r, again)
				}
			}
		}
	})
}
