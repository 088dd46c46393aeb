// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxChain is the most certificates, leaf included and root not, that a board takes.
const MaxChain = 4

// Certificate is a signed certificate that was linted and whose chain holds.
type Certificate struct {
	DER    []byte
	Parsed *x509.Certificate
	Serial string   // lower-case hex
	SHA256 [32]byte // of DER
}

// Sign signs exactly these TBS bytes, prepared now or recorded before a crash.
// It signs nothing but a device's certificate by this very issuer for the key
// with this digest: the TBS is parsed and linted before the key is touched.
// The result was parsed again, linted and verified: its signature, over exactly
// these bytes, under the key that the chain certifies, and today's date against
// that of every issuer.
//
// Signing twice gives two signatures over the same certificate contents; that
// is safe after a lost answer, since the serial number stays the same.
func (i *Issuer) Sign(ctx context.Context, tbs []byte, spki [32]byte) (*Certificate, error) {
	draft, err := i.parseTBS(tbs)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	serial := serialText(draft.SerialNumber)
	if err := i.lint(draft, spki); err != nil {
		return nil, fmt.Errorf("sign certificate %s: %w", serial, err)
	}
	h := i.scheme.hash.New()
	h.Write(tbs)
	signature, err := i.signDigest(ctx, h.Sum(nil))
	if err != nil {
		return nil, fmt.Errorf("sign certificate %s: %w", serial, err)
	}
	der, err := i.assemble(tbs, signature)
	if err != nil {
		return nil, fmt.Errorf("sign certificate %s: %w", serial, err)
	}
	return i.check(der, tbs, spki)
}

// check is what a certificate goes through between the key and the world. The
// key is trusted with nothing: its signature is verified in what is about to leave.
func (i *Issuer) check(der, tbs []byte, spki [32]byte) (*Certificate, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("check signed certificate: %w", err)
	}
	serial := serialText(cert.SerialNumber)
	if !bytes.Equal(cert.RawTBSCertificate, tbs) {
		return nil, fmt.Errorf("check certificate %s: it does not hold the bytes that were to be signed", serial)
	}
	if err := i.lint(cert, spki); err != nil {
		return nil, fmt.Errorf("check certificate %s: %w", serial, err)
	}
	if err := i.Verify(cert); err != nil {
		return nil, fmt.Errorf("check certificate %s: %w", serial, err)
	}
	return &Certificate{DER: der, Parsed: cert, Serial: serial, SHA256: sha256.Sum256(der)}, nil
}

// parseTBS parses bytes to be signed by giving them a signature of zeros.
func (i *Issuer) parseTBS(tbs []byte) (*x509.Certificate, error) {
	if len(tbs) == 0 || len(tbs) > MaxRequest {
		return nil, fmt.Errorf("certificate contents of %d bytes; allowed: 1 to %d", len(tbs), MaxRequest)
	}
	der, err := i.assemble(tbs, make([]byte, i.scheme.longest))
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse what is to be signed: %w", err)
	}
	if !bytes.Equal(cert.RawTBSCertificate, tbs) || !endsWithExtensions(tbs) {
		return nil, fmt.Errorf("parse what is to be signed: bytes are left over")
	}
	return cert, nil
}

// assemble makes a Certificate (RFC 5280 4.1) of its three parts.
func (i *Issuer) assemble(tbs, signature []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(i.scheme.identifier)
		b.AddASN1BitString(signature)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("assemble certificate: %w", err)
	}
	return der, nil
}

// endsWithExtensions says whether the last element of a TBSCertificate is its
// extensions: crypto/x509 does not look at what stands behind them.
func endsWithExtensions(tbs []byte) bool {
	var body, element cryptobyte.String
	in := cryptobyte.String(tbs)
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !in.Empty() {
		return false
	}
	var tag cbasn1.Tag
	for !body.Empty() {
		if !body.ReadAnyASN1Element(&element, &tag) {
			return false
		}
	}
	return tag == cbasn1.Tag(3).ContextSpecific().Constructed()
}

// keyBits returns the subjectPublicKey bits of a SubjectPublicKeyInfo.
func keyBits(spki []byte) (bits []byte, ok bool) {
	var body cryptobyte.String
	in := cryptobyte.String(spki)
	ok = in.ReadASN1(&body, cbasn1.SEQUENCE) && in.Empty() &&
		body.SkipASN1(cbasn1.SEQUENCE) && body.ReadASN1BitStringAsBytes(&bits) && body.Empty()
	return bits, ok
}

// Board is what a board says about itself that bears on the chain it is given.
type Board struct {
	Verify []string  // signature algorithms it can check
	Max    int       // largest object in bytes it takes
	Root   *[32]byte // SHA-256 of the root certificate its firmware pins, if any
}

// CheckBoard says, before anything is signed, whether a board will take the
// chain of a draft: every signature it has to check, its size, its root.
// A board that will not gives a *[Refusal].
func (i *Issuer) CheckBoard(d *Draft, b Board) error {
	// The board checks the leaf and each intermediate under the next one; the
	// topmost link only if it has the root.
	names := []string{i.signatureOn(d)}
	size := len(d.tbs) + i.scheme.longest + len(i.scheme.identifier) + 16 // 16: outer tags and lengths, rounded up
	for n, c := range i.chain[:len(i.chain)-1] {
		size += len(c.Raw)
		if n+2 < len(i.chain) || b.Root != nil {
			names = append(names, signatureName(c, i.chain[n+1].PublicKey))
		}
	}
	if len(i.chain) > MaxChain {
		return refuse(ReasonBoardMax, "chain of %d certificates; allowed: %d", len(i.chain), MaxChain)
	}
	if size > min(b.Max, MaxRequest) {
		return refuse(ReasonBoardMax, "chain of up to %d bytes; allowed by the board: %d", size, min(b.Max, MaxRequest))
	}
	for _, name := range names {
		if !slices.Contains(b.Verify, name) {
			return refuse(ReasonBoardVerify, "the chain carries a signature with %s; the board can verify: %s",
				name, clip(strings.Join(b.Verify, ", ")))
		}
	}
	if root := sha256.Sum256(i.Root().Raw); b.Root != nil && *b.Root != root {
		return refuse(ReasonBoardRoot, "the board's firmware pins root %s, this station's root is %s",
			hex.EncodeToString(b.Root[:]), hex.EncodeToString(root[:]))
	}
	return nil
}

// signatureOn names the algorithm that a draft will be signed with.
func (i *Issuer) signatureOn(*Draft) string {
	return signatureName(&x509.Certificate{SignatureAlgorithm: i.scheme.algorithm}, i.signer.Public())
}
