// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/smp"
)

// signature asks for one and takes it out of the answer.
func (b *bench) signature(ctx context.Context, step string, c call) ([]byte, error) {
	var a struct {
		Sig []byte `cbor:"sig"`
	}
	if err := b.accept(ctx, step, c, &a); err != nil {
		return nil, err
	}
	if len(a.Sig) == 0 {
		return nil, wrong(step, "sig", "none")
	}
	return a.Sig, nil
}

func (b *bench) proveSignature(ctx context.Context) error {
	for range 2 {
		if err := b.proves(ctx, "prove", enroll.Installed); err != nil {
			return err
		}
	}
	return nil
}

// proves asks for a proof and verifies it over what this run knows.
func (b *bench) proves(ctx context.Context, step string, state enroll.State) error {
	if b.pub == nil {
		return unchecked("the board's public key is not known")
	}
	if b.facts.Prot == nil {
		return unchecked("info has no prot")
	}
	p := enroll.Proof{
		Nonce: random32(), Chain: sha256.Sum256(b.chain), Anchors: sha256.Sum256(b.anchors), Rework: sha256.Sum256(b.keys),
		Prot: uint8(*b.facts.Prot), State: state, UID: b.facts.UID,
	}
	if len(b.facts.Root) == sha256.Size {
		p.Root = [32]byte(b.facts.Root)
	}
	sig, err := b.signature(ctx, step, proveCall(p.Nonce[:]))
	if err != nil {
		return err
	}
	if err := p.Verify(b.pub, b.alg, sig); err != nil {
		return wrong(step, fmt.Sprintf("a signature with %s over %x", b.alg, p.Message()), "%x: %v", sig, err)
	}
	return nil
}

// verifyContent is the content of a TLS 1.3 client CertificateVerify (RFC 8446,
// 4.4.3) with a transcript hash of n bytes.
func verifyContent(n int) []byte {
	transcript := make([]byte, n)
	_, _ = rand.Read(transcript) // never fails
	return slices.Concat(bytes.Repeat([]byte{' '}, 64), []byte("TLS 1.3, client CertificateVerify\x00"), transcript)
}

func (b *bench) tlsAccepts(ctx context.Context) error {
	if b.pub == nil {
		return unchecked("the board's public key is not known")
	}
	for _, n := range []int{32, 48} {
		step := fmt.Sprintf("tls-sign with a transcript of %d bytes", n)
		tbs := verifyContent(n)
		sig, err := b.signature(ctx, step, tlsSignCall(tbs))
		if err != nil {
			return err
		}
		if !verifiesTLS(b.pub, tbs, sig) {
			return wrong(step, "a signature by the board's key over tbs", "%x", sig)
		}
	}
	return nil
}

// verifiesTLS verifies a signature of TLS 1.3 (RFC 8446, 4.2.3): ECDSA with the
// hash of the curve, Ed25519, RSASSA-PSS with SHA-256 and its salt length.
func verifiesTLS(pub crypto.PublicKey, tbs, sig []byte) bool {
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		d := sum(tbs)
		if key.Params().BitSize == 384 {
			d384 := sha512.Sum384(tbs)
			d = d384[:]
		}
		return ecdsa.VerifyASN1(key, d, sig)
	case ed25519.PublicKey:
		return ed25519.Verify(key, tbs, sig)
	case *rsa.PublicKey:
		return rsa.VerifyPSS(key, crypto.SHA256, sum(tbs), sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	}
	return false
}

func (b *bench) tlsRefuses(ctx context.Context) error {
	good := verifyContent(32)
	with := func(at int, v byte) []byte {
		t := bytes.Clone(good)
		t[at] = v
		return t
	}
	proof := enroll.Proof{Nonce: random32(), UID: b.facts.UID}
	steps := []refusalStep{
		{step: "tls-sign of nothing", call: tlsSignCall(nil)},
		{step: "tls-sign without a transcript", call: tlsSignCall(verifyContent(0))},
		{step: "tls-sign with a transcript of 31 bytes", call: tlsSignCall(verifyContent(31))},
		{step: "tls-sign with a transcript of 33 bytes", call: tlsSignCall(verifyContent(33))},
		{step: "tls-sign with a transcript of 47 bytes", call: tlsSignCall(verifyContent(47))},
		{step: "tls-sign with a transcript of 49 bytes", call: tlsSignCall(verifyContent(49))},
		{step: "tls-sign with a transcript of 64 bytes", call: tlsSignCall(verifyContent(64))},
		{step: "tls-sign with 21 as its first byte", call: tlsSignCall(with(0, 0x21))},
		{step: "tls-sign with 00 as its 64th byte", call: tlsSignCall(with(63, 0))},
		{step: "tls-sign with 63 spaces and 33 bytes of transcript", call: tlsSignCall(append(bytes.Clone(good[1:]), 0))},
		{step: "tls-sign of a server's content", call: tlsSignCall(bytes.Replace(good, []byte("client"), []byte("server"), 1))},
		{step: "tls-sign with 01 before the transcript", call: tlsSignCall(with(97, 1))},
		{step: "tls-sign of the message of prove", call: tlsSignCall(proof.Message())},
		{step: "tls-sign of a bare digest", call: tlsSignCall(good[98:])},
	}
	for i := range steps {
		steps[i].rc = enroll.RCMalformed
	}
	return b.refuseAll(ctx, steps)
}

func (b *bench) tlsHandshake(ctx context.Context) error {
	if b.root == nil {
		return unchecked("no chain could be installed")
	}
	roots := x509.NewCertPool()
	roots.AddCert(b.root.cert)
	_, err := b.session.Rehearse(ctx, enroll.Rehearsal{Chain: b.certs, Roots: roots, Alg: b.alg})
	var link *smp.LinkError
	if err == nil || errors.As(err, &link) || ctx.Err() != nil {
		return err
	}
	return wrong("a TLS 1.3 handshake as its client", "that the server accepts chain and signature", "%v", err)
}

// otherAlgorithms makes a key of each further algorithm and has it used.
func (b *bench) otherAlgorithms(ctx context.Context) error {
	none := true
	for _, alg := range b.facts.Algs {
		if _, known := signatureOf[alg]; alg == "ES256" || !known {
			continue
		}
		none = false
		if err := b.bring(ctx, enroll.Keyed); err != nil {
			return err
		}
		if err := b.makeKey(ctx, alg, true); err != nil {
			return err
		}
		if err := b.shows(ctx, "keygen of "+alg, enroll.Keyed); err != nil {
			return err
		}
		if _, err := b.requestFor(ctx, "unit "+alg, "1"); err != nil {
			return err
		}
		if b.root == nil {
			continue // its signatures are asked for in state 2
		}
		if err := b.install(ctx); err != nil {
			return err
		}
		if err := b.proves(ctx, "prove with "+alg, enroll.Installed); err != nil {
			return err
		}
		if err := b.tlsAccepts(ctx); err != nil {
			return err
		}
	}
	if none {
		return outside("info names ES256 alone")
	}
	return nil
}
