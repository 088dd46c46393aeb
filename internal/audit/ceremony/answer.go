// SPDX-License-Identifier: Apache-2.0

package ceremony

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"provisioning.example/station/internal/attest"
	"provisioning.example/station/internal/record"
)

// What an answer or a challenge is refused for, beside the reasons of package
// attest.
var (
	// ErrOtherStation: files of two stations.
	ErrOtherStation = errors.New("the challenge was made for another station")
	// ErrOtherRequest: the station's request was changed or made anew.
	ErrOtherRequest = errors.New("the challenge was made for another request of this station: the request was changed or made anew since")
	// ErrOtherChallenge: the answer belongs to another challenge.
	ErrOtherChallenge = errors.New("the answer was given to another challenge")
	// ErrSecret: whoever answered could not open the challenge.
	ErrSecret = errors.New("the answer's secret is not the challenge's: who answered does not hold the endorsement key together with that attestation key")
	// ErrNoStatement: a key the TPM says nothing about.
	ErrNoStatement = errors.New("the answer holds no statement of the TPM about a key")
)

// Statement is the TPM's word about one key, under a signature.
type Statement struct {
	Attest    []byte // TPMS_ATTEST
	Signature []byte // TPMT_SIGNATURE
}

// Answer is what the station sends back: proof that it opened the challenge,
// and for each key that the TPM made it.
type Answer struct {
	Challenge  [32]byte // digest of the challenge
	ID         [16]byte // the challenge's
	Request    [32]byte // digest of the request
	Secret     [32]byte
	Statements map[string]Statement // by purpose
}

// Qualifying is what the TPM signs its statements over: SHA-256 of
// "provisioning.example/station/ceremony/1 creation", a zero byte, the secret
// (32 bytes) and the DER of the intermediate's certification request. So a
// statement is good for one challenge and one request.
func Qualifying(secret [32]byte, r *Request) [32]byte {
	return tagged("creation", secret[:], r.ca.Raw)
}

// NewAnswer prepares an answer; the caller adds the TPM's statements over
// [Qualifying].
func NewAnswer(r *Request, c *Challenge, secret [32]byte) *Answer {
	return &Answer{
		Challenge: c.Digest(), ID: c.ID, Request: r.Digest(), Secret: secret, Statements: map[string]Statement{},
	}
}

// Encode writes the answer's blocks.
func (a *Answer) Encode() []byte {
	text := appendPEM(nil, labelAnswer, writeFields([]field{
		{"version", "1"},
		{"challenge", hex.EncodeToString(a.ID[:])},
		{"digest", hex.EncodeToString(a.Challenge[:])},
		{"request", hex.EncodeToString(a.Request[:])},
		{"secret", hex.EncodeToString(a.Secret[:])},
	}))
	for _, p := range purposes {
		if s, ok := a.Statements[p]; ok {
			text = appendPEM(appendPEM(text, labelStatement(p), s.Attest), labelSignature(p), s.Signature)
		}
	}
	return text
}

func labelStatement(purpose string) string { return "TPM " + strings.ToUpper(purpose) + " CREATION" }

func labelSignature(purpose string) string { return "TPM " + strings.ToUpper(purpose) + " SIGNATURE" }

// Digest names the answer.
func (a *Answer) Digest() [32]byte { return tagged("answer", a.Encode()) }

// maxStatement bounds a statement and its signature.
const maxStatement = 1024

// ParseAnswer reads an answer.
func ParseAnswer(text []byte) (*Answer, error) {
	a, err := parseAnswer(text)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return a, nil
}

func parseAnswer(text []byte) (*Answer, error) {
	found, err := Blocks(text)
	if err != nil {
		return nil, err
	}
	q := &queue{found}
	head, err := q.must(labelAnswer)
	if err != nil {
		return nil, err
	}
	f, err := readFields(head, "challenge", "digest", "request", "secret")
	if err != nil {
		return nil, err
	}
	a := &Answer{Statements: map[string]Statement{}}
	for name, dst := range map[string][]byte{
		"challenge": a.ID[:], "digest": a.Challenge[:], "request": a.Request[:], "secret": a.Secret[:],
	} {
		err = errors.Join(err, unhex(dst, name, f[name]))
	}
	if err != nil {
		return nil, err
	}
	for _, p := range purposes {
		var s Statement
		var ok bool
		if s.Attest, ok = q.take(labelStatement(p)); !ok {
			continue
		}
		if s.Signature, err = q.must(labelSignature(p)); err != nil {
			return nil, err
		}
		if n := max(len(s.Attest), len(s.Signature)); n > maxStatement {
			return nil, fmt.Errorf("a statement of %d bytes; allowed: up to %d", n, maxStatement)
		}
		a.Statements[p] = s
	}
	return a, q.end()
}

// verify checks that the TPM of the request's attestation key says of every
// key of the request that it made it, for this secret and this request.
func (a *Answer) verify(r *Request) error {
	qualifying := Qualifying(a.Secret, r)
	for _, p := range purposes {
		key := r.evidence.Keys[p]
		s, ok := a.Statements[p]
		switch {
		case key == nil && ok:
			return fmt.Errorf("the answer has a statement about the %s key, which the request does not have", p)
		case key == nil:
			continue
		case !ok:
			return fmt.Errorf("%w: the %s key", ErrNoStatement, p)
		}
		if _, err := attest.VerifyCreation(r.evidence.AK, key, s.Attest, s.Signature, qualifying); err != nil {
			return fmt.Errorf("%s key: %w", p, err)
		}
	}
	return nil
}

// Opened is what a root remembers of a challenge.
type Opened struct {
	ID         [16]byte
	Origin     record.Origin
	Digest     [32]byte
	Request    [32]byte
	Commitment [32]byte
}

// Opened is the part of a challenge by which an answer is judged.
func (c *Challenge) Opened() Opened {
	return Opened{c.ID, c.Origin, c.Digest(), c.Request, c.Commitment}
}

// Judge checks an answer to a challenge on a request: that all three belong
// together, that the challenge was opened, that each key has the attributes of
// its purpose and was made by the TPM that opened it. Whose TPM that is, is
// [Evidence.CheckEndorsement]'s to say.
func Judge(r *Request, o Opened, a *Answer) error {
	if err := o.isFor(r); err != nil {
		return err
	}
	switch {
	case a.ID != o.ID || a.Challenge != o.Digest || a.Request != o.Request:
		return ErrOtherChallenge
	case Commit(a.Secret) != o.Commitment:
		return ErrSecret
	}
	if err := r.evidence.CheckKeys(); err != nil {
		return err
	}
	return a.verify(r)
}
