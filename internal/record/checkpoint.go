// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

const (
	// MaxNote is the largest signed checkpoint in bytes that is read, cosignatures included.
	MaxNote = 16 << 10

	algECDSA = 0x02 // C2SP signed-note, signature types: ECDSA
)

// Origin names the log of one epoch: plant/station/epoch. It is the first line of its checkpoints and the name of its key.
type Origin struct {
	Station string // plant/station
	Epoch   int    // from 1
}

// ParseOrigin reads plant/station/epoch. Plant and station are printable ASCII without space, plus sign and slash.
func ParseOrigin(s string) (Origin, error) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 || len(s) > 128 {
		return Origin{}, fmt.Errorf("origin %.160q is not of the form plant/station/epoch", s)
	}
	for _, name := range parts[:2] {
		bad := func(r rune) bool { return r <= ' ' || r > '~' || r == '+' }
		if name == "" || strings.ContainsFunc(name, bad) {
			return Origin{}, fmt.Errorf("origin %q: %q may only have printable ASCII without space and plus sign", s, name)
		}
	}
	epoch, err := strconv.Atoi(parts[2])
	if err != nil || epoch < 1 || epoch > MaxEpoch || strconv.Itoa(epoch) != parts[2] {
		return Origin{}, fmt.Errorf("origin %q: %q is not an epoch, which counts from 1", s, parts[2])
	}
	return Origin{parts[0] + "/" + parts[1], epoch}, nil
}

// MaxEpoch is the last epoch a ledger can have.
const MaxEpoch = 1 << 20

func (o Origin) String() string { return o.Station + "/" + strconv.Itoa(o.Epoch) }

// Checkpoint is a tree head (C2SP tlog-checkpoint): the log, its size and its root. As text:
//
//	ulm/st-07/1
//	4711
//	CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
type Checkpoint struct {
	Origin Origin
	Size   int64
	Root   [32]byte
}

// Text is what is signed: three lines, no extensions.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// ParseCheckpoint is the inverse of Text and accepts nothing else.
func ParseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(text) > MaxNote || len(lines) != 4 {
		return Checkpoint{}, errors.New("checkpoint does not have three lines: origin, size, root")
	}
	origin, err := ParseOrigin(lines[0])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	c := Checkpoint{Origin: origin}
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 {
		return Checkpoint{}, fmt.Errorf("checkpoint: size %.32q is not a number", lines[1])
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != len(c.Root) {
		return Checkpoint{}, errors.New("checkpoint: root is not the base64 of 32 bytes")
	}
	copy(c.Root[:], root)
	if c.Text() != text {
		return Checkpoint{}, errors.New("checkpoint is not written in its one form")
	}
	return c, nil
}

// Sign makes the signed note of a checkpoint (C2SP signed-note): one ECDSA P-256 signature under the origin's name.
// The signer may be slow and may fail, as a TPM does.
func (c Checkpoint) Sign(signer crypto.Signer) ([]byte, error) {
	v, err := NewVerifier(c.Origin, signer.Public())
	if err != nil {
		return nil, err
	}
	signed, err := note.Sign(&note.Note{Text: c.Text()}, noteSigner{v, signer})
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint %s size %d: %w", c.Origin, c.Size, err)
	}
	return signed, nil
}

type noteSigner struct {
	*Verifier
	signer crypto.Signer
}

func (s noteSigner) Sign(msg []byte) ([]byte, error) {
	digest := sha256.Sum256(msg)
	return s.signer.Sign(rand.Reader, digest[:], crypto.SHA256)
}

// Verifier checks the checkpoints of one origin with one public key. It is a note.Verifier.
type Verifier struct {
	origin Origin
	key    *ecdsa.PublicKey
	spki   []byte
}

// NewVerifier takes the public half of a checkpoint key, which must be ECDSA P-256.
func NewVerifier(origin Origin, pub crypto.PublicKey) (*Verifier, error) {
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("checkpoint key of %s is a %T, not an ECDSA P-256 key", origin, pub)
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("checkpoint key of %s: %w", origin, err)
	}
	return &Verifier{origin, key, spki}, nil
}

// ParseVerifier reads a verifier key (C2SP signed-note): origin, key id and key joined by plus signs, as String writes it.
func ParseVerifier(vkey string) (*Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(vkey) > 1024 || len(parts) != 3 {
		return nil, errors.New("verifier key is not of the form plant/station/epoch+id+key")
	}
	origin, err := ParseOrigin(parts[0])
	if err != nil {
		return nil, fmt.Errorf("verifier key: %w", err)
	}
	raw, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(raw) < 2 || raw[0] != algECDSA {
		return nil, fmt.Errorf("verifier key of %s is not an ECDSA key (type 2) in base64", origin)
	}
	pub, err := x509.ParsePKIXPublicKey(raw[1:])
	if err != nil {
		return nil, fmt.Errorf("verifier key of %s: %w", origin, err)
	}
	v, err := NewVerifier(origin, pub)
	if err != nil {
		return nil, err
	}
	if v.String() != vkey {
		return nil, fmt.Errorf("verifier key of %s: its id does not belong to the key, or it is not written in its one form", origin)
	}
	return v, nil
}

// String is the verifier key as text; it may be given to anybody.
func (v *Verifier) String() string {
	return fmt.Sprintf("%s+%08x+%s", v.origin, v.KeyHash(), base64.StdEncoding.EncodeToString(append([]byte{algECDSA}, v.spki...)))
}

// Origin is the log whose checkpoints this verifier opens.
func (v *Verifier) Origin() Origin { return v.origin }

// PublicKey is the checkpoint key.
func (v *Verifier) PublicKey() *ecdsa.PublicKey { return v.key }

// Name is the origin as text.
func (v *Verifier) Name() string { return v.origin.String() }

// KeyHash is the key id: the first four bytes of SHA-256 over the SubjectPublicKeyInfo (C2SP signed-note, ECDSA).
func (v *Verifier) KeyHash() uint32 {
	digest := sha256.Sum256(v.spki)
	return binary.BigEndian.Uint32(digest[:])
}

// Verify reports whether sig is the key's signature over msg.
func (v *Verifier) Verify(msg, sig []byte) bool {
	digest := sha256.Sum256(msg)
	return ecdsa.VerifyASN1(v.key, digest[:], sig)
}

// Open checks the signature of a signed checkpoint and that it is of the verifier's origin.
// Signatures by other keys are ignored, as C2SP asks.
func (v *Verifier) Open(signed []byte) (Checkpoint, error) {
	if len(signed) > MaxNote {
		return Checkpoint{}, fmt.Errorf("checkpoint note has %d bytes, at most %d are read", len(signed), MaxNote)
	}
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint note of %s: %w", v.origin, err)
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Origin != v.origin {
		return Checkpoint{}, fmt.Errorf("checkpoint is of %s, not of %s", c.Origin, v.origin)
	}
	return c, nil
}

// ReadCheckpoint reads a signed checkpoint without checking its signature: it tells what a note claims, not what is true.
func ReadCheckpoint(signed []byte) (Checkpoint, error) {
	at := bytes.Index(signed, []byte("\n\n"))
	if len(signed) > MaxNote || at < 0 {
		return Checkpoint{}, errors.New("checkpoint note has no signature block")
	}
	return ParseCheckpoint(string(signed[:at+1]))
}

// SPKI is the checkpoint key as DER SubjectPublicKeyInfo.
func (v *Verifier) SPKI() []byte { return bytes.Clone(v.spki) }
