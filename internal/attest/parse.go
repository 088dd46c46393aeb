// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"bytes"
	"encoding/binary"

	"github.com/google/go-tpm/tpm2"
)

const (
	// maxAttest is the longest TPMS_ATTEST taken, in bytes.
	maxAttest = 1024
	// maxSignature is the longest TPMT_SIGNATURE of ECDSA P-256, in bytes.
	maxSignature = 2 + 2 + 2*(2+32)
)

// parseAttest reads a statement, exactly as a TPM writes it.
func parseAttest(b []byte) (*tpm2.TPMSAttest, error) {
	if len(b) > maxAttest || len(b) < 6 {
		return nil, refuse(ErrStatement, "%d bytes", len(b))
	}
	if magic := binary.BigEndian.Uint32(b); magic != generated {
		return nil, refuse(ErrMagic, "it begins with %#08x", magic)
	}
	said, err := tpm2.Unmarshal[tpm2.TPMSAttest](b)
	if err != nil {
		return nil, refuse(ErrStatement, "%w", err)
	}
	if !bytes.Equal(tpm2.Marshal(*said), b) {
		return nil, refuse(ErrStatement, "bytes that mean nothing")
	}
	return said, nil
}

// parseSignature reads an ECDSA signature with SHA-256 (Part 2, section 11.3.4).
func parseSignature(b []byte) (r, s []byte, err error) {
	if len(b) > maxSignature {
		return nil, nil, refuse(ErrSignatureForm, "%d bytes", len(b))
	}
	sig, err := tpm2.Unmarshal[tpm2.TPMTSignature](b)
	if err != nil {
		return nil, nil, refuse(ErrSignatureForm, "%w", err)
	}
	ecdsa, err := sig.Signature.ECDSA()
	if sig.SigAlg != tpm2.TPMAlgECDSA || err != nil || ecdsa.Hash != tpm2.TPMAlgSHA256 {
		return nil, nil, refuse(ErrSignatureForm, "it is not one of ECDSA with SHA-256")
	}
	if !bytes.Equal(tpm2.Marshal(*sig), b) {
		return nil, nil, refuse(ErrSignatureForm, "bytes that mean nothing")
	}
	return ecdsa.SignatureR.Buffer, ecdsa.SignatureS.Buffer, nil
}
