// SPDX-License-Identifier: Apache-2.0

package reader_test

import (
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// narrowings are what a search can narrow a page by, one by one.
var narrowings = map[string]func(*reader.Filter){
	"serial":        func(f *reader.Filter) { f.SerialPrefix = "SN-0" },
	"uid":           func(f *reader.Filter) { f.UID = "00" },
	"certificate":   func(f *reader.Filter) { f.Cert = "00" },
	"serial number": func(f *reader.Filter) { f.CertSerial = "00" },
	"key":           func(f *reader.Filter) { f.SPKI = "00" },
	"run":           func(f *reader.Filter) { f.Run = "00" },
	"order":         func(f *reader.Filter) { f.Order = "WO-1" },
	"operator":      func(f *reader.Filter) { f.Operator = "op-1" },
	"outcome":       func(f *reader.Filter) { f.Outcome = record.Failed },
	"fault":         func(f *reader.Filter) { f.Fault = "F-KEY-01" },
	"from":          func(f *reader.Filter) { f.From = day },
	"to":            func(f *reader.Filter) { f.To = day.Add(time.Hour) },
	"results":       func(f *reader.Filter) { f.Kinds = []string{record.KindEnd} },
}

// TestEverySearchHasAnIndex asks for every two narrowings together, on the first page and on a later one: the entries are looked up, and
// the ledger is never gone through from one end to the other.
func TestEverySearchHasAnIndex(t *testing.T) {
	l := newLedger(t)
	for a, first := range narrowings {
		for b, second := range narrowings {
			var f reader.Filter
			first(&f)
			second(&f)
			for _, after := range []reader.Cursor{{}, {Epoch: 1, Seq: 5}} {
				plan := reader.Plan(t, l.Reader(), f, after, false)
				_, inner, found := strings.Cut(plan, "SUBQUERY")
				byIndex := strings.Contains(inner, "SEARCH entry USING INDEX") || strings.Contains(inner, "SEARCH entry USING COVERING INDEX")
				if !found || strings.Contains(plan, "SCAN") || !byIndex {
					t.Errorf("%s and %s after %v: %s", a, b, after, plan)
				}
			}
		}
	}
}
