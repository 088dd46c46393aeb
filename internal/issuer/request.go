// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxRequest is the longest request in bytes that is looked at: the largest
// object the enrollment protocol moves.
const MaxRequest = 8192

// Expect is what a request must say: everything in it is known before it is read.
type Expect struct {
	CN    string   // subject CN, 1-64 bytes
	SN    string   // subject serialNumber; empty: none may be there
	Nonce [32]byte // challengePassword is its base64url without padding
	Alg   string   // ES256, ES384, EdDSA or RS256
	SPKI  [32]byte // SHA-256 of the DER SubjectPublicKeyInfo the board named at keygen
}

// Request is a certification request that passed every check of [ParseRequest].
type Request struct {
	der, rawSPKI []byte
	spki, sum    [32]byte
	public       crypto.PublicKey
	alg, cn, sn  string
	r            []byte
	names        []nameValue // of the subject; of a renewal only
}

// DER returns a copy of the request as it was received.
func (r *Request) DER() []byte { return bytes.Clone(r.der) }

// SHA256 is the digest of the request as it was received.
func (r *Request) SHA256() [32]byte { return r.sum }

// SPKI is the SHA-256 of the DER SubjectPublicKeyInfo.
func (r *Request) SPKI() [32]byte { return r.spki }

// PublicKey is *ecdsa.PublicKey, ed25519.PublicKey or *rsa.PublicKey.
func (r *Request) PublicKey() crypto.PublicKey { return r.public }

// Alg is the algorithm of key and signature: ES256, ES384, EdDSA or RS256.
func (r *Request) Alg() string { return r.alg }

// R is the first half of the request's ECDSA signature, r, in as many bytes as
// the curve's order has; nil for other algorithms. Two signatures with the same
// r were made with the same secret number, and give their keys away.
func (r *Request) R() []byte { return bytes.Clone(r.r) }

// signatureR reads r from a DER ECDSA-Sig-Value (RFC 3279 2.2.3) that was found
// to verify.
func signatureR(public crypto.PublicKey, signature []byte) []byte {
	key, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return nil
	}
	var (
		body cryptobyte.String
		r    big.Int
	)
	in := cryptobyte.String(signature)
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1Integer(&r) {
		return nil
	}
	return r.FillBytes(make([]byte, (key.Params().N.BitLen()+7)/8))
}

// ParseRequest checks a PKCS#10 request (RFC 2986) in the one form the
// enrollment protocol allows: version 0, subject CN (UTF8String) and perhaps
// serialNumber (PrintableString), the single attribute challengePassword
// (UTF8String, base64url of the nonce), signed by the key it carries.
//
// The form leaves no freedom, so after every part has been looked at for the
// sake of a precise refusal, the whole is built again from what was expected
// and must be equal byte for byte. A request that is refused gives a *[Refusal].
//
// The attributes are read from the raw bytes: crypto/x509 drops
// challengePassword without a word.
func ParseRequest(der []byte, want Expect) (*Request, error) {
	p, err := splitRequest(der)
	if err != nil {
		return nil, err
	}
	alg, err := p.algorithm(want.Alg)
	if err != nil {
		return nil, err
	}
	spki := sha256.Sum256(p.spki)
	if spki != want.SPKI {
		return nil, refuse(ReasonSPKI, "request is for key %x, the board named key %x", spki, want.SPKI)
	}
	public, err := parseKey(p.spki, alg)
	if err != nil {
		return nil, err
	}
	if !alg.verify(public, p.tbs, p.signature) {
		return nil, refuse(ReasonSignature, "the request's signature does not verify under its own key")
	}
	if err := checkSubject(p.subject, want.CN, want.SN); err != nil {
		return nil, err
	}
	if err := checkAttributes(p.attributes, challenge(want.Nonce)); err != nil {
		return nil, err
	}
	tbs, err := requestTBS(p.spki, want)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(tbs, p.tbs) {
		return nil, refuse(ReasonMalformed, "request is not in the one encoding the protocol allows")
	}
	der = bytes.Clone(der)
	return &Request{
		der: der, rawSPKI: bytes.Clone(p.spki), spki: spki, sum: sha256.Sum256(der),
		public: public, alg: alg.name, cn: want.CN, sn: want.SN, r: signatureR(public, p.signature),
	}, nil
}

// requestParts are the elements of a request, each with its tag and length
// except attributes and signature, which are contents only.
type requestParts struct {
	tbs, subject, spki, attributes, sigAlg, signature []byte
}

