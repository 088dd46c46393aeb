// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// Answer has the TPM answer an auditor's nonce over the newest checkpoint of a ledger's moment. A counter that stands elsewhere than the
// moment's last seal says is a *[SealError]; where the station works on, that is so after a seal of since, and a newer moment helps.
// Errors besides: [ErrNoCounter], [ErrNotSealed], or what does not read.
func Answer(ctx context.Context, moment *reader.Reader, epoch int, counter Counter, nonce []byte) (*record.Challenge, error) {
	if counter == nil {
		return nil, ErrNoCounter
	}
	last, found, err := moment.LastSeal(ctx, epoch)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, ErrNotSealed
	}
	newest, found, err := moment.NewestCheckpoint(ctx)
	switch {
	case err != nil:
		return nil, err
	case !found || newest.Epoch != epoch:
		return nil, fmt.Errorf("ledger: there is no checkpoint of epoch %d to answer for", epoch)
	}
	note := sha256.Sum256(newest.Note)
	value, attest, sig, err := counter.Certify(ctx, record.ChallengeQualifying(nonce, note))
	if err != nil {
		return nil, fmt.Errorf("ledger: answer the challenge: %w", err)
	}
	if value != uint64(last.Body.NV) {
		return nil, &SealError{uint64(last.Body.NV), value, "the challenge cannot be answered"}
	}
	return &record.Challenge{
		Nonce: hex.EncodeToString(nonce), Checkpoint: hex.EncodeToString(note[:]), NV: int64(value),
		Attest: hex.EncodeToString(attest), AttestSig: hex.EncodeToString(sig),
	}, nil
}
