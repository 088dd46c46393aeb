// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// Endorsement is who the TPM is, as its vendor says.
type Endorsement struct {
	// Public is the TPMT_PUBLIC of the endorsement key (EK).
	Public []byte
	// Certificates are DER, as the vendor left them in the TPM: first that of
	// the key, then the chain above it in the order of the TPM. Most TPMs hold
	// no chain; a simulator holds nothing at all.
	Certificates [][]byte
}

// endorsement is one endorsement key that a TPM may have: how it is made, and
// where its certificate lies (TCG EK Credential Profile, sections 2.2.1.4 and
// 2.2.1.5, the low range).
type endorsement struct {
	template tpm2.TPMTPublic
	index    uint32
}

// endorsements are the keys to look for; the first one that has a certificate
// is taken.
func endorsements() []endorsement {
	return []endorsement{{tpm2.ECCEKTemplate, 0x01C0000A}, {tpm2.RSAEKTemplate, 0x01C00002}}
}

// The chain above the certificates of endorsement keys lies in one index or
// more, one certificate behind the other (same, section 2.2.1.5.2).
const firstChain, lastChain = 0x01C00100, 0x01C001FF

// maxBlob and maxSealed bound the parts of a challenge, in bytes: a command that
// is longer than the TPM's buffer puts some out of step.
const maxBlob, maxSealed = 256, 512

// Endorsement reads the endorsement key for which the TPM holds a certificate,
// or, when it holds none, that of the first template it can make.
func (t *TPM) Endorsement(ctx context.Context) (Endorsement, error) {
	return read(ctx, t, "read the endorsement of the TPM", (*bus).readEndorsement)
}

// AttestationKey makes the TPM's attestation key and returns its TPMT_PUBLIC.
// It is a restricted signing key on P-256 in the endorsement hierarchy: the
// same one each time until the TPM is given another endorsement seed. It is
// never kept loaded.
func (t *TPM) AttestationKey(ctx context.Context) (public []byte, err error) {
	return read(ctx, t, "make the attestation key", func(b *bus) ([]byte, error) {
		ak, err := b.loadPrimary(attestationTemplate())
		if err != nil {
			return nil, err
		}
		return tpm2.Marshal(ak.public), b.flushIfLinked(ak.handle)
	})
}

// ActivateCredential opens what somebody sealed to the endorsement key and the
// Name of the attestation key: blob is the content of a TPM2B_ID_OBJECT, secret
// that of a TPM2B_ENCRYPTED_SECRET (Part 3, section 12.5). ErrCredential tells
// that it was made for another TPM or another attestation key.
func (t *TPM) ActivateCredential(ctx context.Context, blob, secret []byte) ([]byte, error) {
	const op = "open the challenge"
	if len(blob) > maxBlob || len(secret) > maxSealed {
		return nil, fmt.Errorf("%s: %w (%d and %d bytes are too long)", op, ErrCredential, len(blob), len(secret))
	}
	return read(ctx, t, op, func(b *bus) ([]byte, error) {
		e, _, err := b.findEndorsement()
		if err != nil {
			return nil, err
		}
		return b.activate(e, blob, secret)
	})
}

// findEndorsement chooses the endorsement key and reads its certificate, if
// there is one.
func (b *bus) findEndorsement() (endorsement, []byte, error) {
	all := endorsements()
	for _, e := range all {
		data, err := b.nvData(e.index)
		if err != nil {
			return endorsement{}, nil, err
		}
		if list := cutCertificates(data); len(list) > 0 {
			return e, list[0], nil
		}
	}
	return all[0], nil, nil
}

func (b *bus) readEndorsement() (Endorsement, error) {
	e, certificate, err := b.findEndorsement()
	if err != nil {
		return Endorsement{}, err
	}
	ek, err := b.loadPrimary(e.template)
	if err != nil {
		return Endorsement{}, err
	}
	if err := b.flush(ek.handle); err != nil {
		return Endorsement{}, err
	}
	found := Endorsement{Public: tpm2.Marshal(ek.public)}
	if certificate == nil {
		return found, nil
	}
	found.Certificates = append(found.Certificates, certificate)
	chain, err := b.readChain()
	if err != nil {
		return Endorsement{}, err
	}
	found.Certificates = append(found.Certificates, cutCertificates(chain)...)
	return found, nil
}

