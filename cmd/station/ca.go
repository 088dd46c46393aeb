// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/tpm"
)

// newCA is the station's side of its intermediate's life.
func newCA(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "ca", Short: "the intermediate and what it issued: request, install, revoke, crl, renew, rotate, status"}
	c.AddCommand(newCARequest(g), newCAAnswer(g), newCAInstall(g), newCAPIN(g), newCABlob(g), newCAStatus(g), newCARevoke(g), newCACRL(g), newCARenew(g), newCARotate(g), newCAVerification(g))
	return c
}

// tpmKeys are the station's keys by purpose, with what the TPM said of each.
func (b *bench) tpmKeys() authority.TPMKeys {
	k := b.home.cfg.Keys
	ca, creation := k.requested()
	keys := authority.TPMKeys{}
	for purpose, key := range map[string]struct {
		ref      *tpm.KeyRef
		creation *tpm.Creation
	}{"ca": {ca, creation}, "checkpoint": {k.Checkpoint, k.CheckpointCreation}, "rework": {k.Rework, k.ReworkCreation}} {
		if key.ref != nil {
			keys[purpose] = authority.TPMKey{Ref: *key.ref, Creation: key.creation}
		}
	}
	return keys
}

// authorityKeys opens the CA key that is to be certified and the checkpoint key.
func (b *bench) authorityKeys(ctx context.Context, pin func() ([]byte, error)) (ca, checkpoint *tpm.Key, err error) {
	k := b.home.cfg.Keys
	if k.CA == nil || k.Checkpoint == nil {
		return nil, nil, unfit(fmt.Errorf("%s has no keys", b.home.dir), "make the home anew with: station init")
	}
	ref, _ := k.requested()
	ca, err = b.tpm.Key(ctx, *ref, pin)
	if err == nil {
		checkpoint, err = b.tpm.Key(ctx, *k.Checkpoint, func() ([]byte, error) { return os.ReadFile(b.home.authPath()) })
	}
	if err != nil {
		return nil, nil, unfit(err, "is this the TPM the home was made with? see: station doctor")
	}
	return ca, checkpoint, nil
}

func digestOf(b []byte) string {
	d := sha256.Sum256(b)
	return hex.EncodeToString(d[:])
}
