// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

// acceptance is somebody's word that the clock is right although it does not
// fit the ledger and the TPM.
type acceptance struct{ reason, approver string }

// clockHint is what to do about a clock that is not believed.
const clockHint = "set the clock; if it is right: station doctor --accept-clock --reason WHY --approver ID"

// judgeClock reads the TPM's clock and judges the machine's, before anything
// is written by it. wrong is what somebody has accepted.
func (b *bench) judgeClock(ctx context.Context) (powered provision.TPMClock, resets uint32, wrong *provision.ClockError, err error) {
	if powered.Milli, resets, _, err = b.tpm.Clock(ctx); err != nil {
		return powered, 0, nil, unfit(err, "see: station doctor")
	}
	r, err := reader.Open(ctx, b.home.ledgerPath())
	if err != nil {
		return powered, 0, nil, unfit(fmt.Errorf("the ledger: %w", err), ledgerHint(err))
	}
	defer r.Close()
	err = provision.CheckClock(ctx, r, time.Now(), powered)
	switch {
	case errors.As(err, &wrong) && b.accept != nil:
		return powered, resets, wrong, nil
	case wrong != nil:
		return powered, 0, nil, unfit(err, clockHint)
	case err != nil:
		return powered, 0, nil, unfit(err, "see: station ledger verify")
	}
	return powered, resets, nil, nil
}

// noteClock records that somebody accepted the clock: the first entry by it, but
// for what the ledger writes of itself when it is opened.
func (b *bench) noteClock(ctx context.Context, powered provision.TPMClock, wrong *provision.ClockError) error {
	if wrong == nil {
		return nil
	}
	what := "accepted behind what was known"
	if wrong.Gap {
		what = "accepted after a gap"
	}
	return b.note(ctx, record.Body{
		Kind: record.KindClock, What: what, Old: record.Timestamp(wrong.Floor), New: record.Timestamp(wrong.Now),
		OffsetMilli: wrong.Now.Sub(wrong.Floor).Milliseconds(), TPMClock: int64(powered.Milli),
		Reason: b.accept.reason, Approver: b.accept.approver,
	})
}

func lookClock(ctx context.Context, x *examination) finding {
	r, err := reader.Open(ctx, x.home.ledgerPath())
	if err != nil {
		return warn("see the ledger's line", "no ledger to compare with")
	}
	defer r.Close()
	var powered provision.TPMClock
	if x.tpm != nil {
		powered.Milli, _, _, _ = x.tpm.Clock(ctx) // the TPM's line tells of a TPM that does not answer
	}
	err = provision.CheckClock(ctx, r, x.now, powered)
	if wrong := (*provision.ClockError)(nil); errors.As(err, &wrong) {
		return stop(clockHint, "%v", err)
	}
	if err != nil {
		return warn("see the ledger's line", "no ledger to compare with")
	}
	return ok("%s UTC", x.now.UTC().Format(time.DateTime))
}