// activate holds the endorsement key, the attestation key and one session at
// once: two of three places for objects.
func (b *bus) activate(e endorsement, blob, secret []byte) (opened []byte, err error) {
	ek, err := b.loadPrimary(e.template)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.flushIfLinked(ek.handle)) }()
	ak, err := b.loadPrimary(attestationTemplate())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.flushIfLinked(ak.handle)) }()
	rsp, err := tpm2.ActivateCredential{
		ActivateHandle: ak.auth(tpm2.PasswordAuth(nil)),
		KeyHandle:      ek.auth(tpm2.Policy(tpm2.TPMAlgSHA256, 16, endorsementPolicy)),
		CredentialBlob: tpm2.TPM2BIDObject{Buffer: blob},
		Secret:         tpm2.TPM2BEncryptedSecret{Buffer: secret},
	}.Execute(b)
	switch {
	case isCode(err, tpm2.TPMRCIntegrity, tpm2.TPMRCValue, tpm2.TPMRCSize, tpm2.TPMRCECCPoint, tpm2.TPMRCInsufficient):
		return nil, fmt.Errorf("%w (%w)", ErrCredential, err)
	case isCode(err, tpm2.TPMRCFailure):
		// libtpms says so when the padding of RSA does not fit; a TPM that
		// really failed says so to everything else too.
		if _, sick := b.readClock(); sick != nil {
			return nil, b.fault("activate the credential", sick)
		}
		return nil, fmt.Errorf("%w (%w)", ErrCredential, err)
	case err != nil:
		return nil, b.fault("activate the credential", err)
	}
	return rsp.CertInfo.Buffer, nil
}

// endorsementPolicy satisfies the policy of the low range's templates: whoever
// may use the endorsement hierarchy may use its key.
func endorsementPolicy(link transport.TPM, session tpm2.TPMISHPolicy, nonce tpm2.TPM2BNonce) error {
	_, err := tpm2.PolicySecret{
		AuthHandle: tpm2.TPMRHEndorsement, PolicySession: session, NonceTPM: nonce,
	}.Execute(link)
	return err
}

// attestationTemplate makes the attestation key. Package attest demands the
// same.
func attestationTemplate() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
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
	}
}

// primary is a key that was made from its template and is loaded right now.
type primary struct {
	handle tpm2.TPMHandle
	public tpm2.TPMTPublic
	name   Name
}

func (p primary) auth(s tpm2.Session) tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: p.handle, Name: tpm2.TPM2BName{Buffer: p.name[:]}, Auth: s}
}

// loadPrimary makes a key of the endorsement hierarchy. The caller flushes it.
func (b *bus) loadPrimary(template tpm2.TPMTPublic) (primary, error) {
	rsp, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(template),
	}.Execute(b)
	if err != nil {
		err = b.fault("make a key of the endorsement hierarchy", err)
		if refused(err) {
			err = fmt.Errorf("%w; the endorsement hierarchy of this TPM has a password: remove it or clear the TPM", err)
		}
		return primary{}, err
	}
	p := primary{handle: rsp.ObjectHandle}
	public, err := rsp.OutPublic.Contents()
	if err == nil {
		p.public = *public
		p.name, err = nameOf(public)
	}
	if err == nil && !sameTemplate(public, template) {
		err = errors.New("the TPM made another key than it was asked for")
	}
	if err != nil {
		return primary{}, errors.Join(b.fault("read a key of the endorsement hierarchy", err), b.flushIfLinked(p.handle))
	}
	return p, nil
}

// attest runs say with the attestation key loaded.
func (b *bus) attest(say func(ak tpm2.AuthHandle) (Statement, error)) (Statement, error) {
	ak, err := b.loadPrimary(attestationTemplate())
	if err != nil {
		return Statement{}, err
	}
	s, err := say(ak.auth(tpm2.PasswordAuth(nil)))
	return s, errors.Join(err, b.flushIfLinked(ak.handle))
}

// isCode tells whether err is one of the TPM's codes, whatever handle, session
// or parameter it blames.
func isCode(err error, codes ...tpm2.TPMRC) bool {
	return err != nil && slices.ContainsFunc(codes, func(c tpm2.TPMRC) bool { return errors.Is(err, c) })
}
