// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/gowebpki/jcs"
)

// A nonce of fewer bytes can be guessed, one of more is none.
const (
	minNonce = 16
	maxNonce = 64
)

// ParseNonce reads what an auditor made up, 16 to 64 bytes in hex or base64url, with or without padding. What can be read as hex, is.
func ParseNonce(text string) ([]byte, error) {
	b, err := hex.DecodeString(text)
	if strings.Trim(text, "0123456789abcdefABCDEF") != "" && !strings.ContainsAny(text, "\r\n") { // the decoder skips line ends
		b, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	}
	if err != nil || len(b) < minNonce || len(b) > maxNonce {
		return nil, fmt.Errorf("challenge %.140q: %d to %d random bytes are one, in hex or base64url, as openssl rand -hex 32 makes them", text, minNonce, maxNonce)
	}
	return b, nil
}

// Challenge is a TPM's answer to an auditor's nonce: what its counter stood at when the ledger was at a certain checkpoint.
type Challenge struct {
	Nonce      string `json:"nonce"`             // hex
	Checkpoint string `json:"checkpoint_sha256"` // of the newest signed checkpoint (the note's bytes), hex
	NV         int64  `json:"nv"`                // what the counter stood at
	Attest     string `json:"attest"`            // TPMS_ATTEST of TPM2_NV_Certify (TPM 2.0 part 3, 31.16), hex
	AttestSig  string `json:"attest_sig"`        // TPMT_SIGNATURE of the attestation key, hex
}

// ChallengeQualifying is what the TPM signs its answer over: SHA-256 of "provisioning.example/station/ledger/1 challenge", a zero
// byte, the SHA-256 of the newest signed checkpoint (32 bytes) and the nonce. So an answer is good for one nonce and one state of
// the ledger, and is no seal.
func ChallengeQualifying(nonce []byte, checkpoint [32]byte) [32]byte {
	h := sha256.New()
	h.Write([]byte("provisioning.example/station/ledger/1 challenge\x00"))
	h.Write(checkpoint[:])
	h.Write(nonce)
	return [32]byte(h.Sum(nil))
}

// Encode writes the answer as RFC 8785 JSON.
func (c Challenge) Encode() ([]byte, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return jcs.Transform(text)
}

// MaxChallenge bounds an encoded answer, in bytes.
const MaxChallenge = 8 << 10

// maxStatement bounds a TPM's statement and its signature, in bytes.
const maxStatement = 1024

var errChallenge = errors.New("it is no answer to a challenge as this program writes it")

// ParseChallenge reads what [Challenge.Encode] wrote, and nothing else.
func ParseChallenge(text []byte) (*Challenge, error) {
	if len(text) > MaxChallenge {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", errChallenge, len(text), MaxChallenge)
	}
	c := &Challenge{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(c); err != nil {
		return nil, fmt.Errorf("%w: %w", errChallenge, err)
	}
	if again, err := c.Encode(); err != nil || !bytes.Equal(again, text) {
		return nil, fmt.Errorf("%w: not canonical JSON (RFC 8785)", errChallenge)
	}
	for _, f := range []struct {
		name, text string
		min, max   int
	}{
		{"nonce", c.Nonce, minNonce, maxNonce},
		{"checkpoint_sha256", c.Checkpoint, sha256.Size, sha256.Size},
		{"attest", c.Attest, 1, maxStatement},
		{"attest_sig", c.AttestSig, 1, maxStatement},
	} {
		b, err := hex.DecodeString(f.text)
		if err != nil || len(b) < f.min || len(b) > f.max || hex.EncodeToString(b) != f.text {
			return nil, fmt.Errorf("%w: %s is not %d to %d bytes in lower-case hex", errChallenge, f.name, f.min, f.max)
		}
	}
	if c.NV < 1 {
		return nil, fmt.Errorf("%w: nv %d", errChallenge, c.NV)
	}
	return c, nil
}
