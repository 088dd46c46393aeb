// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// ParseRenewal reads the request (RFC 2986) of a device that was certified
// before and asks for a new certificate for the same key. It comes by somebody
// else's channel, so that, unlike [ParseRequest], nothing in it is known
// before: its algorithm is one of the table, its subject has a common name, it
// asks for nothing (a challengePassword may be there and is not looked at) and
// it is signed by the key it carries. A request that is refused gives a
// *[Refusal].
//
// Whether the device may have what it asks for is [Issuer.Renew]'s business.
func ParseRenewal(der []byte) (*Request, error) {
	p, err := splitRequest(der)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(algorithms, func(a algorithm) bool { return bytes.Equal(a.identifier, p.sigAlg) })
	if at < 0 {
		return nil, refuse(ReasonAlgorithm, "request is signed with an algorithm that is not one of %s", algorithmNames())
	}
	alg := &algorithms[at]
	public, err := parseKey(p.spki, alg)
	if err != nil {
		return nil, err
	}
	if !alg.verify(public, p.tbs, p.signature) {
		return nil, refuse(ReasonSignature, "the request's signature does not verify under its own key")
	}
	if err := asksForNothing(p.attributes); err != nil {
		return nil, err
	}
	parts, ok := splitName(p.subject)
	if !ok {
		return nil, refuse(ReasonMalformed, "the request's subject is not a name of single-valued parts")
	}
	r := &Request{
		der: bytes.Clone(der), rawSPKI: bytes.Clone(p.spki), spki: sha256.Sum256(p.spki), sum: sha256.Sum256(der),
		public: public, alg: alg.name, r: signatureR(public, p.signature), names: parts,
	}
	for _, part := range parts {
		switch part.oid {
		case oidCommonName.String():
			r.cn = part.value
		case oidSerialNumber.String():
			r.sn = part.value
		}
	}
	if r.cn == "" {
		return nil, refuse(ReasonIdentity, "the request's subject has no common name")
	}
	return r, nil
}

// asksForNothing allows a challengePassword among the attributes, and nothing else.
func asksForNothing(attributes []byte) error {
	seen := false
	for in := cryptobyte.String(attributes); !in.Empty(); {
		var (
			attribute, values cryptobyte.String
			oid               asn1.ObjectIdentifier
		)
		switch {
		case !in.ReadASN1(&attribute, cbasn1.SEQUENCE) || !attribute.ReadASN1ObjectIdentifier(&oid) ||
			!attribute.ReadASN1(&values, cbasn1.SET) || !attribute.Empty():
			return refuse(ReasonMalformed, "the request's attributes are not a set of types and values")
		case !oid.Equal(oidChallengePassword):
			return refuse(ReasonExtraAttribute, "request asks for attribute %s; allowed: challengePassword alone", oid)
		case seen:
			return refuse(ReasonDoubledAttribute, "request carries challengePassword twice")
		}
		seen = true
	}
	return nil
}

// CN is the common name of the request's subject.
func (r *Request) CN() string { return r.cn }

// Renew builds the certificate that replaces another one for the same key.
// Subject and subjectAltName are those of the old certificate, byte for byte:
// a unit keeps its name, whatever variables it was once filled from. Lifetime,
// key usage and further extensions are the profile's, the issuer is this one.
// The request must continue the old certificate ([Request.Continues]).
//
// Errors: *[Refusal], [ErrWindow], or what the profile has against the name.
func (i *Issuer) Renew(p *Profile, r *Request, old *x509.Certificate) (*Draft, error) {
	if !slices.Contains(p.algorithms, r.alg) {
		return nil, refuse(ReasonAlgorithm, "profile %s does not take %s keys; allowed: %v", p.name, r.alg, p.algorithms)
	}
	if err := r.Continues(old); err != nil {
		return nil, err
	}
	template, err := i.template(p, r)
	if err != nil {
		return nil, err
	}
	template.RawSubject = old.RawSubject
	template.ExtraExtensions = slices.Clone(p.extensions)
	san := slices.IndexFunc(old.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidSubjectAltName) })
	if san >= 0 {
		template.ExtraExtensions = append([]pkix.Extension{old.Extensions[san]}, template.ExtraExtensions...)
	}
	return i.draft(p, r, template)
}

// Continues says whether a request of [ParseRenewal] comes from whom a
// certificate is for: the key is the same, and every part of the request's
// subject stands in the certificate's. If not, the error is a *[Refusal].
func (r *Request) Continues(old *x509.Certificate) error {
	if sha256.Sum256(old.RawSubjectPublicKeyInfo) != r.spki {
		return refuse(ReasonSPKI, "request is for key %x, the certificate to be renewed for another", r.spki)
	}
	have, ok := splitName(old.RawSubject)
	if !ok {
		return refuse(ReasonMalformed, "the subject of the certificate to be renewed is not a name of single-valued parts")
	}
	for _, part := range r.names {
		// In which string type a device writes its name is its own affair.
		same := func(h nameValue) bool { return h.oid == part.oid && h.value == part.value }
		if !slices.ContainsFunc(have, same) {
			return refuse(ReasonIdentity, "request says %s %q, which is not in the certificate's subject %q", part.oid, clip(part.value), old.Subject)
		}
	}
	return nil
}
