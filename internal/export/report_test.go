// SPDX-License-Identifier: Apache-2.0

package export

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/record"
)

// reported writes a report of ends.
func reported(t *testing.T, o Options, bodies ...record.Body) string {
	t.Helper()
	var out bytes.Buffer
	r, err := newReport(&out, o)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range bodies {
		b.Kind = record.KindEnd
		if err := r.row(record.Entry{Epoch: 1, Seq: int64(i + 1), Body: b}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local)

func ended(day, attempt int, outcome, fault string, ms int64) record.Body {
	return record.Body{Time: record.Timestamp(noon.AddDate(0, 0, day)), Outcome: outcome, Fault: fault, Attempt: attempt, Duration: ms}
}

// parts reads what a browser draws: each SVG as XML, and the cells of the tables.
func parts(t *testing.T, page string) (bars map[string]int, cells string) {
	t.Helper()
	bars = map[string]int{}
	for rest := page; ; {
		at := strings.Index(rest, "<svg")
		if at < 0 {
			break
		}
		end := strings.Index(rest[at:], "</svg>")
		if end < 0 {
			t.Fatal("an SVG does not end")
		}
		d := xml.NewDecoder(strings.NewReader(rest[at : at+end+6]))
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%v in %s", err, rest[at:at+end+6])
			}
			if s, ok := token.(xml.StartElement); ok && s.Name.Local == "rect" {
				bars[s.Attr[0].Value]++
			}
		}
		rest = rest[at+end+6:]
	}
	replace := strings.NewReplacer("<tr>", "", "</tr>", "\n", "<td>", "", "</td>", " | ")
	return bars, replace.Replace(page)
}

func TestReportCounts(t *testing.T) {
	page := reported(t, Options{Head: Head{Station: "ulm/st-07", Operator: "op-17", Software: "test", Simulated: true, Created: noon}},
		ended(0, 1, record.Passed, "", 4000), ended(0, 1, record.Failed, "F-PROVE-02", 900), ended(0, 2, record.Passed, "", 4100),
		ended(1, 1, record.Error, "F-OPEN-01", 100), ended(1, 1, record.Aborted, "", 100), ended(1, 1, record.Passed, "", 60000),
		ended(1, 1, record.Failed, "F-PROVE-02", 800),
	)
	bars, cells := parts(t, page)
	for _, want := range []string{
		"2026-11-22 | 3 | 2 | 1 | 0 | 0 | 50.0 % |", "2026-11-23 | 4 | 1 | 1 | 1 | 1 | 50.0 % |",
		"F-PROVE-02 | 2 | 66.7 % |", "F-OPEN-01 | 1 | 33.3 % |", "<b>7</b>runs ended", "<b>50.0 %</b>first-pass yield", "SIMULATED TPM",
		"Half of them took up to 4.2 s, 95 % up to 60.1 s.",
	} {
		if !strings.Contains(cells, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	// Each colour once in the key; yield: 2, 2, 1, 1; Pareto: 2 failed; cycle times: 2 passed (4.0 and 4.1 s stand in one bar).
	if want := fmt.Sprint(map[string]int{"passed": 1 + 2 + 2, "failed": 1 + 2 + 2, "error": 1 + 1, "aborted": 1 + 1}); fmt.Sprint(bars) != want {
		t.Errorf("bars %v, want %s", bars, want)
	}
	if strings.Contains(page, "http:") || strings.Contains(page, "https:") || strings.Contains(page, "<script") {
		t.Error("the report reaches outside itself")
	}
}

func TestReportOfNothingAndOfNastyTexts(t *testing.T) {
	page := reported(t, Options{Head: Head{Station: "<script>alert(1)</script>", Created: noon}, Selection: Selection{Order: "<b>\"&"}})
	parts(t, page)
	if !strings.Contains(page, "No run ended with a fault.") || strings.Contains(page, "<script") || strings.Contains(page, "<b>\"&") {
		t.Error(page)
	}
	page = reported(t, Options{}, ended(0, 1, record.Failed, "<script>", 1))
	if strings.Contains(page, "<script") {
		t.Error("a fault code becomes markup")
	}
}

// TestReportOfYears stays small: days become weeks, months and years.
func TestReportOfYears(t *testing.T) {
	var many []record.Body
	for day := range 40 * 366 {
		many = append(many, ended(day, 1, record.Passed, "", int64(day)))
	}
	for days, unit := range map[int]string{62: "day", 300: "week", 366 * 4: "month", 366 * 40: "year"} {
		page := reported(t, Options{}, many[:days]...)
		if !strings.Contains(page, "<h2>Yield by "+unit) || len(page) > 60_000 {
			t.Errorf("%d days: no plot by %s, %d bytes", days, unit, len(page))
		}
	}
}
