// SPDX-License-Identifier: Apache-2.0

// Package attest checks what a TPM says about itself and its keys. It needs no
// TPM: whoever holds the files can check them, years later and elsewhere.
//
// The chain of reasoning: a vendor certified an endorsement key (EK), [CheckEK];
// whoever holds it opened a challenge sealed to it and to one attestation key
// (AK), [MakeCredential]; the AK only signs what its TPM says, [CheckAK]; the
// TPM says that it made a key itself, [VerifyCreation]; the key's attributes
// say that it can not leave, [CheckKey].
package attest

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/big"

	"github.com/google/go-tpm/tpm2"
)

// Reason tells refusals apart. Its text says what is wrong with the evidence,
// for the person who holds it.
type Reason string

func (r Reason) Error() string { return string(r) }

// refuse adds what was found to a reason.
func refuse(r Reason, format string, args ...any) error {
	return fmt.Errorf("%w: %w", r, fmt.Errorf(format, args...))
}

// Clock is what every statement tells about the TPM's life (Part 2, section
// 10.11.1).
type Clock struct {
	// Milliseconds the TPM was powered, since it was last cleared.
	Milliseconds uint64
	// Resets counts the starts of the TPM, Restarts the resumptions since the
	// last one.
	Resets, Restarts uint32
	// Safe is set unless a higher clock may have been seen before.
	Safe bool
	// Firmware is the version of the TPM's firmware, as the vendor counts.
	Firmware uint64
}

// Creation is what [VerifyCreation] read in a statement about a key.
type Creation struct {
	Clock
	// Hash is the digest of the circumstances under which the key was made.
	Hash [32]byte
}

// VerifyCreation checks the statement that the TPM of ak made key itself, over
// qualifying. attest is a TPMS_ATTEST, sig a TPMT_SIGNATURE. ak is taken as
// given: CheckAK and a credential say what it is worth.
func VerifyCreation(ak, key *Public, attest, sig []byte, qualifying [32]byte) (*Creation, error) {
	s, err := verify(ak, attest, sig, qualifying, tpm2.TPMSTAttestCreation)
	if err != nil {
		return nil, err
	}
	said, err := s.Attested.Creation()
	if err != nil {
		return nil, refuse(ErrStatement, "%w", err)
	}
	name := key.Name()
	if string(said.ObjectName.Buffer) != string(name[:]) {
		return nil, refuse(ErrOtherKey, "the statement names %.100x, the key is %x", said.ObjectName.Buffer, name)
	}
	c := &Creation{Clock: clockOf(s)}
	if len(said.CreationHash.Buffer) != len(c.Hash) {
		return nil, refuse(ErrStatement, "a creation hash of %d bytes", len(said.CreationHash.Buffer))
	}
	copy(c.Hash[:], said.CreationHash.Buffer)
	return c, nil
}

// Counter is what [VerifyCounter] read in a statement about a counter.
type Counter struct {
	Clock
	Value uint64
}

// VerifyCounter checks the statement of the TPM of ak about the counter with
// the Name nvName, over qualifying.
func VerifyCounter(ak *Public, attest, sig []byte, qualifying [32]byte, nvName [34]byte) (*Counter, error) {
	s, err := verify(ak, attest, sig, qualifying, tpm2.TPMSTAttestNV)
	if err != nil {
		return nil, err
	}
	said, err := s.Attested.NV()
	if err != nil {
		return nil, refuse(ErrStatement, "%w", err)
	}
	if string(said.IndexName.Buffer) != string(nvName[:]) {
		return nil, refuse(ErrOtherCounter, "the statement names %.100x, the counter is %x", said.IndexName.Buffer, nvName)
	}
	if said.Offset != 0 || len(said.NVContents.Buffer) != 8 {
		return nil, refuse(ErrStatement, "%d bytes from offset %d are no counter", len(said.NVContents.Buffer), said.Offset)
	}
	return &Counter{Clock: clockOf(s), Value: binary.BigEndian.Uint64(said.NVContents.Buffer)}, nil
}

// Quote is what [VerifyQuote] read in a statement about the platform.
type Quote struct {
	Clock
	// PCRs are the numbers of the SHA-256 registers, Digest the SHA-256 over
	// their values in that order.
	PCRs   []uint
	Digest [32]byte
}

// VerifyQuote checks the statement of the TPM of ak about the registers of its
// platform, over qualifying.
func VerifyQuote(ak *Public, attest, sig []byte, qualifying [32]byte) (*Quote, error) {
	s, err := verify(ak, attest, sig, qualifying, tpm2.TPMSTAttestQuote)
	if err != nil {
		return nil, err
	}
	said, err := s.Attested.Quote()
	if err != nil {
		return nil, refuse(ErrStatement, "%w", err)
	}
	selections := said.PCRSelect.PCRSelections
	if len(selections) != 1 || selections[0].Hash != tpm2.TPMAlgSHA256 || len(said.PCRDigest.Buffer) != sha256.Size {
		return nil, refuse(ErrStatement, "a quote of other registers than SHA-256's")
	}
	q := &Quote{Clock: clockOf(s)}
	for i, octet := range selections[0].PCRSelect {
		for bit := range uint(8) {
			if octet>>bit&1 == 1 {
				q.PCRs = append(q.PCRs, uint(i)*8+bit)
			}
		}
	}
	copy(q.Digest[:], said.PCRDigest.Buffer)
	return q, nil
}

// generated begins every statement that a TPM makes itself; a restricted key
// signs nothing else that begins so (Part 2, section 6.3, TPM_GENERATED).
const generated = 0xFF544347

// verify checks what all statements have in common: the signature first, then
// what was signed.
func verify(ak *Public, attest, sig []byte, qualifying [32]byte, kind tpm2.TPMST) (*tpm2.TPMSAttest, error) {
	r, s, err := parseSignature(sig)
	if err != nil {
		return nil, err
	}
	key, ok := ak.key.(*ecdsa.PublicKey)
	digest := sha256.Sum256(attest)
	if !ok || !ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(r), new(big.Int).SetBytes(s)) {
		return nil, ErrSignature
	}
	said, err := parseAttest(attest)
	if err != nil {
		return nil, err
	}
	if said.Type != kind {
		return nil, refuse(ErrKind, "type %#04x, expected was %#04x", uint16(said.Type), uint16(kind))
	}
	if string(said.ExtraData.Buffer) != string(qualifying[:]) {
		return nil, refuse(ErrQualifying, "it is bound to %.100x, expected was %x", said.ExtraData.Buffer, qualifying)
	}
	return said, nil
}

func clockOf(s *tpm2.TPMSAttest) Clock {
	c := s.ClockInfo
	return Clock{
		Milliseconds: c.Clock, Resets: c.ResetCount, Restarts: c.RestartCount,
		Safe: bool(c.Safe), Firmware: s.FirmwareVersion,
	}
}
