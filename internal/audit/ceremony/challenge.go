// SPDX-License-Identifier: Apache-2.0

package ceremony

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"provisioning.example/station/internal/attest"
	"provisioning.example/station/internal/record"
)

// Trust is whom a root believes about endorsement keys: the vendors' roots, or
// its own eyes.
type Trust struct {
	// Vendors are certificates: those that issued themselves are believed, the
	// others only fill a gap in a chain.
	Vendors []*x509.Certificate
	// Pins are SHA-256 digests of endorsement keys' SubjectPublicKeyInfo.
	Pins [][32]byte
}

// Pinned is what is said in the place of a vendor where the key was pinned.
const Pinned = "pinned by hash"

// CheckEndorsement demands that somebody trusted vouches for the endorsement
// key, and says who: the vendor's name in the certificate, or [Pinned].
func (e *Evidence) CheckEndorsement(t Trust, now time.Time) (by string, err error) {
	var roots *x509.CertPool
	var between []*x509.Certificate
	for _, c := range t.Vendors {
		if string(c.RawIssuer) != string(c.RawSubject) {
			between = append(between, c)
			continue
		}
		if roots == nil {
			roots = x509.NewCertPool()
		}
		roots.AddCert(c)
	}
	var own *x509.Certificate
	if len(e.Certificates) > 0 {
		own = e.Certificates[0]
		between = append(between, e.Certificates[1:]...)
	}
	if err := attest.CheckEK(own, e.EK, between, roots, t.Pins, now); err != nil {
		return "", err
	}
	if slices.Contains(t.Pins, e.EK.Pin()) {
		return Pinned, nil
	}
	by = own.Issuer.String()
	if by == "" || len(by) > maxBy {
		return "", fmt.Errorf("the vendor's name in the certificate of the endorsement key has %d bytes; allowed: 1 to %d: pin the key by its hash", len(by), maxBy)
	}
	return by, nil
}

// CheckKeys demands that the attestation key says only what its TPM says, and
// that each key has the attributes of its purpose, and the ledger's counter
// those of one. That they are in a TPM at all is for the answer to show.
func (e *Evidence) CheckKeys() error {
	if err := attest.CheckAK(e.AK); err != nil {
		return err
	}
	for _, p := range purposes {
		if e.Keys[p] == nil {
			continue
		}
		if err := attest.CheckKey(p, e.Keys[p]); err != nil {
			return err
		}
	}
	if e.Counter != nil {
		return attest.CheckCounter([34]byte(e.Counter))
	}
	return nil
}

// Challenge is what the root sends: a secret sealed to the endorsement key and
// the attestation key of one request.
type Challenge struct {
	ID         [16]byte
	Origin     record.Origin
	Request    [32]byte // digest of the request
	Root       [32]byte // SHA-256 of the root's certificate
	Commitment [32]byte // see [Commit]
	Made       time.Time
	Expires    time.Time // the last second in which it can be answered at the root
	Credential []byte    // content of a TPM2B_ID_OBJECT
	Sealed     []byte    // content of a TPM2B_ENCRYPTED_SECRET
}

// secretSize is that of the secret in bytes.
const secretSize = 32

// Commit is what stands in the challenge and in the root's record for the
// secret: SHA-256 of "provisioning.example/station/ceremony/1 secret", a zero
// byte, the secret. Nobody finds 32 random bytes by it.
func Commit(secret [secretSize]byte) [32]byte { return tagged("secret", secret[:]) }

// NewChallenge draws a secret and seals it to the TPM that the request shows.
// The caller has checked the evidence. The secret is not kept.
func NewChallenge(r *Request, root *x509.Certificate, made, expires time.Time) (*Challenge, error) {
	if r.evidence == nil {
		return nil, errNoEvidence
	}
	c := &Challenge{
		Origin: r.origin, Request: r.Digest(), Root: tagged("root", root.Raw),
		Made: made.UTC().Truncate(time.Second), Expires: expires.UTC().Truncate(time.Second),
	}
	var secret [secretSize]byte
	rand.Read(c.ID[:])
	rand.Read(secret[:])
	c.Commitment = Commit(secret)
	var err error
	if c.Credential, c.Sealed, err = attest.MakeCredential(rand.Reader, r.evidence.EK, r.evidence.AK, secret[:]); err != nil {
		return nil, fmt.Errorf("make a challenge: %w", err)
	}
	return c, nil
}

// Encode writes the challenge's blocks.
func (c *Challenge) Encode() []byte {
	text := appendPEM(nil, labelChallenge, writeFields([]field{
		{"version", "1"},
		{"challenge", hex.EncodeToString(c.ID[:])},
		{"ledger", c.Origin.String()},
		{"request", hex.EncodeToString(c.Request[:])},
		{"root", hex.EncodeToString(c.Root[:])},
		{"commitment", hex.EncodeToString(c.Commitment[:])},
		{"made", c.Made.Format(time.RFC3339)},
		{"expires", c.Expires.Format(time.RFC3339)},
	}))
	return appendPEM(appendPEM(text, labelCredential, c.Credential), labelSealedSecret, c.Sealed)
}

// Digest names the challenge.
func (c *Challenge) Digest() [32]byte { return tagged("challenge", c.Encode()) }

// maxSealed bounds both sealed parts: an RSA-2048 key seals into 256 bytes.
const maxSealed = 512

// ParseChallenge reads a challenge.
func ParseChallenge(text []byte) (*Challenge, error) {
	c, err := parseChallenge(text)
	if err != nil {
		return nil, fmt.Errorf("read challenge: %w", err)
	}
	return c, nil
}

func parseChallenge(text []byte) (*Challenge, error) {
	found, err := Blocks(text)
	if err != nil {
		return nil, err
	}
	q := &queue{found}
	head, err := q.must(labelChallenge)
	if err != nil {
		return nil, err
	}
	f, err := readFields(head, "challenge", "ledger", "request", "root", "commitment", "made", "expires")
	if err != nil {
		return nil, err
	}
	c := &Challenge{}
	for name, dst := range map[string][]byte{
		"challenge": c.ID[:], "request": c.Request[:], "root": c.Root[:], "commitment": c.Commitment[:],
	} {
		err = errors.Join(err, unhex(dst, name, f[name]))
	}
	if err != nil {
		return nil, err
	}
	if c.Origin, err = record.ParseOrigin(f["ledger"]); err != nil {
		return nil, err
	}
	if c.Made, err = untime("made", f["made"]); err != nil {
		return nil, err
	}
	if c.Expires, err = untime("expires", f["expires"]); err != nil {
		return nil, err
	}
	if c.Credential, err = q.must(labelCredential); err != nil {
		return nil, err
	}
	if c.Sealed, err = q.must(labelSealedSecret); err != nil {
		return nil, err
	}
	if n := max(len(c.Credential), len(c.Sealed)); n > maxSealed {
		return nil, fmt.Errorf("a sealed part of %d bytes; allowed: up to %d", n, maxSealed)
	}
	return c, q.end()
}

// IsFor says whether the challenge was made for a request; the error names
// what is another one.
func (c *Challenge) IsFor(r *Request) error { return c.Opened().isFor(r) }

func (o Opened) isFor(r *Request) error {
	switch {
	case r.evidence == nil:
		return errNoEvidence
	case o.Origin != r.origin:
		return fmt.Errorf("%w: it is for %s, the request is of %s", ErrOtherStation, o.Origin, r.origin)
	case o.Request != r.Digest():
		return ErrOtherRequest
	}
	return nil
}
