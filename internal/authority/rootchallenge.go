// SPDX-License-Identifier: Apache-2.0

package authority

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/record"
)

// What the answer to a challenge is refused for, beside the reasons of package
// ceremony.
var (
	// ErrNoChallenge: this root never made that challenge.
	ErrNoChallenge = errors.New("this root made no such challenge")
	// ErrUsed: a challenge is good for one answer.
	ErrUsed = errors.New("the challenge is used up: make a new one")
	// ErrExpired: too late.
	ErrExpired = errors.New("the challenge has expired: make a new one")
)

// challengeDays is how long a challenge can be answered: two trips with a stick.
const challengeDays = 14

// Challenge checks what a station's TPM says of itself, whose TPM it is, and
// seals a secret to it. The challenge stands open in the root's record, on the
// disk, before Challenge returns; [Root.Sign] takes one answer to it until it
// expires. lifetime 0 stands for 14 days, now zero for time.Now. by is who
// vouches for the endorsement key.
func (r *Root) Challenge(q *ceremony.Request, trust ceremony.Trust, lifetime time.Duration, now time.Time) (c *ceremony.Challenge, by string, err error) {
	now = orNow(now)
	if lifetime == 0 {
		lifetime = challengeDays * day
	}
	if lifetime < time.Hour || lifetime > 366*day {
		return nil, "", errors.New("challenge: it must be good for an hour to a year")
	}
	if c, err = ceremony.NewChallenge(q, r.cert, now, now.Add(lifetime)); err != nil {
		return nil, "", fmt.Errorf("challenge %q: %w", q.Subject(), err)
	}
	e := q.Evidence()
	if by, err = e.CheckEndorsement(trust, now); err == nil {
		err = e.CheckKeys()
	}
	if err != nil {
		return nil, "", fmt.Errorf("challenge %q: %w", q.Subject(), err)
	}
	o, ek := c.Opened(), e.EK.Pin()
	err = r.note(now, RootEntry{
		Kind: entryChallenge, Origin: c.Origin.String(), ID: hex.EncodeToString(c.ID[:]), Digest: hex.EncodeToString(o.Digest[:]),
		Request: hex.EncodeToString(o.Request[:]), Commitment: hex.EncodeToString(o.Commitment[:]),
		EK: hex.EncodeToString(ek[:]), By: by, Expires: c.Expires,
	})
	if err != nil {
		return nil, "", fmt.Errorf("challenge %q: %w", q.Subject(), err)
	}
	return c, by, nil
}

// judge finds the challenge that an answer is for and judges the answer. It
// closes nothing.
func (r *Root) judge(q *ceremony.Request, a *ceremony.Answer, now time.Time) (*ceremony.Proof, error) {
	entries, err := r.entries()
	if err != nil {
		return nil, err
	}
	id := hex.EncodeToString(a.ID[:])
	var open *RootEntry
	for _, e := range entries {
		switch {
		case e.ID != id:
		case e.Kind == entryClosed:
			return nil, fmt.Errorf("%w (%s was answered on %s)", ErrUsed, id, e.Time.Format(time.DateOnly))
		case e.Kind == entryChallenge:
			open = &e
		}
	}
	if open == nil {
		return nil, fmt.Errorf("%w: %s", ErrNoChallenge, id)
	}
	if now.After(open.Expires) {
		return nil, fmt.Errorf("%w (%s ended at %s)", ErrExpired, id, open.Expires.Format(time.RFC3339))
	}
	o, err := open.opened()
	if err != nil {
		return nil, err
	}
	if err := ceremony.Judge(q, o, a); err != nil {
		return nil, err
	}
	return ceremony.NewProof(q, o, a, open.By), nil
}

// opened reads a challenge's entry back.
func (e RootEntry) opened() (o ceremony.Opened, err error) {
	for _, f := range []struct {
		dst  []byte
		text string
	}{{o.ID[:], e.ID}, {o.Digest[:], e.Digest}, {o.Request[:], e.Request}, {o.Commitment[:], e.Commitment}} {
		b, hexErr := hex.DecodeString(f.text)
		if hexErr != nil || len(b) != len(f.dst) {
			return o, fmt.Errorf("entry %d of the root's record holds %.80q", e.Seq, f.text)
		}
		copy(f.dst, b)
	}
	o.Origin, err = record.ParseOrigin(e.Origin)
	return o, err
}

// close records that a challenge was answered. From here on it is used up,
// whatever happens next.
func (r *Root) close(a *ceremony.Answer, now time.Time) error {
	digest := a.Digest()
	return r.note(now, RootEntry{Kind: entryClosed, ID: hex.EncodeToString(a.ID[:]), Digest: hex.EncodeToString(digest[:])})
}
