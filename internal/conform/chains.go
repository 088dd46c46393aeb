// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"slices"
)

// sound makes a chain for this board that only a pinned root can refuse, and
// its authorities, the issuer first.
func (b *bench) sound(ctx context.Context) (chain []byte, issuers []*Authority, err error) {
	if b.throw == nil {
		return nil, nil, unchecked("info names no signature algorithm to make a chain with")
	}
	if err := b.knowKey(ctx); err != nil {
		return nil, nil, err
	}
	issuer, err := b.authority(b.throw, caTemplate("Test issuing"))
	if err != nil {
		return nil, nil, err
	}
	leaf, err := b.leaf(issuer)
	if err != nil {
		return nil, nil, err
	}
	return slices.Concat(leaf.Raw, issuer.cert.Raw), []*Authority{issuer, b.throw}, nil
}

// A spoiler makes a chain that a board must refuse.
type spoiler func(b *bench, issuer *Authority) ([]byte, error)

// refuses is a check that a chain is refused with rc and changes nothing.
func refuses(rc int, spoil spoiler) func(*bench, context.Context) error {
	return func(b *bench, ctx context.Context) error {
		_, issuers, err := b.sound(ctx)
		if err != nil {
			return err
		}
		chain, err := spoil(b, issuers[0])
		if err != nil {
			return err
		}
		_, err = b.attempt(ctx, "commit of that chain", chain, nil, nil, rc)
		return err
	}
}

// under makes a leaf under an issuer and puts their certificates together.
func (b *bench) under(issuer *Authority, more ...*Authority) ([]byte, error) {
	leaf, err := b.leaf(issuer)
	if err != nil {
		return nil, err
	}
	chain := slices.Concat(leaf.Raw, issuer.cert.Raw)
	for _, a := range more {
		chain = append(chain, a.cert.Raw...)
	}
	return chain, nil
}

// brokenSignature: another key with the issuer's name signed the leaf.
func brokenSignature(b *bench, issuer *Authority) ([]byte, error) {
	other, err := b.authority(b.throw, caTemplate("Test issuing"))
	if err != nil {
		return nil, err
	}
	leaf, err := b.leaf(other)
	if err != nil {
		return nil, err
	}
	return slices.Concat(leaf.Raw, issuer.cert.Raw), nil
}

// otherName: the issuer's key signed the leaf, under another name.
func otherName(b *bench, issuer *Authority) ([]byte, error) {
	renamed, err := sign(b.throw, caTemplate("Test renamed"), issuer.key.Public(), nil)
	if err != nil {
		return nil, err
	}
	leaf, err := b.leaf(issuer)
	if err != nil {
		return nil, err
	}
	return slices.Concat(leaf.Raw, renamed.Raw), nil
}

func notCA(b *bench, _ *Authority) ([]byte, error) {
	t := caTemplate("Test no authority")
	t.IsCA, t.MaxPathLen = false, 0
	issuer, err := b.authority(b.throw, t)
	if err != nil {
		return nil, err
	}
	return b.under(issuer)
}

func pathLength(b *bench, _ *Authority) ([]byte, error) {
	t := caTemplate("Test upper")
	t.MaxPathLen, t.MaxPathLenZero = 0, true
	upper, err := b.authority(b.throw, t)
	if err != nil {
		return nil, err
	}
	lower, err := b.authority(upper, caTemplate("Test lower"))
	if err != nil {
		return nil, err
	}
	return b.under(lower, upper)
}

// otherHash signs the leaf by P-256 with SHA-384, which no name stands for.
func otherHash(b *bench, _ *Authority) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert, err := sign(b.throw, caTemplate("Test hash"), key.Public(), nil)
	if err != nil {
		return nil, err
	}
	t := leafTemplate()
	t.SignatureAlgorithm = x509.ECDSAWithSHA384
	leaf, err := sign(&Authority{cert, key}, t, b.pub, nil)
	if err != nil {
		return nil, err
	}
	return slices.Concat(leaf.Raw, cert.Raw), nil
}

// foreign is a chain of sound links for another key than the board's.
func (b *bench) foreign(ctx context.Context, broken bool) ([]byte, error) {
	_, issuers, err := b.sound(ctx)
	if err != nil {
		return nil, err
	}
	issuer, above := issuers[0], issuers[0].cert
	if broken {
		above = issuers[1].cert // its name is not the issuer's
	}
	leaf, err := b.authority(issuer, leafTemplate())
	if err != nil {
		return nil, err
	}
	return slices.Concat(leaf.cert.Raw, above.Raw), nil
}
