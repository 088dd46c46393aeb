// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// Creation is what the TPM said when it made a key: the digest of the
// circumstances and a ticket by which it knows its own words again (Part 2,
// section 10.6.3). It is worth nothing to anybody else, is needed for
// [TPM.CertifyCreation], and is good until the owner hierarchy is cleared. Its
// text form, for configuration files, is hash:ticket in hex. The zero Creation
// is that of a key whose Creation was not kept.
type Creation struct {
	// Hash is the SHA-256 of the creation data.
	Hash [32]byte
	// Ticket is the TPMT_TK_CREATION.
	Ticket []byte
}

// maxTicket is the longest ticket taken: tag, hierarchy and an HMAC of at most
// 64 bytes.
const maxTicket = 2 + 4 + 2 + 64

func newCreation(hash tpm2.TPM2BDigest, ticket tpm2.TPMTTKCreation) (Creation, error) {
	c := Creation{Ticket: tpm2.Marshal(ticket)}
	if len(hash.Buffer) != len(c.Hash) {
		return Creation{}, fmt.Errorf("a creation hash of %d bytes", len(hash.Buffer))
	}
	copy(c.Hash[:], hash.Buffer)
	_, err := parseTicket(c.Ticket)
	return c, err
}

// parseTicket reads a ticket, whole and of a key in the owner hierarchy.
func parseTicket(b []byte) (*tpm2.TPMTTKCreation, error) {
	if len(b) < 8 || len(b) > maxTicket {
		return nil, fmt.Errorf("a creation ticket of %d bytes", len(b))
	}
	switch {
	case binary.BigEndian.Uint16(b) != uint16(tpm2.TPMSTCreation):
		return nil, errors.New("it is not a creation ticket")
	case binary.BigEndian.Uint32(b[2:]) != uint32(tpm2.TPMRHOwner):
		return nil, errors.New("a creation ticket of another hierarchy than the owner's")
	case int(binary.BigEndian.Uint16(b[6:])) != len(b)-8 || len(b) == 8:
		return nil, errors.New("a creation ticket of another length than it claims")
	}
	return tpm2.Unmarshal[tpm2.TPMTTKCreation](b)
}

// IsZero tells whether there is no Creation.
func (c Creation) IsZero() bool { return c.Ticket == nil }

func (c Creation) String() string {
	return hex.EncodeToString(c.Hash[:]) + ":" + hex.EncodeToString(c.Ticket)
}

// MarshalText gives the text form; a Creation that was not kept has none.
func (c Creation) MarshalText() ([]byte, error) {
	if c.IsZero() {
		return nil, errors.New("there is no creation to write")
	}
	return []byte(c.String()), nil
}

// UnmarshalText reads the text form and nothing else: lower-case hex, whole.
func (c *Creation) UnmarshalText(text []byte) error {
	hash, ticket, found := bytes.Cut(text, []byte(":"))
	var read Creation
	if !found || len(hash) != 2*len(read.Hash) || len(ticket) > 2*maxTicket {
		return fmt.Errorf("creation %.80q: want hash:ticket in hex", text)
	}
	if _, err := hex.Decode(read.Hash[:], hash); err != nil {
		return fmt.Errorf("creation %.80q: the hash is not hex", text)
	}
	var err error
	if read.Ticket, err = hex.DecodeString(string(ticket)); err != nil {
		return fmt.Errorf("creation %.80q: the ticket is not hex", text)
	}
	if _, err := parseTicket(read.Ticket); err != nil {
		return fmt.Errorf("creation %.80q: %w", text, err)
	}
	if read.String() != string(text) {
		return fmt.Errorf("creation %.80q: want lower-case hex", text)
	}
	*c = read
	return nil
}
