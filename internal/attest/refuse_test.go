// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"provisioning.example/station/internal/attest"
)

// attributesAt is where the attributes stand in a TPMT_PUBLIC.
const attributesAt = 4

func withAttributes(p *attest.Public, change func(uint32) uint32) []byte {
	b := p.Bytes()
	binary.BigEndian.PutUint32(b[attributesAt:], change(binary.BigEndian.Uint32(b[attributesAt:])))
	return b
}

// TestAttributes turns every attribute of every key: each is refused, and for
// the reason that weighs most.
func TestAttributes(t *testing.T) {
	a := openArchive(t)
	for name, c := range map[string]struct {
		key   *attest.Public
		check func(*attest.Public) error
	}{
		"ak":         {a.ak, attest.CheckAK},
		"ca":         {a.ca, func(p *attest.Public) error { return attest.CheckKey("ca", p) }},
		"checkpoint": {a.checkpoint, func(p *attest.Public) error { return attest.CheckKey("checkpoint", p) }},
		"rework":     {a.checkpoint, func(p *attest.Public) error { return attest.CheckKey("rework", p) }},
		"ek": {a.ek, func(p *attest.Public) error {
			return attest.CheckEK(nil, p, nil, nil, [][32]byte{p.Pin()}, time.Time{})
		}},
	} {
		if err := c.check(c.key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for bit := range 32 {
			p, err := attest.ParsePublic(withAttributes(c.key, func(v uint32) uint32 { return v ^ 1<<bit }))
			if errors.Is(err, attest.ErrPublic) {
				continue // a bit that means nothing
			}
			want := error(attest.ErrAttributes)
			switch {
			case bit == 1 || bit == 4 || bit == 5:
				want = attest.ErrSoftware
			case bit == 16 && name == "ak":
				want = attest.ErrRestricted
			}
			if err == nil {
				err = c.check(p)
			}
			if !errors.Is(err, want) {
				t.Errorf("%s with bit %d turned: %v, want %v", name, bit, err, want)
			}
		}
	}
	err := attest.CheckKey("ca", public(t, withAttributes(a.ca, func(v uint32) uint32 { return v | 1<<10 })))
	if err == nil || !strings.Contains(err.Error(), "noDA is set") {
		t.Errorf("the message does not name the attribute: %v", err)
	}
	if err := attest.CheckKey("anything", a.ca); !errors.Is(err, attest.ErrPurpose) {
		t.Error(err)
	}
	if err := attest.CheckKey("checkpoint", a.ca); !errors.Is(err, attest.ErrAttributes) {
		t.Error(err)
	}
}

// changed is p with its structure altered.
func changed(t *testing.T, p *attest.Public, change func(*tpm2.TPMTPublic)) []byte {
	t.Helper()
	area, err := tpm2.Unmarshal[tpm2.TPMTPublic](p.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	change(area)
	return tpm2.Marshal(*area)
}

func ecc(area *tpm2.TPMTPublic, change func(*tpm2.TPMSECCParms)) {
	parms, _ := area.Parameters.ECCDetail()
	change(parms)
	area.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, parms)
}

func TestTemplate(t *testing.T) {
	a := openArchive(t)
	ecdsaScheme := func(hash tpm2.TPMIAlgHash) tpm2.TPMTECCScheme {
		return tpm2.TPMTECCScheme{
			Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: hash}),
		}
	}
	p384 := public(t, changed(t, a.ca, func(area *tpm2.TPMTPublic) { area.ObjectAttributes.NoDA = true }))
	for name, err := range map[string]error{
		"checkpoint on P-384": attest.CheckKey("checkpoint", p384),
		"ak with SHA-384": attest.CheckAK(public(t, changed(t, a.ak, func(area *tpm2.TPMTPublic) {
			ecc(area, func(p *tpm2.TPMSECCParms) { p.Scheme = ecdsaScheme(tpm2.TPMAlgSHA384) })
		}))),
		"ca with a scheme": attest.CheckKey("ca", public(t, changed(t, a.ca, func(area *tpm2.TPMTPublic) {
			ecc(area, func(p *tpm2.TPMSECCParms) { p.Scheme = ecdsaScheme(tpm2.TPMAlgSHA256) })
		}))),
		"ca with a policy": attest.CheckKey("ca", public(t, changed(t, a.ca, func(area *tpm2.TPMTPublic) {
			area.AuthPolicy.Buffer = make([]byte, 32)
		}))),
		"an RSA key for the ca": attest.CheckKey("ca", public(t, changed(t, a.ek, func(area *tpm2.TPMTPublic) {
			area.ObjectAttributes = tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, SignEncrypt: true}
		}))),
	} {
		if !errors.Is(err, attest.ErrTemplate) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParsePublic(t *testing.T) {
	a := openArchive(t)
	for n := range a.ak.Bytes() {
		if _, err := attest.ParsePublic(a.ak.Bytes()[:n]); !errors.Is(err, attest.ErrPublic) {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
	point := func(x, y []byte) func(*tpm2.TPMTPublic) {
		return func(area *tpm2.TPMTPublic) {
			area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: x}, Y: tpm2.TPM2BECCParameter{Buffer: y}})
		}
	}
	modulus := func(n []byte) func(*tpm2.TPMTPublic) {
		return func(area *tpm2.TPMTPublic) {
			area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: n})
		}
	}
	exponent := func(e uint32) func(*tpm2.TPMTPublic) {
		return func(area *tpm2.TPMTPublic) {
			parms, _ := area.Parameters.RSADetail()
			parms.Exponent = e
			area.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, parms)
		}
	}
	even := bytes.Repeat([]byte{0xFE}, 256)
	for name, b := range map[string][]byte{
		"a byte more":           append(a.ak.Bytes(), 0),
		"513 bytes":             make([]byte, 513),
		"SHA-1":                 changed(t, a.ak, func(area *tpm2.TPMTPublic) { area.NameAlg = tpm2.TPMAlgSHA1 }),
		"SHA-384":               changed(t, a.ak, func(area *tpm2.TPMTPublic) { area.NameAlg = tpm2.TPMAlgSHA384 }),
		"a point off the curve": changed(t, a.ak, point(bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{1}, 32))),
		"the point at infinity": changed(t, a.ak, point(nil, nil)),
		"a long point":          changed(t, a.ak, point(make([]byte, 33), make([]byte, 32))),
		"curve P-521":           changed(t, a.ak, func(area *tpm2.TPMTPublic) { ecc(area, func(p *tpm2.TPMSECCParms) { p.CurveID = tpm2.TPMECCNistP521 }) }),
		"an even modulus":       changed(t, a.ek, modulus(even)),
		"1024 bits":             changed(t, a.ek, modulus(even[:128])),
		"leading zero":          changed(t, a.ek, modulus(append(make([]byte, 1), even...))),
		"exponent 3":            changed(t, a.ek, exponent(3)),
		"exponent 65538":        changed(t, a.ek, exponent(65538)),
		"exponent 2^32-1":       changed(t, a.ek, exponent(1<<32-1)),
	} {
		if _, err := attest.ParsePublic(b); !errors.Is(err, attest.ErrPublic) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestForged signs statements with a key outside of any TPM, which any liar can
// call an attestation key: what no TPM says is refused even so.
func TestForged(t *testing.T) {
	a := openArchive(t)
	liar, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ak := public(t, changed(t, a.ak, func(area *tpm2.TPMTPublic) {
		area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
			X: tpm2.TPM2BECCParameter{Buffer: liar.X.FillBytes(make([]byte, 32))},
			Y: tpm2.TPM2BECCParameter{Buffer: liar.Y.FillBytes(make([]byte, 32))},
		})
	}))
	sign := func(b []byte, hash tpm2.TPMIAlgHash) []byte {
		digest := sha256.Sum256(b)
		r, s, err := ecdsa.Sign(rand.Reader, liar, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		return tpm2.Marshal(tpm2.TPMTSignature{
			SigAlg: tpm2.TPMAlgECDSA,
			Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgECDSA, &tpm2.TPMSSignatureECC{
				Hash:       hash,
				SignatureR: tpm2.TPM2BECCParameter{Buffer: r.FillBytes(make([]byte, 32))},
				SignatureS: tpm2.TPM2BECCParameter{Buffer: s.FillBytes(make([]byte, 32))},
			}),
		})
	}
	good := a.creation.Attest
	if _, err := attest.VerifyCreation(ak, a.ca, good, sign(good, tpm2.TPMAlgSHA256), a.qualifying); err != nil {
		t.Errorf("a lie that looks perfect, which only the credential finds out: %v", err)
	}
	for name, c := range map[string]struct {
		attest []byte
		want   error
	}{
		"another magic": {append([]byte("CERT"), good[4:]...), attest.ErrMagic},
		"a TBS":         {[]byte("0\x82 a certificate, to be signed"), attest.ErrMagic},
		"cut":           {good[:len(good)-1], attest.ErrStatement},
		"a byte more":   {append(bytes.Clone(good), 0), attest.ErrStatement},
		"2 KiB":         {append(bytes.Clone(good), make([]byte, 2048)...), attest.ErrStatement},
		"5 bytes":       {good[:5], attest.ErrStatement},
		"nothing":       {nil, attest.ErrStatement},
	} {
		if _, err := attest.VerifyCreation(ak, a.ca, c.attest, sign(c.attest, tpm2.TPMAlgSHA256), a.qualifying); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, sig := range map[string][]byte{
		"a signature with SHA-384": sign(good, tpm2.TPMAlgSHA384),
		"no signature":             nil,
		"a longer signature":       append(sign(good, tpm2.TPMAlgSHA256), 0),
		"4 KiB":                    make([]byte, 4096),
		"an ASN.1 signature":       []byte("\x30\x06\x02\x01\x01\x02\x01\x01"),
	} {
		if _, err := attest.VerifyCreation(ak, a.ca, good, sig, a.qualifying); !errors.Is(err, attest.ErrSignatureForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
	zero := tpm2.Marshal(tpm2.TPMTSignature{
		SigAlg:    tpm2.TPMAlgECDSA,
		Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgECDSA, &tpm2.TPMSSignatureECC{Hash: tpm2.TPMAlgSHA256}),
	})
	if _, err := attest.VerifyCreation(ak, a.ca, good, zero, a.qualifying); !errors.Is(err, attest.ErrSignature) {
		t.Errorf("a signature of zeros: %v", err)
	}
}

func TestCertificates(t *testing.T) {
	a := openArchive(t)
	der := a.cert.Raw
	for name, c := range map[string]struct {
		set  [][]byte
		want error
	}{
		"none":     {nil, attest.ErrNoCertificate},
		"padded":   {[][]byte{append(bytes.Clone(der), 0xFF)}, attest.ErrCertificate},
		"cut":      {[][]byte{der[:100]}, attest.ErrCertificate},
		"too many": {make([][]byte, 17), attest.ErrCertificate},
		"too long": {[][]byte{make([]byte, 9<<10)}, attest.ErrCertificate},
		"no chain": {[][]byte{der, {}}, attest.ErrCertificate},
	} {
		if _, _, err := attest.ParseCertificates(c.set); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOAEP knows the key in a certificate whose vendor names it one for OAEP,
// and no other one.
func TestOAEP(t *testing.T) {
	a := openArchive(t)
	type keyInfo struct {
		Algorithm struct {
			OID        asn1.ObjectIdentifier
			Parameters asn1.RawValue
		}
		Key asn1.BitString
	}
	var info keyInfo
	if _, err := asn1.Unmarshal(a.cert.RawSubjectPublicKeyInfo, &info); err != nil {
		t.Fatal(err)
	}
	as := func(last int, key []byte) *x509.Certificate {
		info := info
		info.Algorithm.OID = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, last}
		info.Key = asn1.BitString{Bytes: key, BitLength: 8 * len(key)}
		der, err := asn1.Marshal(info)
		if err != nil {
			t.Fatal(err)
		}
		return &x509.Certificate{SerialNumber: big.NewInt(1), RawSubjectPublicKeyInfo: der}
	}
	pins := [][32]byte{a.ek.Pin()}
	if err := attest.CheckEK(as(7, info.Key.Bytes), a.ek, nil, nil, pins, time.Time{}); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]*x509.Certificate{
		"another key": as(7, turned(info.Key.Bytes, 77)), "PSS": as(10, info.Key.Bytes), "no key": {SerialNumber: big.NewInt(1)},
	} {
		if err := attest.CheckEK(c, a.ek, nil, nil, pins, time.Time{}); !errors.Is(err, attest.ErrOtherEK) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMakeCredential(t *testing.T) {
	a := openArchive(t)
	for name, err := range map[string]error{
		"nothing":  third(attest.MakeCredential(rand.Reader, a.ek, a.ak, nil)),
		"33 bytes": third(attest.MakeCredential(rand.Reader, a.ek, a.ak, make([]byte, 33))),
		"no EK":    third(attest.MakeCredential(rand.Reader, a.ak, a.ak, []byte("x"))),
	} {
		if err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
}

func third[T any](_, _ T, err error) error { return err }

func TestParseKeyFile(t *testing.T) {
	text := data(t, "key.pem")
	block, _ := pem.Decode(text)
	type keyFile struct {
		Type            asn1.ObjectIdentifier
		EmptyAuth       asn1.RawValue
		Parent          int64
		Public, Private []byte
	}
	var good keyFile
	if _, err := asn1.Unmarshal(block.Bytes, &good); err != nil {
		t.Fatal(err)
	}
	made := func(change func(*keyFile)) []byte {
		k := good
		change(&k)
		der, err := asn1.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: der})
	}
	empty := func(b ...byte) func(*keyFile) {
		return func(k *keyFile) {
			k.EmptyAuth = asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: b}
		}
	}
	if !bytes.Equal(made(func(*keyFile) {}), text) {
		t.Fatal("the file is not DER")
	}
	noAuth, err := asn1.Marshal(struct {
		Type            asn1.ObjectIdentifier
		Parent          int64
		Public, Private []byte
	}{good.Type, good.Parent, good.Public, good.Private})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"nothing":           nil,
		"another block":     bytes.ReplaceAll(text, []byte("TSS2"), []byte("EC")),
		"twice":             append(bytes.Clone(text), text...),
		"words behind":      append(bytes.Clone(text), "the PIN is 1234"...),
		"9 KiB":             append(bytes.Clone(text), bytes.Repeat([]byte("\n"), 9<<10)...),
		"cut":               pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes[:40]}),
		"a header":          pem.EncodeToMemory(&pem.Block{Type: block.Type, Headers: map[string]string{"A": "b"}, Bytes: block.Bytes}),
		"no emptyAuth":      pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: noAuth}),
		"emptyAuth TRUE":    made(empty(1, 1, 0xFF)),
		"emptyAuth 1":       made(empty(2, 1, 0)),
		"another type":      made(func(k *keyFile) { k.Type = asn1.ObjectIdentifier{2, 23, 133, 10, 1, 5} }),
		"the platform":      made(func(k *keyFile) { k.Parent = 0x4000000C }),
		"a negative parent": made(func(k *keyFile) { k.Parent = -1 }),
		"a transient one":   made(func(k *keyFile) { k.Parent = 0x80000000 }),
		"no private part":   made(func(k *keyFile) { k.Private = []byte{0, 0} }),
		"a short length":    made(func(k *keyFile) { k.Public = append([]byte{0, 1}, k.Public[2:]...) }),
		"another public":    made(func(k *keyFile) { k.Public = []byte{0, 2, 0, 1} }),
	} {
		if _, err := attest.ParseKeyFile(b); !errors.Is(err, attest.ErrKeyFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