// splitRequest takes a request apart: sizes, tags, lengths, nothing left over.
func splitRequest(der []byte) (p requestParts, err error) {
	if len(der) == 0 || len(der) > MaxRequest {
		return p, refuse(ReasonSize, "request of %d bytes; allowed: 1 to %d", len(der), MaxRequest)
	}
	var (
		outer, tbs, sigAlg, body, subject, spki, attributes cryptobyte.String
		version                                             uint64
	)
	in := cryptobyte.String(der)
	if !in.ReadASN1(&outer, cbasn1.SEQUENCE) || !in.Empty() {
		return p, refuse(ReasonMalformed, "not one DER sequence without anything behind it")
	}
	if !outer.ReadASN1Element(&tbs, cbasn1.SEQUENCE) || !outer.ReadASN1Element(&sigAlg, cbasn1.SEQUENCE) ||
		!outer.ReadASN1BitStringAsBytes(&p.signature) || !outer.Empty() {
		return p, refuse(ReasonMalformed, "not the three parts of a certification request (RFC 2986 4.2)")
	}
	in = tbs
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1Integer(&version) || version != 0 {
		return p, refuse(ReasonMalformed, "request version is not 0 (RFC 2986 4.1)")
	}
	if !body.ReadASN1Element(&subject, cbasn1.SEQUENCE) || !body.ReadASN1Element(&spki, cbasn1.SEQUENCE) ||
		!body.ReadOptionalASN1(&attributes, nil, cbasn1.Tag(0).ContextSpecific().Constructed()) || !body.Empty() {
		return p, refuse(ReasonMalformed, "not subject, key and attributes (RFC 2986 4.1)")
	}
	p.tbs, p.sigAlg, p.subject, p.spki, p.attributes = tbs, sigAlg, subject, spki, attributes
	return p, nil
}

// algorithm finds the signature algorithm and compares it with the one asked for.
func (p *requestParts) algorithm(want string) (*algorithm, error) {
	alg := algorithmNamed(want)
	if alg == nil {
		return nil, refuse(ReasonAlgorithm, "%q was asked for; allowed: %s", want, algorithmNames())
	}
	if !bytes.Equal(p.sigAlg, alg.identifier) {
		return nil, refuse(ReasonAlgorithm, "request is not signed with %s, which was asked for", want)
	}
	return alg, nil
}

// nameValue is one attribute of a name: its type and its tagged value.
type nameValue struct {
	oid   string
	tag   cbasn1.Tag
	value string
}

// checkSubject compares a Name with the one form allowed. Only where it
// differs is it taken apart, to say how.
func checkSubject(subject []byte, cn, sn string) error {
	want, err := requestSubject(cn, sn)
	if err != nil {
		return err
	}
	if bytes.Equal(subject, want) {
		return nil
	}
	got, ok := splitName(subject)
	if !ok {
		return refuse(ReasonMalformed, "the request's subject is not a name of single-valued parts")
	}
	asked, _ := splitName(want)
	if len(got) != len(asked) {
		return refuse(ReasonIdentity, "subject has %d parts, %d were asked for", len(got), len(asked))
	}
	for i := range got {
		if got[i].oid != asked[i].oid || got[i].value != asked[i].value {
			return refuse(ReasonIdentity, "subject says %s %q, asked for was %s %q",
				got[i].oid, clip(got[i].value), asked[i].oid, asked[i].value)
		}
	}
	return refuse(ReasonStringType, "subject is not CN as UTF8String and serialNumber as PrintableString")
}

// splitName reads an RDNSequence of single-valued RDNs (RFC 5280 4.1.2.4).
func splitName(name []byte) (parts []nameValue, ok bool) {
	var rdns cryptobyte.String
	in := cryptobyte.String(name)
	if !in.ReadASN1(&rdns, cbasn1.SEQUENCE) || !in.Empty() {
		return nil, false
	}
	for !rdns.Empty() {
		var (
			set, pair, value cryptobyte.String
			oid              asn1.ObjectIdentifier
			tag              cbasn1.Tag
		)
		if !rdns.ReadASN1(&set, cbasn1.SET) || !set.ReadASN1(&pair, cbasn1.SEQUENCE) || !set.Empty() ||
			!pair.ReadASN1ObjectIdentifier(&oid) || !pair.ReadAnyASN1(&value, &tag) || !pair.Empty() {
			return nil, false
		}
		parts = append(parts, nameValue{oid.String(), tag, string(value)})
	}
	return parts, true
}

