// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"context"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// Statement is something the TPM says over a signature of its attestation key.
// Package attest checks it.
type Statement struct {
	// Attest is the TPMS_ATTEST that was signed (Part 2, section 10.12.12).
	Attest []byte
	// Signature is the TPMT_SIGNATURE over it.
	Signature []byte
}

func newStatement(attest tpm2.TPM2BAttest, signature tpm2.TPMTSignature) Statement {
	return Statement{Attest: attest.Bytes(), Signature: tpm2.Marshal(signature)}
}

// PublicArea reads the TPMT_PUBLIC of a key: ErrNotFound if the handle is empty
// or holds another key.
func (t *TPM) PublicArea(ctx context.Context, ref KeyRef) ([]byte, error) {
	return read(ctx, t, fmt.Sprintf("key %#x", ref.Handle), func(b *bus) ([]byte, error) {
		public, err := b.readKey(ref)
		if err != nil {
			return nil, err
		}
		return tpm2.Marshal(*public), nil
	})
}

// CertifyCreation has the attestation key say that this TPM made the key of ref
// itself (Part 3, section 18.3), over qualifying, which binds the statement to
// one purpose. It needs no PIN. A Creation of another key, or from before the
// TPM was cleared, is an error that is ErrCreation.
func (t *TPM) CertifyCreation(ctx context.Context, ref KeyRef, c Creation, qualifying [32]byte) (Statement, error) {
	op := fmt.Sprintf("certify the creation of key %#x", ref.Handle)
	if c.IsZero() {
		return Statement{}, fmt.Errorf("%s: %w: it was not kept when the key was made", op, ErrCreation)
	}
	ticket, err := parseTicket(c.Ticket)
	if err != nil {
		return Statement{}, fmt.Errorf("%s: %w: %w", op, ErrCreation, err)
	}
	return read(ctx, t, op, func(b *bus) (Statement, error) {
		if _, err := b.readKey(ref); err != nil {
			return Statement{}, err
		}
		return b.attest(func(ak tpm2.AuthHandle) (Statement, error) {
			rsp, err := tpm2.CertifyCreation{
				SignHandle:     ak,
				ObjectHandle:   tpm2.NamedHandle{Handle: tpm2.TPMHandle(ref.Handle), Name: tpm2.TPM2BName{Buffer: ref.Name[:]}},
				QualifyingData: tpm2.TPM2BData{Buffer: qualifying[:]},
				CreationHash:   tpm2.TPM2BDigest{Buffer: c.Hash[:]},
				InScheme:       nullScheme,
				CreationTicket: *ticket,
			}.Execute(b)
			if isCode(err, tpm2.TPMRCTicket) {
				return Statement{}, fmt.Errorf("%w: the TPM does not know it again", ErrCreation)
			}
			if err != nil {
				return Statement{}, b.fault("certify", err)
			}
			return newStatement(rsp.CertifyInfo, rsp.Signature), nil
		})
	})
}

// Quote has the attestation key sign the platform's SHA-256 registers of the
// numbers in pcrs, 0 to 23, over qualifying (Part 3, section 18.4).
func (t *TPM) Quote(ctx context.Context, qualifying [32]byte, pcrs []uint) (Statement, error) {
	for _, n := range pcrs {
		if n > 23 {
			return Statement{}, fmt.Errorf("quote: there is no register %d, only 0 to 23", n)
		}
	}
	selection := tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{
		Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(pcrs...),
	}}}
	return read(ctx, t, "quote", func(b *bus) (Statement, error) {
		return b.attest(func(ak tpm2.AuthHandle) (Statement, error) {
			rsp, err := tpm2.Quote{
				SignHandle: ak, QualifyingData: tpm2.TPM2BData{Buffer: qualifying[:]},
				InScheme: nullScheme, PCRSelect: selection,
			}.Execute(b)
			if err != nil {
				return Statement{}, b.fault("quote", err)
			}
			return newStatement(rsp.Quoted, rsp.Signature), nil
		})
	})
}

// nullScheme takes the scheme of the key that signs.
var nullScheme = tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}

// readKey reads the public area of ref's key and compares it.
func (b *bus) readKey(ref KeyRef) (*tpm2.TPMTPublic, error) {
	public, err := b.readPublic(ref.Handle)
	if err != nil {
		return nil, err
	}
	name, err := nameOf(public)
	if err != nil {
		return nil, fmt.Errorf("%w: the handle holds another object (%w)", ErrNotFound, err)
	}
	if name != ref.Name {
		return nil, fmt.Errorf("%w: the handle holds another key, %s, expected was %s", ErrNotFound, name, ref.Name)
	}
	return public, nil
}
