// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/operator"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/tpm"
)

// mending is what doctor does when it is asked to, before it looks. Each needs a
// reason and somebody's approval, and is recorded before it is done.
type mending struct {
	lockout, clock bool
	reason         string
}

func (m *mending) flags(c *cobra.Command) {
	d := tpm.LineDA()
	c.Flags().BoolVar(&m.lockout, "set-lockout", false, "set the TPM's lockout to "+limits(d)+" (needs --reason and --approver)")
	c.Flags().BoolVar(&m.clock, "accept-clock", false, "say that the clock is right although the ledger and the TPM know otherwise (needs --reason and --approver)")
	c.Flags().StringVar(&m.reason, "reason", "", "why, for the ledger")
}

// do mends what was asked for.
func (m *mending) do(c *cobra.Command, g *globals) error {
	if !m.lockout && !m.clock {
		return nil
	}
	g.action = operator.Set
	if m.reason == "" {
		return usage(errors.New("this needs a reason"), "say why, for the ledger, with --reason")
	}
	approver, err := g.approval()
	if err != nil {
		return err
	}
	if m.clock {
		g.accept = &acceptance{m.reason, approver}
	}
	b, err := openLedger(c.Context(), g)
	if err != nil {
		return err
	}
	defer b.Close()
	if m.lockout {
		return b.setLockout(c.Context(), m.reason, approver)
	}
	return nil
}

// limits are lockout limits for people.
func limits(d tpm.DAState) string {
	return fmt.Sprintf("%d tries, one healed every %d s, %d s after a wrong lockout authorisation",
		d.Max, d.Interval/time.Second, d.Recovery/time.Second)
}

// lockoutSetting is what config entries call the limits.
const lockoutSetting = "lockout limits of the TPM"

// setLockout gives the TPM the limits of a line.
func (b *bench) setLockout(ctx context.Context, reason, approver string) error {
	const hint = "the TPM's owner sets them, for example: tpm2_dictionarylockout --setup-parameters --max-tries 32 --recovery-time 600 --lockout-recovery-time 86400 --auth AUTH"
	old, err := b.tpm.DA(ctx)
	if err != nil {
		return unfit(err, "see: station doctor")
	}
	want := tpm.LineDA()
	if old.Max == want.Max && old.Interval == want.Interval && old.Recovery == want.Recovery {
		return nil
	}
	set, err := b.tpm.LockoutAuth(ctx)
	if err != nil {
		return unfit(err, "see: station doctor")
	}
	if set {
		return unfit(errors.New("the TPM's lockout authorisation is set: only who holds it can set the limits"), hint)
	}
	e := record.Body{
		Kind: record.KindConfig, What: lockoutSetting, Old: limits(old), New: limits(want), Reason: reason, Approver: approver,
	}
	if err := b.note(ctx, e); err != nil {
		return err
	}
	if err := b.tpm.SetDA(ctx, want); err != nil {
		e.Old, e.New, e.Reason = e.New, e.Old, "the TPM refused: the limits are as they were"
		return errors.Join(unfit(err, hint), b.note(ctx, e))
	}
	return nil
}

// lookLockout tells how far the TPM is from refusing every PIN, and why.
func lookLockout(ctx context.Context, x *examination) (finding, error) {
	da, err := x.tpm.DA(ctx)
	if err != nil {
		return finding{}, err
	}
	auth, err := x.tpm.LockoutAuth(ctx)
	if err != nil {
		return finding{}, err
	}
	text := fmt.Sprintf("wrong PINs and unclean stops %d of %d", da.Used, da.Max)
	if auth {
		text += ", lockout authorisation set"
	}
	const counts = "each wrong PIN counts, and each stop without an orderly shutdown after the PIN was used; "
	switch heals := fmt.Sprintf("one heals every %s of power", da.Interval); {
	case da.Used >= da.Max && da.Interval == 0:
		return stop(counts+"reset the TPM with its lockout authorisation", "%s: locked, and does not heal", text), nil
	case da.Used >= da.Max:
		return stop(fmt.Sprintf("leave the machine on until %s; %s%s", x.now.Add(da.Heals()).Format(time.DateTime), counts, heals), "%s: locked", text), nil
	case 2*da.Used >= da.Max:
		return warn(counts+heals, "%s", text), nil
	case da.Max < tpm.LineDA().Max:
		return warn("a few power cuts lock it: station doctor --set-lockout --reason WHY --approver ID", "%s", text), nil
	}
	return ok("%s", text), nil
}
