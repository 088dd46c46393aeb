// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"

	"provisioning.example/station/internal/issuer"
)

func TestRequestAccepted(t *testing.T) {
	for _, sn := range []string{"", "SN-0001"} {
		d := newDevice(t, "sensor-ü-001", sn)
		in := d.request(t)
		r, err := issuer.ParseRequest(in, d.want)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(r.DER(), in) || r.SHA256() != sha256.Sum256(in) || r.SPKI() != d.want.SPKI ||
			r.Alg() != "ES256" || !d.key.PublicKey.Equal(r.PublicKey()) {
			t.Error("the request's facts are not those of the bytes")
		}
	}
}

// refusal is one way in which a request can be wrong.
type refusal struct {
	name   string
	reason issuer.Reason
	spoil  func(t *testing.T, d *device) []byte
}

// spoilForm changes the request before it is signed.
func spoilForm(change func(t *testing.T, f *requestForm, d *device)) func(*testing.T, *device) []byte {
	return func(t *testing.T, d *device) []byte {
		f := goodForm(t, d.spki, d.want)
		change(t, f, d)
		return signRequest(t, der(t, *f), d.key)
	}
}

// spoilBytes changes the request after it was signed.
func spoilBytes(change func(b []byte) []byte) func(*testing.T, *device) []byte {
	return func(t *testing.T, d *device) []byte { return change(d.request(t)) }
}

// spoilWant changes what the station expects.
func spoilWant(change func(w *issuer.Expect)) func(*testing.T, *device) []byte {
	return func(t *testing.T, d *device) []byte {
		b := d.request(t)
		change(&d.want)
		return b
	}
}

func passwords(t *testing.T, values ...asn1.RawValue) asn1.RawValue {
	return raw(t, attribute{oidChallenge, values})
}

