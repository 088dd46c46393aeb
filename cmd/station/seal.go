// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/tpm"
)

// sealCounter is the TPM's counter as the ledger wants it.
type sealCounter struct{ *tpm.Counter }

// Certify has the TPM sign the value.
func (c sealCounter) Certify(ctx context.Context, qualifying [32]byte) (value uint64, attest, sig []byte, err error) {
	value, said, err := c.Counter.Certify(ctx, qualifying)
	return value, said.Attest, said.Signature, err
}

// ballast is how many bytes of the disk are kept for what is under way when the
// disk gets full: a run takes some tens of kilobytes.
const ballast = 16 << 20

// ledgerConfig finds the checkpoint key and the counter that a home's keys name.
func ledgerConfig(ctx context.Context, t *tpm.TPM, k homeKeys, auth []byte, operator string, log *slog.Logger) (ledger.Config, error) {
	secret := func() ([]byte, error) { return auth, nil }
	signer, err := t.Key(ctx, *k.Checkpoint, secret)
	if err != nil {
		return ledger.Config{}, fmt.Errorf("the ledger's checkpoint key: %w", err)
	}
	i := t.Info()
	c := ledger.Config{
		Signer: signer, Log: log, Ballast: ballast,
		Seal: record.Body{Operator: operator, Software: software(), TPM: tpmName(i), Simulated: i.Simulated},
	}
	if k.Counter == nil {
		return c, nil // a home of before there were seals
	}
	counter, err := t.Counter(ctx, *k.Counter, secret)
	if err != nil {
		return ledger.Config{}, fmt.Errorf("the ledger's counter: %w", err)
	}
	c.Counter = sealCounter{counter}
	return c, nil
}

// counterName is the Name of the counter, nil if there is none.
func (k homeKeys) counterName() []byte {
	if k.Counter == nil {
		return nil
	}
	return k.Counter.Name[:]
}
