// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

// TestGolden: a unit that passed tries the bench again and again and is not
// changed by it; both ends of a check are on record.
func TestGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := one(t, func(w *world) { w.recordIssuer() })
		defer w.close()
		_, err := w.desk().Golden(t.Context(), named("nobody"), w.lineTo(1))
		wantRefused(t, err, "knows no unit")
		wantOutcome(t, w.run()[1], record.Passed, "")
		b := w.boards[portName(1)]
		spki, chain := string(b.SPKI()), string(b.Chain())
		if last, err := provision.LastGolden(t.Context(), w.reader, uid1); err != nil || !last.At.IsZero() || last.Passed {
			t.Errorf("never checked: %v, %v", last, err)
		}
		for range 2 {
			if _, err := w.desk().Golden(t.Context(), named(uid1), w.lineTo(1)); err != nil {
				t.Fatal(err)
			}
		}
		if b.State() != 3 || string(b.SPKI()) != spki || string(b.Chain()) != chain {
			t.Error("the check changed the board")
		}
		last, err := provision.LastGolden(t.Context(), w.reader, uid1)
		if err != nil || !last.Passed || time.Since(last.At) > time.Minute {
			t.Errorf("checked at %v, %v", last, err)
		}
		b.Close()
		w.boards[portName(1)] = board(t, 2)
		if _, err := w.desk().Golden(t.Context(), named(uid1), w.lineTo(1)); !errors.Is(err, provision.ErrGolden) {
			t.Errorf("with another board: %v", err)
		}
		if last, err := provision.LastGolden(t.Context(), w.reader, uid1); err != nil || last.Passed {
			t.Errorf("after a check that failed: %+v, %v", last, err)
		}
		w.boards[portName(1)].Close()
		w.boards[portName(1)] = nil
		if _, err := w.desk().Golden(t.Context(), named(uid1), w.lineTo(1)); !errors.Is(err, provision.ErrGolden) {
			t.Errorf("without a board: %v", err)
		}
		w.boards = nil
		var outcomes []string
		for _, c := range w.checks() {
			outcomes = append(outcomes, c.Outcome)
			if c.What != provision.GoldenWhat+" "+uid1 || !strings.Contains(c.Detail, portName(1)) {
				t.Errorf("%+v", c)
			}
		}
		if got := strings.Join(outcomes, " "); got != "passed passed failed failed" {
			t.Errorf("on record: %s", got)
		}
		w.wantValid()
	})
}

// TestGoldenLies: a golden unit whose storage or key is not what it was fails.
func TestGoldenLies(t *testing.T) {
	for name, wiped := range map[string]bool{"wiped": true, "scrapped": false} {
		bubble(t, name, func(t *testing.T) {
			w := one(t, func(w *world) { w.recordIssuer() })
			defer w.close()
			wantOutcome(t, w.run()[1], record.Passed, "")
			if !wiped {
				if _, err := w.desk().Scrap(t.Context(), named(uid1), worn); err != nil {
					t.Fatal(err)
				}
				_, err := w.desk().Golden(t.Context(), provision.UnitName{UID: uid1}, w.lineTo(1))
				wantRefused(t, err, "did not pass here")
				return
			}
			w.boards[portName(1)].Close()
			w.boards[portName(1)] = lockedElsewhere(t)
			if _, err := w.desk().Golden(t.Context(), named(uid1), w.lineTo(1)); !errors.Is(err, provision.ErrGolden) {
				t.Errorf("with another key: %v", err)
			}
		})
	}
}
