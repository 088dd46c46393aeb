// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fmt"
	"image/color"
	"path/filepath"
	"strconv"
	"strings"

	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

// nbsp keeps the parts of a number on one line.
const nbsp = " "

// grouped writes a number in groups of three digits: 48 211.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteString(nbsp)
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// footnote is the small line of a card: which attempt it is, whether the
// result is only a simulation, and where the board is plugged in.
func footnote(v provision.SlotView, simulated bool) string {
	var parts []string
	if v.State == provision.Pass && simulated {
		parts = append(parts, "simulated TPM")
	}
	if v.Attempt > 1 {
		parts = append(parts, fmt.Sprintf("attempt %d", v.Attempt))
	}
	if v.Port != "" {
		parts = append(parts, filepath.Base(v.Port))
	}
	return strings.Join(parts, " · ")
}

// startWord is what the big button says.
func startWord(ready, busy int) string {
	switch {
	case ready == 1:
		return "PROVISION 1 BOARD"
	case ready > 1:
		return fmt.Sprintf("PROVISION %d BOARDS", ready)
	case busy == 1:
		return "1 BOARD RUNNING"
	case busy > 1:
		return fmt.Sprintf("%d BOARDS RUNNING", busy)
	}
	return "NO BOARD READY"
}

// scanHint is what the scan field asks for.
func scanHint(slot int) string {
	if slot > 0 {
		return fmt.Sprintf("Scan the label of slot %d", slot)
	}
	return "No board waits for a label"
}

// orderLine is the order and how far it is.
func orderLine(s provision.Snapshot) string {
	var parts []string
	if s.Order != "" {
		parts = append(parts, "Order "+s.Order)
	}
	switch {
	case s.Quantity > 0:
		parts = append(parts, fmt.Sprintf("%s of %s", grouped(int64(s.Done)), grouped(int64(s.Quantity))))
	case s.Done > 0:
		parts = append(parts, grouped(int64(s.Done))+" done")
	}
	return strings.Join(parts, "   ")
}

// yieldWord is the first-pass yield in percent.
func yieldWord(c provision.Counters) string {
	permille, ok := c.Yield()
	if !ok {
		return "–"
	}
	return fmt.Sprintf("%d.%d"+nbsp+"%%", permille/10, permille%10)
}

// running counts the busy slots.
func running(slots []provision.SlotView) int {
	n := 0
	for _, v := range slots {
		if v.State == provision.Busy {
			n++
		}
	}
	return n
}

// localTime writes an entry's time as the clock on the wall has it. A time
// that cannot be read is shown as it stands.
func localTime(stamp string) string {
	t, err := record.ParseTime(stamp)
	if err != nil {
		return stamp
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// entryNumber is an entry's number, with its epoch where that is not the first.
func entryNumber(e record.Entry) string {
	if e.Epoch > 1 {
		return fmt.Sprintf("%d/%s", e.Epoch, grouped(e.Seq))
	}
	return grouped(e.Seq)
}

// outcomeLook is word, drawing and colour of how an entry ended; an entry that
// is not an end shows its kind.
func outcomeLook(p *palette, b record.Body) (word, drawing string, ink color.NRGBA) {
	switch b.Outcome {
	case "":
		return b.Kind, "", p.soft
	case record.Passed:
		return "PASS", "pass", p.good
	case record.Failed:
		return "FAIL", "fail", p.bad
	default:
		return b.Outcome, "stop", p.bad
	}
}

// runningWord says how many boards run, in a sentence.
func runningWord(n int) string {
	if n == 1 {
		return "1 board is running"
	}
	return fmt.Sprintf("%d boards are running", n)
}
