// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// algCosignature is C2SP signed-note's type of a timestamped Ed25519 cosignature (C2SP tlog-cosignature, cosignature/v1).
const algCosignature = 0x04

// Cosigner is the public half of who confirms checkpoints of ledgers that it has seen grow: a plant. It is a note.Verifier.
type Cosigner struct {
	name string
	key  ed25519.PublicKey
}

// NewCosigner takes a name without space, plus sign and line break, of at most 128 bytes, and its Ed25519 key.
func NewCosigner(name string, key crypto.PublicKey) (*Cosigner, error) {
	bad := func(r rune) bool { return r <= ' ' || r > '~' || r == '+' }
	if name == "" || len(name) > 128 || strings.ContainsFunc(name, bad) {
		return nil, fmt.Errorf("cosigner %.160q: a name may only have printable ASCII without space and plus sign", name)
	}
	pub, ok := key.(ed25519.PublicKey)
	if !ok || len(pub) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("cosigner %s: its key is a %T, not an Ed25519 key", name, key)
	}
	return &Cosigner{name, pub}, nil
}

// ParseCosigner reads a verifier key of a cosigner as String writes it, and nothing else.
func ParseCosigner(vkey string) (*Cosigner, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(vkey) > 1024 || len(parts) != 3 {
		return nil, errors.New("cosigner's key is not of the form name+id+key")
	}
	raw, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != algCosignature {
		return nil, fmt.Errorf("cosigner's key of %.128q is not a cosignature key (type 4) in base64", parts[0])
	}
	c, err := NewCosigner(parts[0], ed25519.PublicKey(raw[1:]))
	if err == nil && c.String() != vkey {
		err = fmt.Errorf("cosigner's key of %s: its id does not belong to the key, or it is not written in its one form", c.name)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Cosigner) typed() []byte { return append([]byte{algCosignature}, c.key...) }

// String is the verifier key as text (C2SP signed-note); it may be given to anybody.
func (c *Cosigner) String() string {
	return fmt.Sprintf("%s+%08x+%s", c.name, c.KeyHash(), base64.StdEncoding.EncodeToString(c.typed()))
}

// Name is the cosigner's name.
func (c *Cosigner) Name() string { return c.name }

// KeyHash is the key id: the first four bytes of SHA-256 over name, line feed, type and key.
func (c *Cosigner) KeyHash() uint32 {
	digest := sha256.Sum256(append([]byte(c.name+"\n"), c.typed()...))
	return binary.BigEndian.Uint32(digest[:])
}

// Verify reports whether sig, a time of 8 bytes and the signature, is over msg.
func (c *Cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(sig)
	return at <= 1<<40 && ed25519.Verify(c.key, cosigned(at, msg), sig[8:])
}

// cosigned is what is signed: the time is part of it.
func cosigned(at uint64, text []byte) []byte {
	return fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text)
}

// Open checks the cosignature on a signed checkpoint and tells when it was made, to the second. The station's own signature
// is not looked at: that is for its [Verifier].
func (c *Cosigner) Open(signed []byte) (Checkpoint, time.Time, error) {
	if len(signed) > MaxNote {
		return Checkpoint{}, time.Time{}, fmt.Errorf("cosigned checkpoint has %d bytes, at most %d are read", len(signed), MaxNote)
	}
	n, err := note.Open(signed, note.VerifierList(c))
	if err != nil {
		return Checkpoint{}, time.Time{}, fmt.Errorf("cosignature of %s: %w", c.name, err)
	}
	point, err := ParseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, time.Time{}, err
	}
	sig, err := base64.StdEncoding.DecodeString(n.Sigs[0].Base64)
	if err != nil || len(sig) < 12 {
		return Checkpoint{}, time.Time{}, fmt.Errorf("cosignature of %s is too short", c.name)
	}
	return point, time.Unix(int64(binary.BigEndian.Uint64(sig[4:])), 0).UTC(), nil
}

// Cosign adds a cosignature to a signed checkpoint. Who calls it has seen that the checkpoint contains all those of its
// origin cosigned before: that, and the time, is what a cosignature says.
func Cosign(name string, key crypto.Signer, signed []byte, at time.Time) ([]byte, error) {
	c, err := NewCosigner(name, key.Public())
	if err != nil {
		return nil, err
	}
	point, err := ReadCheckpoint(signed)
	if err != nil {
		return nil, err
	}
	stamp := uint64(at.Unix())
	if at.Unix() < 0 || stamp > 1<<40 {
		return nil, fmt.Errorf("cosign %s: the time %s cannot be said", point.Origin, at)
	}
	sig, err := key.Sign(nil, cosigned(stamp, []byte(point.Text())), crypto.Hash(0))
	if err != nil {
		return nil, fmt.Errorf("cosign %s: %w", point.Origin, err)
	}
	line := binary.BigEndian.AppendUint32(nil, c.KeyHash())
	line = append(binary.BigEndian.AppendUint64(line, stamp), sig...)
	out := fmt.Appendf(bytes.Clone(signed), "\u2014 %s %s\n", c.name, base64.StdEncoding.EncodeToString(line))
	if _, _, err := c.Open(out); err != nil {
		return nil, fmt.Errorf("cosign %s size %d: %w", point.Origin, point.Size, err)
	}
	return out, nil
}