var refusals = []refusal{
	{"empty", issuer.ReasonSize, spoilBytes(func([]byte) []byte { return nil })},
	{"too long", issuer.ReasonSize, spoilBytes(func([]byte) []byte { return make([]byte, issuer.MaxRequest+1) })},
	{"trailing data", issuer.ReasonMalformed, spoilBytes(func(b []byte) []byte { return append(b, 0) })},
	{"cut short", issuer.ReasonMalformed, spoilBytes(func(b []byte) []byte { return b[:len(b)-1] })},
	{"indefinite length", issuer.ReasonMalformed, spoilBytes(func(b []byte) []byte {
		return append(append([]byte{0x30, 0x80}, b[4:]...), 0, 0)
	})},
	{"length in too many bytes", issuer.ReasonMalformed, spoilBytes(func(b []byte) []byte {
		return append([]byte{0x30, 0x83, 0x00}, b[2:]...)
	})},
	{"fourth part", issuer.ReasonMalformed, func(t *testing.T, d *device) []byte {
		b := d.request(t)
		return der(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: append(bytes.Clone(b[4:]), 5, 0)})
	}},
	{"version 1", issuer.ReasonMalformed, spoilForm(func(_ *testing.T, f *requestForm, _ *device) { f.Version = 1 })},
	{"signed with SHA-384", issuer.ReasonAlgorithm, func(t *testing.T, d *device) []byte {
		b, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{SignatureAlgorithm: x509.ECDSAWithSHA384}, d.key)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}},
	{"algorithm with NULL parameters", issuer.ReasonAlgorithm, func(t *testing.T, d *device) []byte {
		return assembleRequest(t, der(t, *goodForm(t, d.spki, d.want)),
			[]byte{0x30, 0x0c, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02, 5, 0}, []byte{0x30, 0})
	}},
	{"another algorithm asked for", issuer.ReasonAlgorithm, spoilWant(func(w *issuer.Expect) { w.Alg = "ES384" })},
	{"no algorithm asked for", issuer.ReasonAlgorithm, spoilWant(func(w *issuer.Expect) { w.Alg = "" })},
	{"another key than keygen's", issuer.ReasonSPKI, func(t *testing.T, d *device) []byte {
		return newDevice(t, d.want.CN, d.want.SN).request(t)
	}},
	{"point off the curve", issuer.ReasonWeakKey, func(t *testing.T, d *device) []byte {
		d.spki[len(d.spki)-1] ^= 1
		d.want.SPKI = sha256.Sum256(d.spki)
		return d.request(t)
	}},
	{"P-384 key under an ES256 signature", issuer.ReasonAlgorithm, func(t *testing.T, d *device) []byte {
		d.spki = spkiOf(t, newKey(t, elliptic.P384()).Public())
		d.want.SPKI = sha256.Sum256(d.spki)
		return d.request(t)
	}},
	{"signed by another key", issuer.ReasonSignature, func(t *testing.T, d *device) []byte {
		return signRequest(t, der(t, *goodForm(t, d.spki, d.want)), newKey(t, elliptic.P256()))
	}},
	{"signature with a flipped bit", issuer.ReasonSignature, spoilBytes(func(b []byte) []byte {
		b[len(b)-1] ^= 1
		return b
	})},
	{"signature with trailing data", issuer.ReasonSignature, func(t *testing.T, d *device) []byte {
		var parts struct {
			TBS, Alg asn1.RawValue
			Sig      asn1.BitString
		}
		if _, err := asn1.Unmarshal(d.request(t), &parts); err != nil {
			t.Fatal(err)
		}
		return assembleRequest(t, parts.TBS.FullBytes, parts.Alg.FullBytes, append(parts.Sig.Bytes, 0))
	}},
	{"another CN", issuer.ReasonIdentity, spoilWant(func(w *issuer.Expect) { w.CN += "2" })},
	{"another serialNumber", issuer.ReasonIdentity, spoilWant(func(w *issuer.Expect) { w.SN += "2" })},
	{"serialNumber that was not asked for", issuer.ReasonIdentity, spoilWant(func(w *issuer.Expect) { w.SN = "" })},
	{"serialNumber before CN", issuer.ReasonIdentity, spoilForm(func(t *testing.T, f *requestForm, d *device) {
		f.Subject = subject(t, attributeValue{oidSN, text(asn1.TagPrintableString, d.want.SN)},
			attributeValue{oidCN, text(asn1.TagUTF8String, d.want.CN)})
	})},
	{"empty subject", issuer.ReasonIdentity, spoilForm(func(t *testing.T, f *requestForm, _ *device) { f.Subject = subject(t) })},
	{"nothing asked for", issuer.ReasonIdentity, spoilWant(func(w *issuer.Expect) { w.CN = "" })},
	{"CN as PrintableString", issuer.ReasonStringType, spoilForm(func(t *testing.T, f *requestForm, d *device) {
		f.Subject = subject(t, attributeValue{oidCN, text(asn1.TagPrintableString, d.want.CN)},
			attributeValue{oidSN, text(asn1.TagPrintableString, d.want.SN)})
	})},
	{"serialNumber as UTF8String", issuer.ReasonStringType, spoilForm(func(t *testing.T, f *requestForm, d *device) {
		f.Subject = subject(t, attributeValue{oidCN, text(asn1.TagUTF8String, d.want.CN)},
			attributeValue{oidSN, text(asn1.TagUTF8String, d.want.SN)})
	})},
	{"CN and serialNumber in one RDN", issuer.ReasonMalformed, spoilForm(func(t *testing.T, f *requestForm, d *device) {
		both := append(der(t, attributeValue{oidCN, text(asn1.TagUTF8String, d.want.CN)}),
			der(t, attributeValue{oidSN, text(asn1.TagPrintableString, d.want.SN)})...)
		f.Subject.Bytes = der(t, asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: both})
	})},
	{"no challengePassword", issuer.ReasonMissingAttribute, spoilForm(func(_ *testing.T, f *requestForm, _ *device) { f.Attributes = nil })},
	{"no attributes at all", issuer.ReasonMissingAttribute, func(t *testing.T, d *device) []byte {
		f := goodForm(t, d.spki, d.want)
		return signRequest(t, der(t, struct {
			Version       int
			Subject, SPKI asn1.RawValue
		}{0, f.Subject, f.SPKI}), d.key)
	}},
	{"challengePassword without value", issuer.ReasonMissingAttribute, spoilForm(func(t *testing.T, f *requestForm, _ *device) {
		f.Attributes[0] = passwords(t)
	})},
	{"challengePassword twice", issuer.ReasonDoubledAttribute, spoilForm(func(_ *testing.T, f *requestForm, _ *device) {
		f.Attributes = append(f.Attributes, f.Attributes[0])
	})},
	{"challengePassword with two values", issuer.ReasonDoubledAttribute, spoilForm(func(t *testing.T, f *requestForm, d *device) {
		v := text(asn1.TagUTF8String, challengeOf(d.want.Nonce))
		f.Attributes[0] = passwords(t, v, v)
	})},
	{"extensionRequest besides", issuer.ReasonExtraAttribute, spoilForm(func(t *testing.T, f *requestForm, _ *device) {
		f.Attributes = append(f.Attributes, raw(t, attribute{oidExtReq, []asn1.RawValue{{Tag: asn1.TagSequence, IsCompound: true}}}))
	})},
	{"extensionRequest instead", issuer.ReasonExtraAttribute, spoilForm(func(t *testing.T, f *requestForm, _ *device) {
		f.Attributes[0] = raw(t, attribute{oidExtReq, []asn1.RawValue{{Tag: asn1.TagSequence, IsCompound: true}}})
	})},
	{"challengePassword as PrintableString", issuer.ReasonStringType, spoilForm(func(t *testing.T, f *requestForm, d *device) {
		f.Attributes[0] = passwords(t, text(asn1.TagPrintableString, challengeOf(d.want.Nonce)))
	})},
	{"stale nonce", issuer.ReasonNonce, spoilWant(func(w *issuer.Expect) { w.Nonce[0] ^= 1 })},
	{"nonce with padding", issuer.ReasonNonce, spoilForm(func(t *testing.T, f *requestForm, d *device) {
		f.Attributes[0] = passwords(t, text(asn1.TagUTF8String, challengeOf(d.want.Nonce)+"="))
	})},
	{"attribute with a third part", issuer.ReasonMalformed, spoilForm(func(t *testing.T, f *requestForm, d *device) {
		var a asn1.RawValue
		if _, err := asn1.Unmarshal(f.Attributes[0].FullBytes, &a); err != nil {
			t.Fatal(err)
		}
		f.Attributes[0] = asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: append(a.Bytes, 5, 0)}
	})},
}

