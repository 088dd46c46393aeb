// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// Key is a signing key in the TPM. It is a [crypto.Signer], safe for concurrent
// use, and stays usable across losses of the TPM.
type Key struct {
	tpm     *TPM
	ref     KeyRef
	public  *ecdsa.PublicKey
	auth    func() ([]byte, error)
	checked uint64 // generation of the link on which ref was last compared; the owner's
}

var _ crypto.Signer = (*Key)(nil)

// Key finds the key of ref: ErrNotFound if the handle is empty or holds another
// key. auth gives the PIN; it is called before each signature by the goroutine
// that owns the TPM, must return at once, and keeps its slice. The PIN is not
// tried here: the first signature does that.
func (t *TPM) Key(ctx context.Context, ref KeyRef, auth func() ([]byte, error)) (*Key, error) {
	k := &Key{tpm: t, ref: ref, auth: auth}
	if auth == nil {
		return nil, fmt.Errorf("key %#x: a PIN is needed, and no source of it was given", ref.Handle)
	}
	if err := t.run(ctx, k.find); err != nil {
		return nil, fmt.Errorf("key %#x: %w", ref.Handle, err)
	}
	return k, nil
}

// find compares what stands at the handle with the reference.
func (k *Key) find(b *bus) error {
	public, err := b.readKey(k.ref)
	if err != nil {
		return err
	}
	if k.public == nil {
		if k.public, err = signingKey(public); err != nil {
			return err
		}
	}
	k.checked = b.generation
	return nil
}

// signingKey reads the public key of an unrestricted ECDSA key.
func signingKey(public *tpm2.TPMTPublic) (*ecdsa.PublicKey, error) {
	a := public.ObjectAttributes
	if public.Type != tpm2.TPMAlgECC || !a.SignEncrypt || a.Restricted || a.Decrypt {
		return nil, errors.New("it is not an unrestricted elliptic curve signing key")
	}
	parms, err := public.Parameters.ECCDetail()
	if err != nil {
		return nil, err
	}
	point, err := public.Unique.ECC()
	if err != nil {
		return nil, err
	}
	var curve elliptic.Curve
	switch parms.CurveID {
	case tpm2.TPMECCNistP256:
		curve = elliptic.P256()
	case tpm2.TPMECCNistP384:
		curve = elliptic.P384()
	default:
		return nil, fmt.Errorf("its curve %#x is neither P-256 nor P-384", uint16(parms.CurveID))
	}
	size := (curve.Params().BitSize + 7) / 8
	encoded := make([]byte, 1+2*size)
	encoded[0] = 4 // uncompressed (SEC 1, section 2.3.3)
	x, y := point.X.Buffer, point.Y.Buffer
	if len(x) > size || len(y) > size {
		return nil, errors.New("its public point is longer than its curve")
	}
	copy(encoded[1+size-len(x):], x)
	copy(encoded[1+2*size-len(y):], y)
	return ecdsa.ParseUncompressedPublicKey(curve, encoded)
}

// Ref returns the reference the key was found by.
func (k *Key) Ref() KeyRef { return k.ref }

// Public returns the *ecdsa.PublicKey.
func (k *Key) Public() crypto.PublicKey { return k.public }

// Sign is SignContext without a context: a TPM that is gone is waited for as
// long as Config.Patience says.
func (k *Key) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.SignContext(context.Background(), digest, opts)
}

// SignContext signs a digest of SHA-256, SHA-384 or SHA-512 and returns the
// ASN.1 form (RFC 3279, section 2.2.3). A signature under way when the TPM goes
// away is asked for again until ctx ends: signing twice does no harm. Errors to
// tell apart: ErrLost, ErrPIN, *LockoutError, ErrNotFound, ErrOtherTPM.
func (k *Key) SignContext(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	// The owner may still read the digest after ctx has ended.
	s := &signing{key: k, digest: bytes.Clone(digest)}
	var err error
	if s.hash, err = hashAlgorithm(digest, opts); err != nil {
		return nil, err
	}
	if err := k.tpm.run(ctx, s.do); err != nil {
		return nil, fmt.Errorf("sign with key %#x: %w", k.ref.Handle, err)
	}
	// A chip that computes wrongly would give its key away with the signature.
	if !ecdsa.VerifyASN1(k.public, digest, s.signature) {
		return nil, fmt.Errorf("sign with key %#x: the TPM returned a signature that does not verify", k.ref.Handle)
	}
	return s.signature, nil
}

func hashAlgorithm(digest []byte, opts crypto.SignerOpts) (tpm2.TPMIAlgHash, error) {
	if opts == nil {
		return 0, errors.New("sign: no hash function given")
	}
	algorithms := map[crypto.Hash]tpm2.TPMIAlgHash{
		crypto.SHA256: tpm2.TPMAlgSHA256, crypto.SHA384: tpm2.TPMAlgSHA384, crypto.SHA512: tpm2.TPMAlgSHA512,
	}
	h := opts.HashFunc()
	alg, ok := algorithms[h]
	if !ok {
		return 0, fmt.Errorf("sign: hash function %s is not supported", h)
	}
	if len(digest) != h.Size() {
		return 0, fmt.Errorf("sign: a digest of %d bytes is not a %s", len(digest), h)
	}
	return alg, nil
}

// signing is one signature under way.
type signing struct {
	key       *Key
	digest    []byte
	hash      tpm2.TPMIAlgHash
	signature []byte
}

// do signs.
func (s *signing) do(b *bus) error {
	if s.key.checked != b.generation {
		if err := s.key.find(b); err != nil {
			return err
		}
	}
	secret, err := s.key.auth()
	if err != nil {
		return fmt.Errorf("get the PIN: %w", err)
	}
	if err := checkAuth(secret); err != nil {
		return err
	}
	return b.inSession(func() error { return s.once(b, secret) }, func() error { return s.key.find(b) })
}

// once sends TPM2_Sign (Part 3, section 20.2).
func (s *signing) once(b *bus, secret []byte) error {
	ses, err := b.authorise(s.key.ref.SRK, secret)
	if err != nil {
		return err
	}
	defer ses.wipe()
	rsp, err := tpm2.Sign{
		KeyHandle: tpm2.AuthHandle{
			Handle: tpm2.TPMHandle(s.key.ref.Handle),
			Name:   tpm2.TPM2BName{Buffer: s.key.ref.Name[:]},
			Auth:   ses,
		},
		Digest: tpm2.TPM2BDigest{Buffer: s.digest},
		InScheme: tpm2.TPMTSigScheme{
			Scheme:  tpm2.TPMAlgECDSA,
			Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: s.hash}),
		},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull},
	}.Execute(b)
	if err != nil {
		return b.fault("sign", err)
	}
	sig, err := rsp.Signature.Signature.ECDSA()
	if err != nil {
		return b.fault("sign", err)
	}
	s.signature, err = asn1.Marshal(struct{ R, S *big.Int }{
		new(big.Int).SetBytes(sig.SignatureR.Buffer), new(big.Int).SetBytes(sig.SignatureS.Buffer),
	})
	return err
}

// lockout is the error of a locked TPM, with the time it takes to heal.
func (b *bus) lockout() error {
	state, err := b.readDA()
	if err != nil {
		return err
	}
	over := max(state.Used-state.Max+1, 1)
	return &LockoutError{Heals: time.Duration(over) * state.Interval}
}
