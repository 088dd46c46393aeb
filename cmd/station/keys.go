// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"provisioning.example/station/internal/settings"
	"provisioning.example/station/internal/tpm"
)

// keyPlan says which keys to make.
type keyPlan struct {
	curve   elliptic.Curve // of the CA key
	pin     []byte         // of the CA key
	auth    []byte         // of the checkpoint key
	rework  []byte         // PIN of the rework key; nil: there is none
	created func() error   // called after each key is made; nil: nobody wants to know
}

// curves are what a CA key may lie on.
func curves(name string) (elliptic.Curve, error) {
	c, known := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384()}[name]
	if !known {
		return nil, usage(fmt.Errorf("--curve %q", name), "allowed: P-256, P-384")
	}
	return c, nil
}

// makeKeys makes the keys of the plan that k does not name yet.
func (b *bench) makeKeys(ctx context.Context, k *homeKeys, p keyPlan) error {
	for _, key := range []struct {
		ref      **tpm.KeyRef
		creation **tpm.Creation
		purpose  tpm.Purpose
		curve    elliptic.Curve
		auth     []byte
	}{
		{&k.CA, &k.CACreation, tpm.CA, p.curve, p.pin},
		{&k.Checkpoint, &k.CheckpointCreation, tpm.Checkpoint, elliptic.P256(), p.auth},
		{&k.Rework, &k.ReworkCreation, tpm.Rework, elliptic.P256(), p.rework},
	} {
		if key.auth == nil || *key.ref != nil {
			continue
		}
		ref, creation, err := b.tpm.CreateKey(ctx, key.purpose, key.curve, key.auth)
		if err != nil {
			return unfit(fmt.Errorf("make the %s key in the TPM: %w", key.purpose, err), "is the TPM free, and does it have the curve?")
		}
		*key.ref, *key.creation = &ref, &creation
		if p.created == nil {
			continue
		}
		if err := p.created(); err != nil {
			return err
		}
	}
	return b.makeCounter(ctx, k, p)
}

// makeCounter makes the counter that seals the ledger, if k names none yet. Its
// secret is the checkpoint key's.
func (b *bench) makeCounter(ctx context.Context, k *homeKeys, p keyPlan) error {
	if k.Counter != nil {
		return nil
	}
	ref, err := b.tpm.DefineCounter(ctx, p.auth)
	if err != nil {
		return unfit(fmt.Errorf("make the ledger's counter in the TPM: %w", err), "is there room in its non-volatile memory?")
	}
	k.Counter = &ref
	if p.created == nil {
		return nil
	}
	return p.created()
}

// makeAuth makes the checkpoint key's secret, or reads it where it is already.
func makeAuth(path string) ([]byte, error) {
	auth, err := os.ReadFile(path)
	if err == nil {
		return auth, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, unfit(err, "the home must be readable")
	}
	var random [16]byte
	rand.Read(random[:])
	auth = []byte(hex.EncodeToString(random[:]))
	if err := settings.Write(path, auth, 0o600); err != nil {
		return nil, unfit(err, "the home must be writable")
	}
	return auth, nil
}
