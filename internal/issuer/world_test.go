// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"testing"
	"time"

	"provisioning.example/station/internal/issuer"
)

// world is a root, an intermediate and an issuer with software keys, in which
// it is always the same second.
type world struct {
	now                time.Time
	root, intermediate *x509.Certificate
	rootKey, key       *ecdsa.PrivateKey
	issuer             *issuer.Issuer
}

func newWorld(t testing.TB, curve elliptic.Curve) *world {
	t.Helper()
	w := &world{now: time.Now().UTC().Truncate(time.Second)}
	w.rootKey, w.key = newKey(t, elliptic.P384()), newKey(t, curve)
	w.root = selfSigned(t, w, &x509.Certificate{
		Subject: pkix.Name{CommonName: "Test Root"}, SerialNumber: big.NewInt(1),
		NotBefore: w.now.AddDate(-1, 0, 0), NotAfter: w.now.AddDate(20, 0, 0),
	})
	w.intermediate = w.certify(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "Test Intermediate"}, SerialNumber: big.NewInt(2),
		NotBefore: w.now.AddDate(0, -1, 0), NotAfter: w.now.AddDate(2, 0, 0),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}, w.key.Public())
	w.issuer = w.newIssuer(t)
	return w
}

func (w *world) config() issuer.Config {
	return issuer.Config{
		Chain: []*x509.Certificate{w.intermediate, w.root}, Signer: w.key,
		Now: func() time.Time { return w.now },
	}
}

func (w *world) newIssuer(t testing.TB) *issuer.Issuer {
	t.Helper()
	i, err := issuer.New(w.config())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func selfSigned(t testing.TB, w *world, c *x509.Certificate) *x509.Certificate {
	t.Helper()
	c.KeyUsage, c.BasicConstraintsValid, c.IsCA = x509.KeyUsageCertSign|x509.KeyUsageCRLSign, true, true
	return sign(t, c, c, w.rootKey.Public(), w.rootKey)
}

func (w *world) certify(t testing.TB, c *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	t.Helper()
	return sign(t, c, w.root, public, w.rootKey)
}

func sign(t testing.TB, c, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func spkiOf(t testing.TB, public crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// requestForm is a certification request in pieces that a test may spoil
// before it is signed. It is encoded by encoding/asn1, not by the code under test.
type requestForm struct {
	Version    int
	Subject    asn1.RawValue
	SPKI       asn1.RawValue
	Attributes []asn1.RawValue `asn1:"tag:0,set"`
}

type attributeValue struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

var (
	oidCN        = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidSN        = asn1.ObjectIdentifier{2, 5, 4, 5}
	oidChallenge = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}
	oidExtReq    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 14}
)

func text(tag int, s string) asn1.RawValue { return asn1.RawValue{Tag: tag, Bytes: []byte(s)} }

func der(t testing.TB, v any) []byte {
	t.Helper()
	b, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func raw(t testing.TB, v any) asn1.RawValue {
	t.Helper()
	return asn1.RawValue{FullBytes: der(t, v)}
}

// subject encodes single-valued RDNs.
func subject(t testing.TB, values ...attributeValue) asn1.RawValue {
	t.Helper()
	var body []byte
	for _, v := range values {
		body = append(body, der(t, asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: der(t, v)})...)
	}
	return asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: body}
}

func challengeOf(nonce [32]byte) string { return base64.RawURLEncoding.EncodeToString(nonce[:]) }

// goodForm is the request that a sound board makes.
func goodForm(t testing.TB, spki []byte, want issuer.Expect) *requestForm {
	t.Helper()
	names := []attributeValue{{oidCN, text(asn1.TagUTF8String, want.CN)}}
	if want.SN != "" {
		names = append(names, attributeValue{oidSN, text(asn1.TagPrintableString, want.SN)})
	}
	return &requestForm{
		Subject:    subject(t, names...),
		SPKI:       asn1.RawValue{FullBytes: spki},
		Attributes: []asn1.RawValue{raw(t, attribute{oidChallenge, []asn1.RawValue{text(asn1.TagUTF8String, challengeOf(want.Nonce))}})},
	}
}

// signRequest signs TBS bytes with a P-256 key.
func signRequest(t testing.TB, tbs []byte, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	h := sha256.Sum256(tbs)
	sig, err := ecdsa.SignASN1(rand.Reader, key, h[:])
	if err != nil {
		t.Fatal(err)
	}
	return assembleRequest(t, tbs, []byte{0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02}, sig)
}

func assembleRequest(t testing.TB, tbs, identifier, sig []byte) []byte {
	t.Helper()
	return der(t, struct{ TBS, Alg, Sig asn1.RawValue }{
		asn1.RawValue{FullBytes: tbs},
		asn1.RawValue{FullBytes: identifier},
		raw(t, asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)}),
	})
}

// device is a key and what its request must say.
type device struct {
	key  *ecdsa.PrivateKey
	spki []byte
	want issuer.Expect
}

func newDevice(t testing.TB, cn, sn string) *device {
	t.Helper()
	d := &device{key: newKey(t, elliptic.P256())}
	d.spki = spkiOf(t, d.key.Public())
	d.want = issuer.Expect{CN: cn, SN: sn, Alg: "ES256", SPKI: sha256.Sum256(d.spki)}
	if _, err := rand.Read(d.want.Nonce[:]); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *device) request(t testing.TB) []byte {
	t.Helper()
	return signRequest(t, der(t, *goodForm(t, d.spki, d.want)), d.key)
}

func (d *device) parsed(t testing.TB) *issuer.Request {
	t.Helper()
	r, err := issuer.ParseRequest(d.request(t), d.want)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mtls(t testing.TB) *issuer.Profile {
	t.Helper()
	p, err := issuer.BuiltinProfile("mtls")
	if err != nil {
		t.Fatal(err)
	}
	return p
}
