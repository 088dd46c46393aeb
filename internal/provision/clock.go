// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"errors"
	"fmt"
	"time"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

const (
	// MaxClockJump is how far wall and monotonic clock may drift apart while
	// the station runs, and how far the wall clock may be behind what is known
	// at its start.
	MaxClockJump = 5 * time.Minute
	// MaxClockGap is how long a station may have been away before somebody has
	// to say that its clock is right.
	MaxClockGap = 7 * 24 * time.Hour
	// tpmSlack is the part of a hundred by which a TPM's clock may be too fast
	// (Part 1, section 36: its rate is not exact).
	tpmSlack = 15
)

// TPMClock is what a TPM says of time: for how many milliseconds it was powered
// in its life. It goes on without the station, and stands still without power.
// The zero value says nothing.
type TPMClock struct{ Milli uint64 }

// ClockError says that the wall clock does not fit what the ledger and the TPM
// know. Nothing may be recorded by it until it was set, or somebody has said
// that it is right.
type ClockError struct {
	Now   time.Time // what the wall clock shows
	Floor time.Time // it is at least this late
	Gap   bool      // not behind, but ahead by more than MaxClockGap
}

func (e *ClockError) Error() string {
	now, floor := e.Now.UTC().Format(time.DateTime), e.Floor.UTC().Format(time.DateTime)
	if e.Gap {
		return fmt.Sprintf("the clock shows %s UTC, %d days after all that the ledger and the TPM know of (%s): is it right?", now, e.Now.Sub(e.Floor)/(24*time.Hour), floor)
	}
	return fmt.Sprintf("the clock shows %s UTC, but by the ledger and the TPM it is %s or later: set the clock", now, floor)
}

// CheckClock judges what the wall clock shows. It may not be behind the
// ledger's last entry, nor behind the last entry that notes the TPM's clock plus
// what that has gone on since; nor more than MaxClockGap ahead of both. The
// error is a *ClockError if the clock is at fault. An entry of kind clock that
// somebody approved is the last one like any other, so it moves the floor up or
// down.
func CheckClock(ctx context.Context, r *reader.Reader, now time.Time, powered TPMClock) error {
	floor, err := clockFloor(ctx, r, powered)
	switch {
	case err != nil:
		return err
	case floor.IsZero():
		return nil
	case now.Before(floor.Add(-MaxClockJump)):
		return &ClockError{Now: now, Floor: floor}
	case now.After(floor.Add(MaxClockGap)):
		return &ClockError{Now: now, Floor: floor, Gap: true}
	}
	return nil
}

// notBehind is the half of CheckClock that needs no TPM: who opened the ledger
// for work has already asked about a gap.
func notBehind(ctx context.Context, r *reader.Reader) error {
	err := CheckClock(ctx, r, time.Now(), TPMClock{})
	if wrong := (*ClockError)(nil); errors.As(err, &wrong) && wrong.Gap {
		return nil
	}
	return err
}

// clockFloor is the earliest time that it can be, zero for an empty ledger.
func clockFloor(ctx context.Context, r *reader.Reader, powered TPMClock) (time.Time, error) {
	epoch, seq, err := r.Last(ctx)
	if err != nil || seq == 0 {
		return time.Time{}, err
	}
	last, err := r.Entry(ctx, epoch, seq)
	if err != nil {
		return time.Time{}, err
	}
	floor, err := record.ParseTime(last.Body.Time)
	if err != nil || powered.Milli == 0 {
		return floor, err
	}
	noted, err := notedClock(ctx, r, epoch)
	if err != nil || noted == nil || uint64(noted.TPMClock) > powered.Milli {
		return floor, err // a TPM that lost power may have lost the last hour of its clock
	}
	at, err := record.ParseTime(noted.Time)
	if err != nil {
		return floor, err
	}
	gone := min(powered.Milli-uint64(noted.TPMClock), 1<<41) // 70 years
	if by := at.Add(time.Duration(gone*(100-tpmSlack)/100) * time.Millisecond); by.After(floor) {
		floor = by
	}
	return floor, nil
}

// notedClock is the newest entry of the epoch that notes the TPM's clock, nil if
// none does.
func notedClock(ctx context.Context, r *reader.Reader, epoch int) (*record.Body, error) {
	var newest *record.Body
	var at int64
	for _, kind := range []string{record.KindStart, record.KindClock} {
		page, _, _, err := r.Page(ctx, reader.Filter{Kinds: []string{kind}}, reader.Cursor{}, 1)
		if err != nil {
			return nil, err
		}
		if len(page) == 1 && page[0].Epoch == epoch && page[0].Seq > at && page[0].Body.TPMClock > 0 {
			newest, at = &page[0].Body, page[0].Seq
		}
	}
	return newest, nil
}

// clockSane refuses to issue after the wall clock was set while running. It is
// sane again when it was set back.
func (st *Station) clockSane() error {
	jump := st.wall().Round(0).Sub(st.began.Round(0)) - time.Since(st.began)
	if jump.Abs() > MaxClockJump {
		return &fault{"F-ISSUE-07", fmt.Errorf("the clock moved by %s since the station started", jump.Round(time.Second))}
	}
	return nil
}