func TestRequestRefused(t *testing.T) {
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			d := newDevice(t, "sensor-001", "SN-0001")
			b := c.spoil(t, d)
			r, err := issuer.ParseRequest(b, d.want)
			refused, ok := errors.AsType[*issuer.Refusal](err)
			if !ok || r != nil {
				t.Fatalf("got %v, %v; want a refusal", r, err)
			}
			if refused.Reason != c.reason {
				t.Errorf("refused for %q (%s), want %q", refused.Reason, refused.Detail, c.reason)
			}
			if !strings.Contains(err.Error(), refused.Detail) || refused.Detail == "" {
				t.Errorf("message %q does not say what was found", err)
			}
		})
	}
}

// TestRequestR reads r as encoding/asn1 does, with leading zeros kept.
func TestRequestR(t *testing.T) {
	for _, m := range makers {
		want := issuer.Expect{CN: "sensor-001"}
		in := m.request(t, m.key(t), &want)
		r, err := issuer.ParseRequest(in, want)
		if err != nil {
			t.Fatal(err)
		}
		var parts struct {
			TBS, Alg asn1.RawValue
			Sig      asn1.BitString
		}
		var sig struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(in, &parts); err != nil {
			t.Fatal(err)
		}
		_, notECDSA := asn1.Unmarshal(parts.Sig.Bytes, &sig)
		size := map[string]int{"ES256": 32, "ES384": 48}[m.alg]
		if len(r.R()) != size || size > 0 && (notECDSA != nil || new(big.Int).SetBytes(r.R()).Cmp(sig.R) != 0) {
			t.Errorf("%s: r is %x, asn1 reads %v", m.alg, r.R(), sig.R)
		}
	}
}
