// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"provisioning.example/station/internal/enroll"
)

var (
	oidCommonName        = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidSerialNumber      = asn1.ObjectIdentifier{2, 5, 4, 5}
	oidChallengePassword = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}
)

// requestInfo is the CertificationRequestInfo (RFC 2986, 4.1) that a board must
// sign, to the byte.
func requestInfo(cn, sn string, nonce [32]byte, spki []byte) ([]byte, error) {
	var b cryptobyte.Builder
	add := func(b *cryptobyte.Builder, outer cbasn1.Tag, oid asn1.ObjectIdentifier, wrap bool, tag cbasn1.Tag, value string) {
		b.AddASN1(outer, func(b *cryptobyte.Builder) {
			content := func(b *cryptobyte.Builder) {
				b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(value)) })
			}
			if wrap { // an attribute: its values are a SET
				b.AddASN1ObjectIdentifier(oid)
				b.AddASN1(cbasn1.SET, content)
				return
			}
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oid)
				content(b)
			})
		})
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			add(b, cbasn1.SET, oidCommonName, false, cbasn1.UTF8String, cn)
			if sn != "" {
				add(b, cbasn1.SET, oidSerialNumber, false, cbasn1.PrintableString, sn)
			}
		})
		b.AddBytes(spki)
		b.AddASN1(cbasn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
			add(b, cbasn1.SEQUENCE, oidChallengePassword, true, cbasn1.UTF8String, base64.RawURLEncoding.EncodeToString(nonce[:]))
		})
	})
	return b.Bytes()
}

// signatureOf are x509's names of the algorithms' signatures in a request.
var signatureOf = map[string]x509.SignatureAlgorithm{
	"ES256": x509.ECDSAWithSHA256, "ES384": x509.ECDSAWithSHA384, "EdDSA": x509.PureEd25519, "RS256": x509.SHA256WithRSA,
}

// requestFor has the board make a CSR and checks all of it.
func (b *bench) requestFor(ctx context.Context, cn, sn string) ([]byte, error) {
	nonce := random32()
	der, err := b.request(ctx, cn, sn, nonce)
	if err != nil {
		return nil, err
	}
	step := fmt.Sprintf("the csr for cn %q, sn %q", cn, sn)
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, wrong(step, "a PKCS#10 request", "%v", err)
	}
	if sha256.Sum256(r.RawSubjectPublicKeyInfo) != b.spki {
		return nil, wrong(step, fmt.Sprintf("the key of keygen, spki %x", b.spki), "%x", sum(r.RawSubjectPublicKeyInfo))
	}
	want, err := requestInfo(cn, sn, nonce, r.RawSubjectPublicKeyInfo)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(r.RawTBSCertificateRequest, want) {
		return nil, wrong(step, fmt.Sprintf("CertificationRequestInfo %x", want), "%x", r.RawTBSCertificateRequest)
	}
	if r.SignatureAlgorithm != signatureOf[b.alg] {
		return nil, wrong(step, "a signature with "+signatureOf[b.alg].String(), "%v", r.SignatureAlgorithm)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, wrong(step, "a signature by its own key", "%v", err)
	}
	b.pub = r.PublicKey
	return der, nil
}

func (b *bench) csrBytes(ctx context.Context) error {
	_, err := b.requestFor(ctx, "pump controller 7", "SN-0042")
	return err
}

func (b *bench) csrNames(ctx context.Context) error {
	for _, n := range [][2]string{
		{"u", ""},
		{strings.Repeat("c", 64), strings.Repeat("9", 64)},
		{"Kühlpumpe Größe 7", "A '()+,-./:=? z"},
		{strings.Repeat("€", 21) + "c", "0"},
	} {
		if _, err := b.requestFor(ctx, n[0], n[1]); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) csrRepeat(ctx context.Context) error {
	nonce := random32()
	first, err := b.request(ctx, "unit", "1", nonce)
	if err != nil {
		return err
	}
	second, err := b.request(ctx, "unit", "1", nonce)
	if err != nil {
		return err
	}
	if !bytes.Equal(first, second) {
		return wrong("the same csr again", fmt.Sprintf("the same bytes, digest %x", sum(first)), "%x", sum(second))
	}
	return nil
}

func (b *bench) csrNonce(ctx context.Context) error {
	first, err := b.requestFor(ctx, "unit", "1")
	if err != nil {
		return err
	}
	second, err := b.requestFor(ctx, "unit", "1")
	if err != nil {
		return err
	}
	if bytes.Equal(first, second) {
		return wrong("csr with another nonce", "other bytes", "the same")
	}
	return nil
}

func (b *bench) csrShape(ctx context.Context) error {
	nonce := make([]byte, 32)
	long := strings.Repeat("x", 65)
	badText := slices.Concat([]byte("\xa2\x62cn\x62\xc3\x28\x65nonce\x58\x20"), nonce)
	steps := []refusalStep{
		{step: "csr with an empty cn", call: csrCall("", "", nonce)},
		{step: "csr with a cn of 65 bytes", call: csrCall(long, "", nonce)},
		{step: "csr with a sn of 65 bytes", call: csrCall("unit", long, nonce)},
		{step: "csr with @ in its sn", call: csrCall("unit", "a@b", nonce)},
		{step: "csr with _ in its sn", call: csrCall("unit", "a_b", nonce)},
		{step: "csr with a nonce of 31 bytes", call: csrCall("unit", "", nonce[:31])},
		{step: "csr with a cn that is not UTF-8", call: call{cmd: cmdCSR, write: true, raw: badText}},
	}
	for i := range steps {
		steps[i].rc = enroll.RCMalformed
	}
	empty := csrCall("unit", "", nonce)
	empty.body["sn"] = ""
	return b.refuseAll(ctx, append(steps, refusalStep{"csr with an empty sn", empty, enroll.RCMalformed}))
}

func (b *bench) getPieces(ctx context.Context) error {
	der, err := b.request(ctx, strings.Repeat("c", 64), strings.Repeat("9", 64), random32())
	if err != nil {
		return err
	}
	for _, off := range []int{1, len(der) / 2, len(der) - 1, len(der)} {
		data, size, err := b.get(ctx, "csr", off)
		step := fmt.Sprintf("get of csr at %d of %d", off, len(der))
		switch {
		case err != nil:
			return err
		case size != len(der):
			return wrong(step, fmt.Sprintf("len %d", len(der)), "%d", size)
		case !bytes.HasPrefix(der[off:], data):
			return wrong(step, fmt.Sprintf("%x", der[off:off+len(data)]), "%x", data)
		}
	}
	c := call{cmd: cmdGet, raw: []byte("\xa2\x63off\x1b\x00\x00\x00\x00\x00\x00\x00\x00\x63obj\x63csr")}
	return b.accept(ctx, "get with other order of keys and a long head for off", c, nil)
}

func (b *bench) getBeyond(ctx context.Context) error {
	der, err := b.request(ctx, "unit", "", random32())
	if err != nil {
		return err
	}
	for _, off := range []int{len(der) + 1, 1 << 20, 1 << 40} {
		step := fmt.Sprintf("get of csr at %d of %d", off, len(der))
		r, err := b.refusal(ctx, step, getCall("csr", off), enroll.RCOffset)
		if err != nil {
			return err
		}
		if r.Off == nil || *r.Off > uint64(len(der)) {
			return wrong(step, fmt.Sprintf("a top-level off of at most %d beside rc 4", len(der)), "%v", r)
		}
	}
	return nil
}
