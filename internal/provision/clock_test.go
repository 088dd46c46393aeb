// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

// TestClockFloor judges a wall clock against a ledger and a TPM's clock.
func TestClockFloor(t *testing.T) {
	const hour = 3600 * 1000 // ms
	began := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	start := func(at time.Time, clock int64) record.Body {
		return record.Body{Kind: record.KindStart, TPM: "swtpm", Time: record.Timestamp(at), TPMClock: clock}
	}
	stop := func(at time.Time) record.Body {
		return record.Body{Kind: record.KindStop, Time: record.Timestamp(at)}
	}
	approved := func(at time.Time, clock int64) record.Body {
		return record.Body{Kind: record.KindClock, What: "accepted", Reason: "set", Approver: "qa-1", Time: record.Timestamp(at), TPMClock: clock}
	}
	day := []record.Body{start(began, 100*hour), stop(began.Add(8 * time.Hour))}
	in2036 := append(day[:2:2], stop(began.AddDate(10, 0, 0)))
	for name, c := range map[string]struct {
		entries []record.Body
		now     time.Time
		tpm     uint64
		want    string // "", behind or gap
	}{
		"at the last entry":                {day, began.Add(8 * time.Hour), 108 * hour, ""},
		"within the jump":                  {day, began.Add(8*time.Hour - 4*time.Minute), 0, ""},
		"behind the last entry":            {day, began.Add(8*time.Hour - 6*time.Minute), 108 * hour, "behind"},
		"the TPM knows better":             {day, began.Add(9 * time.Hour), 148 * hour, "behind"},
		"the TPM's rate may be 15% fast":   {day, began.Add(41 * time.Hour), 148 * hour, ""},
		"the TPM's clock went back":        {day, began.Add(9 * time.Hour), 99 * hour, ""},
		"a week without power":             {day, began.Add(8*time.Hour + 7*24*time.Hour), 108 * hour, ""},
		"more than a week without power":   {day, began.Add(9*time.Hour + 7*24*time.Hour), 108 * hour, "gap"},
		"a month under power":              {day, began.Add(30 * 24 * time.Hour), (100 + 30*24) * hour, ""},
		"a year ahead":                     {day, began.AddDate(1, 0, 0), 108 * hour, "gap"},
		"an entry of 2036":                 {in2036, began.Add(9 * time.Hour), 109 * hour, "behind"},
		"an entry of 2036, now accepted":   {append(in2036[:3:3], approved(began.Add(9*time.Hour), 109*hour)), began.Add(10 * time.Hour), 110 * hour, ""},
		"accepted, and then set back":      {append(in2036[:3:3], approved(began.Add(9*time.Hour), 109*hour)), began.Add(8 * time.Hour), 110 * hour, "behind"},
		"accepted, and the TPM went on":    {append(in2036[:3:3], approved(began.Add(9*time.Hour), 109*hour)), began.Add(9 * time.Hour), 209 * hour, "behind"},
		"accepted a gap":                   {append(day[:2:2], approved(began.AddDate(1, 0, 0), 0)), began.AddDate(1, 0, 1), 108 * hour, ""},
		"a TPM that tells nothing":         {day, began.Add(9 * time.Hour), 0, ""},
		"a TPM that tells nonsense":        {day, began.Add(9 * time.Hour), 1 << 63, "behind"},
		"nothing noted, the TPM was asked": {[]record.Body{stop(began)}, began.Add(time.Hour), 500 * hour, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := one(t)
			defer w.close()
			for _, b := range c.entries {
				b.Operator, b.Software = "os:test", "test"
				w.append(b)
			}
			err := provision.CheckClock(t.Context(), w.reader, c.now, provision.TPMClock{Milli: c.tpm})
			var clock *provision.ClockError
			got := ""
			switch {
			case errors.As(err, &clock) && clock.Gap:
				got = "gap"
			case clock != nil:
				got = "behind"
			case err != nil:
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("%q, want %q: %v", got, c.want, err)
			}
		})
	}
}

// TestClockJump sets the wall clock while the station runs: nothing is issued,
// the line stops and says why; when it was set back, the line goes on.
func TestClockJump(t *testing.T) {
	for name, jump := range map[string]time.Duration{"ahead": 6 * time.Minute, "back": -6 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := one(t)
				defer w.close()
				w.station.SetWall(func() time.Time { return time.Now().Add(jump) })
				wantOutcome(t, w.run()[1], record.Error, "F-ISSUE-07")
				if n := len(w.entries(uid1, record.KindIssuing)); n != 0 {
					t.Errorf("%d certificates were about to be signed", n)
				}
				if s := w.station.Snapshot(); s.Stopped == nil || s.Stopped.Code != "F-ISSUE-07" {
					t.Errorf("the line is not stopped: %+v", s.Stopped)
				}
				w.station.SetWall(func() time.Time { return time.Now().Add(jump / 2) })
				w.forget()
				if err := w.station.Retry(1); err != nil {
					t.Fatal(err)
				}
				wantOutcome(t, w.finish()[1], record.Passed, "")
			})
		})
	}
}