// checkAttributes wants exactly one attribute, challengePassword (RFC 2985
// 5.4.1), with exactly one value, a UTF8String equal to want.
func checkAttributes(attributes []byte, want string) error {
	var passwords []cryptobyte.String
	for in := cryptobyte.String(attributes); !in.Empty(); {
		var (
			attribute, values cryptobyte.String
			oid               asn1.ObjectIdentifier
		)
		if !in.ReadASN1(&attribute, cbasn1.SEQUENCE) || !attribute.ReadASN1ObjectIdentifier(&oid) ||
			!attribute.ReadASN1(&values, cbasn1.SET) || !attribute.Empty() {
			return refuse(ReasonMalformed, "the request's attributes are not a set of types and values")
		}
		if !oid.Equal(oidChallengePassword) {
			return refuse(ReasonExtraAttribute, "request asks for attribute %s; allowed: challengePassword alone", oid)
		}
		passwords = append(passwords, values)
	}
	switch len(passwords) {
	case 0:
		return refuse(ReasonMissingAttribute, "request carries no challengePassword")
	case 1:
		return checkPassword(passwords[0], want)
	default:
		return refuse(ReasonDoubledAttribute, "request carries challengePassword %d times", len(passwords))
	}
}

func checkPassword(values cryptobyte.String, want string) error {
	var (
		value cryptobyte.String
		tag   cbasn1.Tag
	)
	switch {
	case values.Empty():
		return refuse(ReasonMissingAttribute, "challengePassword has no value")
	case !values.ReadAnyASN1(&value, &tag):
		return refuse(ReasonMalformed, "challengePassword is not DER")
	case !values.Empty():
		return refuse(ReasonDoubledAttribute, "challengePassword has more than one value")
	case tag != cbasn1.UTF8String:
		return refuse(ReasonStringType, "challengePassword is not a UTF8String")
	case string(value) != want:
		return refuse(ReasonNonce, "challengePassword is not the nonce of this run: the request is stale or another's")
	}
	return nil
}

// challenge is the text the board must return for a nonce.
func challenge(nonce [32]byte) string {
	return base64.RawURLEncoding.EncodeToString(nonce[:])
}

var (
	oidCommonName        = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidSerialNumber      = asn1.ObjectIdentifier{2, 5, 4, 5}
	oidChallengePassword = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}
)

// requestTBS builds the CertificationRequestInfo that the protocol prescribes
// for a key and an identity.
func requestTBS(spki []byte, want Expect) ([]byte, error) {
	subject, err := requestSubject(want.CN, want.SN)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Uint64(0)
		b.AddBytes(subject)
		b.AddBytes(spki)
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidChallengePassword)
				b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
					addString(b, cbasn1.UTF8String, challenge(want.Nonce))
				})
			})
		})
	})
	return b.Bytes()
}

// requestSubject builds the Name of a request: CN, then serialNumber if given.
func requestSubject(cn, sn string) ([]byte, error) {
	if err := checkText("CN", cn, 64); err != nil {
		return nil, refuse(ReasonIdentity, "%v", err)
	}
	if sn != "" {
		if err := checkPrintable("serialNumber", sn, 64); err != nil {
			return nil, refuse(ReasonIdentity, "%v", err)
		}
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addRDN(b, oidCommonName, cbasn1.UTF8String, cn)
		if sn != "" {
			addRDN(b, oidSerialNumber, cbasn1.PrintableString, sn)
		}
	})
	return b.Bytes()
}

func addRDN(b *cryptobyte.Builder, oid asn1.ObjectIdentifier, tag cbasn1.Tag, value string) {
	b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oid)
			addString(b, tag, value)
		})
	})
}

func addString(b *cryptobyte.Builder, tag cbasn1.Tag, value string) {
	b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(value)) })
}

// clip keeps a board's text short enough for a message.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// parseKey reads a SubjectPublicKeyInfo of the algorithm and refuses what is
// not its one encoding, or a key nobody should trust.
func parseKey(spki []byte, alg *algorithm) (crypto.PublicKey, error) {
	public, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		// An elliptic point off its curve ends here too.
		return nil, refuse(ReasonWeakKey, "the public key is no key of its kind: %v", err)
	}
	if !alg.fits(public) {
		return nil, refuse(ReasonAlgorithm, "the key is a %s, not a key for %s", keyKind(public), alg.name)
	}
	if err := checkStrength(public); err != nil {
		return nil, err
	}
	again, err := x509.MarshalPKIXPublicKey(public)
	if err != nil || !bytes.Equal(again, spki) {
		return nil, refuse(ReasonMalformed, "the public key is not in its one encoding (RFC 5280 4.1.2.7)")
	}
	return public, nil
}
