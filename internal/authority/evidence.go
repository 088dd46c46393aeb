// SPDX-License-Identifier: Apache-2.0

package authority

import (
	"context"
	"errors"
	"fmt"
	"time"

	"provisioning.example/station/internal/attest"
	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/tpm"
)

// TPMKey is a station's key in its TPM and what the TPM said when it made it.
type TPMKey struct {
	Ref      tpm.KeyRef
	Creation *tpm.Creation // nil: it was not kept
}

// TPMKeys are a station's keys by purpose: ca, checkpoint and perhaps rework.
type TPMKeys map[string]TPMKey

// ErrNoCreation means that a home was made before the TPM's word about its
// keys was kept: they cannot be proven any more.
var ErrNoCreation = errors.New("the home does not hold what the TPM said when it made the key")

// ReadEvidence asks the TPM what it can say of itself and of the keys, without
// a PIN. counter is the Name of the ledger's NV counter, or nil. Certificates of
// the endorsement key that cannot be read are left out: the key can still be
// pinned at the root.
func ReadEvidence(ctx context.Context, t *tpm.TPM, keys TPMKeys, counter []byte) (*ceremony.RawRequest, error) {
	endorsement, err := t.Endorsement(ctx)
	if err != nil {
		return nil, err
	}
	raw := &ceremony.RawRequest{EK: endorsement.Public, Keys: map[string][]byte{}, Counter: counter}
	if raw.AK, err = t.AttestationKey(ctx); err != nil {
		return nil, err
	}
	for purpose, key := range keys {
		if key.Creation == nil {
			return nil, fmt.Errorf("%w: the %s key", ErrNoCreation, purpose)
		}
		if raw.Keys[purpose], err = t.PublicArea(ctx, key.Ref); err != nil {
			return nil, err
		}
	}
	raw.Certificates = readable(endorsement.Certificates)
	return raw, nil
}

// readable is the longest beginning of a list of certificates that parses.
func readable(set [][]byte) [][]byte {
	for ; len(set) > 0; set = set[:len(set)-1] {
		if _, _, err := attest.ParseCertificates(set); err == nil {
			return set
		}
	}
	return nil
}

// Respond opens a challenge in the TPM and has it say, for this challenge and
// this request only, that it made the keys. It needs no PIN. A challenge for
// another station, TPM or request, and one that has expired, is refused.
func Respond(ctx context.Context, t *tpm.TPM, keys TPMKeys, q *ceremony.Request, c *ceremony.Challenge, now time.Time) (*ceremony.Answer, error) {
	if err := c.IsFor(q); err != nil {
		return nil, err
	}
	if orNow(now).After(c.Expires) {
		return nil, fmt.Errorf("%w (it ended at %s)", ErrExpired, c.Expires.Format(time.RFC3339))
	}
	opened, err := t.ActivateCredential(ctx, c.Credential, c.Sealed)
	if err != nil {
		return nil, err
	}
	var secret [32]byte
	if len(opened) != len(secret) {
		return nil, fmt.Errorf("the challenge holds a secret of %d bytes; allowed: %d", len(opened), len(secret))
	}
	copy(secret[:], opened)
	a := ceremony.NewAnswer(q, c, secret)
	qualifying := ceremony.Qualifying(secret, q)
	for purpose, key := range keys {
		if q.Evidence().Keys[purpose] == nil {
			continue // made after the request
		}
		if key.Creation == nil {
			return nil, fmt.Errorf("%w: the %s key", ErrNoCreation, purpose)
		}
		s, err := t.CertifyCreation(ctx, key.Ref, *key.Creation, qualifying)
		if err != nil {
			return nil, err
		}
		a.Statements[purpose] = ceremony.Statement{Attest: s.Attest, Signature: s.Signature}
	}
	// What the root would refuse is refused here, where something can be done.
	if err := ceremony.Judge(q, c.Opened(), a); err != nil {
		return nil, err
	}
	return a, nil
}
