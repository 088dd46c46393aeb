// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"provisioning.example/station/internal/record"
)

// triage is what must be unlike in all units, over all entries.
type triage struct {
	randoms map[string]seen // r of a request's ECDSA signature
	keys    map[string]seen // key that a board made
}

// seen is where a value was met first.
type seen struct {
	epoch  int
	seq    int64
	digest string // of the request
	unit   string
}

// issuing takes the request and the bytes to be signed that an issuing entry
// names. Both are on record before anything is signed.
func (a *auditor) issuing(ctx context.Context, e record.Entry) {
	tbs := a.blob(ctx, e, "tbs_sha256", e.Body.TBS)
	der := a.blob(ctx, e, "csr_sha256", e.Body.CSR)
	if der == nil {
		return
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		a.wrong(e.Epoch, e.Seq, "request", "stores a request that does not parse: %v", err)
		return
	}
	a.random(e, csr)
	a.pool.do(func() { a.request(e, csr, tbs) })
}

// random looks for the same r in another request: whoever has both can compute
// both keys. The request itself is asked, not what the entry says of it.
func (a *auditor) random(e record.Entry, csr *x509.CertificateRequest) {
	r := signatureR(csr)
	if r != e.Body.CSRR && e.Body.CSRR != "" {
		a.wrong(e.Epoch, e.Seq, "request", "says csr_r %s, the request's is %q", e.Body.CSRR, r)
	}
	if r == "" {
		return
	}
	if a.triage.randoms == nil {
		a.triage.randoms = map[string]seen{}
	}
	first, known := a.triage.randoms[r]
	switch {
	case !known:
		a.triage.randoms[r] = seen{e.Epoch, e.Seq, e.Body.CSR, e.Body.Unit()}
	case first.digest != e.Body.CSR:
		a.wrong(e.Epoch, e.Seq, "request", "has a request signed with the random number of that in entry %d of epoch %d, board %s: both keys can be computed",
			first.seq, first.epoch, first.unit)
	}
}

// signatureR is r of a request's ECDSA signature in hex, as many bytes as the
// curve's order has; "" for other algorithms.
func signatureR(csr *x509.CertificateRequest) string {
	key, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return ""
	}
	var (
		body cryptobyte.String
		r    big.Int
	)
	in := cryptobyte.String(csr.Signature)
	order := key.Params().N
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1Integer(&r) || r.Sign() <= 0 || r.Cmp(order) >= 0 {
		return "" // it does not verify, and that is said
	}
	return hex.EncodeToString(r.FillBytes(make([]byte, (order.BitLen()+7)/8)))
}

// request compares a request with its entry and with the bytes to be signed:
// the key, who has it, and that it answered this run's nonce.
func (a *auditor) request(e record.Entry, csr *x509.CertificateRequest, tbs []byte) {
	wrong := func(format string, args ...any) { a.wrong(e.Epoch, e.Seq, "request", format, args...) }
	b := e.Body
	if err := csr.CheckSignature(); err != nil {
		wrong("stores a request that its own key did not sign: %v", err)
	}
	if spki := sha256.Sum256(csr.RawSubjectPublicKeyInfo); hex.EncodeToString(spki[:]) != b.SPKI {
		wrong("stores a request for another key")
	}
	if nonce, err := hex.DecodeString(b.Nonce); err == nil && len(nonce) > 0 &&
		!bytes.Contains(csr.RawTBSCertificateRequest, []byte(base64.RawURLEncoding.EncodeToString(nonce))) {
		wrong("stores a request that does not answer its nonce")
	}
	if b.CN != "" && csr.Subject.CommonName != b.CN {
		wrong("stores a request for the name %q, not %q", csr.Subject.CommonName, b.CN)
	}
	if tbs == nil || b.Run == "" {
		return // a renewal takes nothing but the key from its request
	}
	name, ok := subjectOf(tbs)
	switch {
	case !ok:
		wrong("stores bytes to be signed that are no certificate's")
	case name.CommonName != csr.Subject.CommonName || csr.Subject.SerialNumber != "" && name.SerialNumber != csr.Subject.SerialNumber:
		wrong("is about to sign for %q %q, the board asked as %q %q",
			name.CommonName, name.SerialNumber, csr.Subject.CommonName, csr.Subject.SerialNumber)
	}
}

// subjectOf reads the subject of a TBSCertificate (RFC 5280 4.1).
func subjectOf(tbs []byte) (name pkix.Name, ok bool) {
	var body, subject cryptobyte.String
	in := cryptobyte.String(tbs)
	ok = in.ReadASN1(&body, cbasn1.SEQUENCE) &&
		body.SkipOptionalASN1(cbasn1.Tag(0).ContextSpecific().Constructed()) && // version
		body.SkipASN1(cbasn1.INTEGER) && body.SkipASN1(cbasn1.SEQUENCE) && // serial number, algorithm
		body.SkipASN1(cbasn1.SEQUENCE) && body.SkipASN1(cbasn1.SEQUENCE) && // issuer, validity
		body.ReadASN1Element(&subject, cbasn1.SEQUENCE)
	if !ok {
		return name, false
	}
	var rdns pkix.RDNSequence
	if rest, err := asn1.Unmarshal(subject, &rdns); err != nil || len(rest) > 0 {
		return name, false
	}
	name.FillFromRDNSequence(&rdns)
	return name, true
}

// madeKey looks for a board that made this key before: the ledger's claims end
// with a unit, its key does not.
func (a *auditor) madeKey(e record.Entry) {
	b := e.Body
	if !b.Made {
		return
	}
	if a.triage.keys == nil {
		a.triage.keys = map[string]seen{}
	}
	if first, known := a.triage.keys[b.SPKI]; known {
		a.wrong(e.Epoch, e.Seq, "life", "makes key %s, which board %s made in entry %d of epoch %d", b.SPKI, first.unit, first.seq, first.epoch)
		return
	}
	a.triage.keys[b.SPKI] = seen{e.Epoch, e.Seq, "", b.Unit()}
}
