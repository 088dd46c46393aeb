// SPDX-License-Identifier: Apache-2.0

package lot

import (
	"context"
	"fmt"
	"path/filepath"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/tpm"
)

// counter is the TPM's counter as a ledger wants it.
type counter struct{ *tpm.Counter }

func (c counter) Certify(ctx context.Context, qualifying [32]byte) (value uint64, attest, sig []byte, err error) {
	value, said, err := c.Counter.Certify(ctx, qualifying)
	return value, said.Attest, said.Signature, err
}

// Open finds what a lot's ledger is written with: its TPM's checkpoint key and
// counter. done gives the TPM back, after the ledger is closed.
func Open(ctx context.Context, dir string) (c ledger.Config, done func() error, err error) {
	h, err := openHome(ctx, filepath.Join(dir, "home"))
	if err != nil {
		return c, nil, fmt.Errorf("lot: %w", err)
	}
	c = ledger.Config{Path: h.ledger, Origin: h.origin.String(), Signer: h.signer, Counter: counter{h.counter}}
	c.Seal.Operator, c.Seal.Software = "bench", "bench"
	return c, h.Close, nil
}
