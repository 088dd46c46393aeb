// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/tpm"
)

// pinWarning is what a PIN change does not do.
const pinWarning = `If somebody else may know the old PIN, this is not enough: a copy of the key's
private blob, which the TPM handed out or something on its bus wrote down, still
loads in this TPM with the old PIN. Then a new key is needed.`

func newCAPIN(g *globals) *cobra.Command {
	fresh := secretFlags{fd: -1}
	var rework bool
	c := &cobra.Command{
		Use: "pin", Short: "change the PIN of the CA key, or of the rework key", Args: cobra.NoArgs,
		Long: "pin changes the PIN of the CA key in the TPM, and of the keys before and after it\nin a rotation; with --rework, of the rework key.\n" + pinWarning,
		RunE: func(c *cobra.Command, _ []string) error {
			b, err := openLedger(c.Context(), g)
			if err != nil {
				return err
			}
			defer b.Close()
			x := pinChange{name: "CA", ref: &b.home.cfg.Keys.CA}
			if rework {
				x = pinChange{name: "rework", ref: &b.home.cfg.Keys.Rework}
			}
			if *x.ref == nil {
				return unfit(fmt.Errorf("%s has no %s key", b.home.dir, x.name), "see: station doctor")
			}
			if x.old, err = g.pin.read("PIN of the " + x.name + " key"); err != nil {
				return err
			}
			if x.pin, err = fresh.readNew("new PIN of the " + x.name + " key"); err != nil {
				return err
			}
			defer func() { clear(x.old); clear(x.pin) }()
			if !rework {
				if err := b.changeOtherPINs(c.Context(), x); err != nil {
					return err
				}
			}
			if err := b.changePIN(c.Context(), x); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "the %s key has its new PIN\n%s\n", x.name, pinWarning)
			return nil
		},
	}
	newPINFlags(c, &fresh)
	c.Flags().BoolVar(&rework, "rework", false, "the PIN of the rework key; --pin-file and so on hold its old PIN")
	return c
}

// pinChange is a change of a key's PIN.
type pinChange struct {
	name     string // of the key
	ref      **tpm.KeyRef
	old, pin []byte
}

// changePIN tries the old PIN, records what is about to be done and does it.
// The TPM keeps a copy of the key under the new PIN at another handle. If the
// power fails
//
//	before station.toml is saved   the old PIN holds; the copy is left over
//	before the old copy is gone    the new PIN holds; the old copy is left over
//
// Left-over copies are removed by the next change; doctor tells of them.
func (b *bench) changePIN(ctx context.Context, x pinChange) error {
	old := **x.ref
	key, err := b.tpm.Key(ctx, old, func() ([]byte, error) { return x.old, nil })
	if err == nil {
		err = tryPIN(ctx, key)
	}
	if err != nil {
		return b.caKeyUnfit(ctx, err)
	}
	if err := b.note(ctx, record.Body{Kind: record.KindConfig, What: "PIN of the " + x.name + " key", New: "changed"}); err != nil {
		return err
	}
	ref, err := b.tpm.ChangePIN(ctx, old, x.old, x.pin)
	if err != nil {
		return unfit(err, "the old PIN still holds; see: station doctor")
	}
	*x.ref = &ref
	if err := b.home.save(); err != nil {
		return err
	}
	if _, err := b.tpm.ForgetCopies(ctx, ref); err != nil {
		return unfit(errors.Join(errors.New("the new PIN holds, but a copy of the key with the old one is still in the TPM"), err),
			"change the PIN once more")
	}
	return nil
}

// changeOtherPINs changes the PIN of the next and the retired CA keys first, so
// that what was cut off goes on with the same command: a key that has the new
// PIN already is left alone, as is a retired one with a PIN of its own.
func (b *bench) changeOtherPINs(ctx context.Context, x pinChange) error {
	ca, err := b.tpm.Key(ctx, **x.ref, func() ([]byte, error) { return x.old, nil })
	if err == nil {
		err = tryPIN(ctx, ca)
	}
	if err != nil {
		return b.caKeyUnfit(ctx, err)
	}
	k := &b.home.cfg.Keys
	others := []pinChange{}
	if k.Next != nil {
		others = append(others, pinChange{"next CA", &k.Next, x.old, x.pin})
	}
	for i := range k.Retired {
		others = append(others, pinChange{"retired CA", &k.Retired[i], x.old, x.pin})
	}
	for _, o := range others {
		key, err := b.tpm.Key(ctx, **o.ref, func() ([]byte, error) { return o.old, nil })
		if err == nil {
			err = tryPIN(ctx, key)
		}
		if errors.Is(err, tpm.ErrPIN) || errors.Is(err, tpm.ErrNotFound) {
			continue
		}
		if err != nil {
			return b.caKeyUnfit(ctx, err)
		}
		if err := b.changePIN(ctx, o); err != nil {
			return err
		}
	}
	return nil
}
