// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-tpm/tpm2"
)

// attributes are the bits of TPMA_OBJECT (Part 2, section 8.3.2) in the
// spelling of the specification.
var attributes = [...]struct {
	bit  uint
	name string
}{
	{1, "fixedTPM"},
	{2, "stClear"},
	{4, "fixedParent"},
	{5, "sensitiveDataOrigin"},
	{6, "userWithAuth"},
	{7, "adminWithPolicy"},
	{8, "firmwareLimited"},
	{9, "svnLimited"},
	{10, "noDA"},
	{11, "encryptedDuplication"},
	{16, "restricted"},
	{17, "decrypt"},
	{18, "sign"},
	{19, "x509sign"},
}

// The attributes that keep a private key inside one TPM, and those that keep an
// attestation key from signing what it is given.
const (
	fixedTPM            = 1 << 1
	fixedParent         = 1 << 4
	sensitiveDataOrigin = 1 << 5
	inside              = fixedTPM | fixedParent | sensitiveDataOrigin
	restricted          = 1 << 16
)

func bits(a tpm2.TPMAObject) uint32 { return binary.BigEndian.Uint32(tpm2.Marshal(a)) }

// names lists the attributes that are set in mask.
func names(mask uint32) string {
	var list []string
	for _, a := range attributes {
		if mask>>a.bit&1 == 1 {
			list = append(list, a.name)
			mask &^= 1 << a.bit
		}
	}
	if mask != 0 {
		list = append(list, fmt.Sprintf("%#x", mask))
	}
	return strings.Join(list, ", ")
}

// checkTemplate compares everything but the key itself. The reasons come in
// order of weight: a key that may be outside of the TPM first.
func checkTemplate(p *Public, want tpm2.TPMTPublic) error {
	has, must := bits(p.area.ObjectAttributes), bits(want.ObjectAttributes)
	if missing := must &^ has; missing&inside != 0 {
		return refuse(ErrSoftware, "%s is not set", names(missing&inside))
	} else if missing&restricted != 0 && must>>18&1 == 1 {
		return ErrRestricted
	}
	if has != must {
		return refuse(ErrAttributes, "%w", difference(has, must))
	}
	if p.area.Type != want.Type {
		return refuse(ErrTemplate, "the algorithm is %#04x, expected was %#04x", uint16(p.area.Type), uint16(want.Type))
	}
	if !bytes.Equal(p.area.AuthPolicy.Buffer, want.AuthPolicy.Buffer) {
		return refuse(ErrTemplate, "the policy is %.100x, expected was %.100x", p.area.AuthPolicy.Buffer, want.AuthPolicy.Buffer)
	}
	bare := p.area
	bare.Unique = want.Unique
	if !bytes.Equal(tpm2.Marshal(bare), tpm2.Marshal(want)) {
		return refuse(ErrTemplate, "curve, scheme or size is another one")
	}
	return nil
}

func difference(has, must uint32) error {
	var errs []string
	if missing := must &^ has; missing != 0 {
		errs = append(errs, names(missing)+" is not set")
	}
	if extra := has &^ must; extra != 0 {
		errs = append(errs, names(extra)+" is set")
	}
	return errors.New(strings.Join(errs, ", "))
}

// CheckAK demands that the key can serve as an attestation key: restricted, so
// that it signs nothing but what its TPM says, and made from the template that
// stations use: ECDSA P-256 with SHA-256. What it is worth is up to the
// credential that was sealed to its Name.
func CheckAK(p *Public) error {
	err := checkTemplate(p, tpm2.TPMTPublic{
		Type:    tpm2.TPMAlgECC,
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true,
			UserWithAuth: true, NoDA: true, Restricted: true, SignEncrypt: true,
		},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Scheme: tpm2.TPMTECCScheme{
				Scheme:  tpm2.TPMAlgECDSA,
				Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256}),
			},
			CurveID: tpm2.TPMECCNistP256,
		}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{}),
	})
	if err != nil {
		return fmt.Errorf("attestation key: %w", err)
	}
	return nil
}

// CheckKey demands that the key was made from the template of its purpose: "ca"
// (P-256 or P-384, wrong PINs count towards the lockout), "checkpoint" or
// "rework" (P-256, outside of the lockout). All of them never leave their TPM.
func CheckKey(purpose string, p *Public) error {
	curves := []tpm2.TPMECCCurve{tpm2.TPMECCNistP256}
	switch purpose {
	case "ca":
		curves = append(curves, tpm2.TPMECCNistP384)
	case "checkpoint", "rework":
	default:
		return refuse(ErrPurpose, "%.40q, known are ca, checkpoint, rework", purpose)
	}
	var err error
	for _, curve := range curves {
		err = checkTemplate(p, tpm2.TPMTPublic{
			Type:    tpm2.TPMAlgECC,
			NameAlg: tpm2.TPMAlgSHA256,
			ObjectAttributes: tpm2.TPMAObject{
				FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true,
				UserWithAuth: true, SignEncrypt: true, NoDA: purpose != "ca",
			},
			Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: curve}),
			Unique:     tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{}),
		})
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s key: %w", purpose, err)
}

// checkEKTemplate demands the low range of the TCG EK Credential Profile,
// section B.3: L-1 or L-2.
func checkEKTemplate(p *Public) error {
	want := tpm2.ECCEKTemplate
	if p.area.Type == tpm2.TPMAlgRSA {
		want = tpm2.RSAEKTemplate
	}
	if err := checkTemplate(p, want); err != nil {
		return fmt.Errorf("endorsement key: %w", err)
	}
	return nil
}
