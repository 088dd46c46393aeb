// SPDX-License-Identifier: Apache-2.0

package tpm_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"provisioning.example/station/internal/attest"
	"provisioning.example/station/internal/tpm"
)

// vendorRoots are the roots of the authority that certified the endorsement
// keys of the TPMs made in dir.
func vendorRoots(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "ek-ca", "swtpm-localca-rootca-cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatal("no root")
	}
	return pool
}

// vendorChain is the authority between that root and the keys.
func vendorChain(t *testing.T, dir string) []*x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "ek-ca", "issuercert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return []*x509.Certificate{c}
}

func endorsementOf(t *testing.T, m *tpm.TPM) (tpm.Endorsement, *attest.Public) {
	t.Helper()
	e, err := m.Endorsement(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e, parse(t, e.Public)
}

// TestVendorCertificate holds what a made TPM says it is against the authority
// that made it, against another one, and against another TPM's certificate.
func TestVendorCertificate(t *testing.T) {
	m := open(t, tpm.Config{Spec: "swtpm:" + newTPM(t)})
	e, ek := endorsementOf(t, m)
	cert, more, err := attest.ParseCertificates(e.Certificates)
	if err != nil {
		t.Fatal(err)
	}
	otherDir := filepath.Join(t.TempDir(), "other")
	if err := makeTPM(otherDir); err != nil {
		t.Fatal(err)
	}
	otherE, otherEK := endorsementOf(t, open(t, tpm.Config{Spec: "swtpm:" + otherDir}))
	otherCert, _, err := attest.ParseCertificates(otherE.Certificates)
	if err != nil {
		t.Fatal(err)
	}
	chain, roots := append(more, vendorChain(t, made)...), vendorRoots(t, made)
	now := time.Now()
	for name, c := range map[string]struct {
		cert    *x509.Certificate
		ek      *attest.Public
		chain   []*x509.Certificate
		vendors *x509.CertPool
		pins    [][32]byte
		now     time.Time
		want    error
	}{
		"the vendor's":              {cert, ek, chain, roots, nil, now, nil},
		"pinned":                    {nil, ek, nil, nil, [][32]byte{otherEK.Pin(), ek.Pin()}, now, nil},
		"pinned, with certificate":  {cert, ek, nil, nil, [][32]byte{ek.Pin()}, now, nil},
		"vendor, another pin":       {cert, ek, chain, roots, [][32]byte{otherEK.Pin()}, now, nil},
		"another vendor":            {cert, ek, chain, vendorRoots(t, otherDir), nil, now, attest.ErrVendor},
		"no chain":                  {cert, ek, nil, roots, nil, now, attest.ErrVendor},
		"before its time":           {cert, ek, chain, roots, nil, cert.NotBefore.Add(-time.Hour), attest.ErrVendor},
		"another key's certificate": {otherCert, ek, append(chain, vendorChain(t, otherDir)...), vendorRoots(t, otherDir), nil, now, attest.ErrOtherEK},
		"another's, pinned":         {otherCert, ek, chain, roots, [][32]byte{ek.Pin()}, now, attest.ErrOtherEK},
		"no certificate":            {nil, ek, chain, roots, nil, now, attest.ErrNoCertificate},
		"another pin":               {cert, ek, nil, nil, [][32]byte{otherEK.Pin()}, now, attest.ErrPin},
		"nothing to trust":          {cert, ek, chain, nil, nil, now, attest.ErrNoTrust},
		"an authority's":            {chain[len(chain)-1], ek, chain, roots, nil, now, attest.ErrOtherEK},
		"no endorsement key":        {nil, attestationKey(t, m), nil, nil, [][32]byte{attestationKey(t, m).Pin()}, now, attest.ErrAttributes},
	} {
		if err := attest.CheckEK(c.cert, c.ek, c.chain, c.vendors, c.pins, c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestVendorIndex reads a P-256 endorsement key's certificate and its chain as
// vendors leave them: padded, and cut over indices.
func TestVendorIndex(t *testing.T) {
	s := newServer(t)
	m := open(t, tpm.Config{Spec: "unix:" + s.socket})
	if _, ek := endorsementOf(t, m); ek.PublicKey().(interface{ Size() int }).Size() != 256 {
		t.Fatal("the TPM came with another certificate than that of an RSA key")
	}
	m.Close()
	v := newVendor(t)
	wire := dialRaw(t, s)
	area := eccEK(t, wire)
	cert := v.certify(t, parse(t, area))
	above := append(bytes.Clone(v.middle.Raw), v.root.Raw...)
	fill(t, wire, 0x01C0000A, append(bytes.Clone(cert.Raw), bytes.Repeat([]byte{0xFF}, 300)...))
	fill(t, wire, 0x01C00100, above[:700])
	fill(t, wire, 0x01C00101, append(above[700:], make([]byte, 50)...))
	wire.Close()

	m = open(t, tpm.Config{Spec: "unix:" + s.socket})
	e, ek := endorsementOf(t, m)
	if !bytes.Equal(e.Public, area) {
		t.Errorf("the endorsement key is %x", e.Public)
	}
	got, chain, err := attest.ParseCertificates(e.Certificates)
	if err != nil || !got.Equal(cert) || len(chain) != 2 || !chain[0].Equal(v.middle) || !chain[1].Equal(v.root) {
		t.Fatalf("%d certificates: %v", len(e.Certificates), err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(v.root)
	if err := attest.CheckEK(got, ek, chain, roots, nil, time.Now()); err != nil {
		t.Error(err)
	}
	ak := attestationKey(t, m)
	blob, sealed, err := attest.MakeCredential(rand.Reader, ek, ak, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := m.ActivateCredential(t.Context(), blob, sealed); err != nil || string(opened) != "secret" {
		t.Errorf("opened %q: %v", opened, err)
	}
}

// eccEK makes the endorsement key of template L-2.
func eccEK(t *testing.T, wire raw) []byte {
	t.Helper()
	rsp, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(tpm2.ECCEKTemplate)}.Execute(wire)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (tpm2.FlushContext{FlushHandle: rsp.ObjectHandle}).Execute(wire); err != nil {
		t.Fatal(err)
	}
	return rsp.OutPublic.Bytes()
}

// fill writes an index as the vendor does.
func fill(t *testing.T, wire raw, index uint32, data []byte) {
	t.Helper()
	public := tpm2.TPMSNVPublic{
		NVIndex: tpm2.TPMHandle(index), NameAlg: tpm2.TPMAlgSHA256, DataSize: uint16(len(data)),
		Attributes: tpm2.TPMANV{PPWrite: true, PPRead: true, OwnerRead: true, AuthRead: true, NoDA: true, PlatformCreate: true},
	}
	if _, err := (tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHPlatform, PublicInfo: tpm2.New2B(public)}).Execute(wire); err != nil {
		t.Fatal(err)
	}
	name, err := tpm2.NVName(&public)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(data); at += 512 {
		if _, err := (tpm2.NVWrite{
			AuthHandle: tpm2.TPMRHPlatform, NVIndex: tpm2.NamedHandle{Handle: public.NVIndex, Name: *name},
			Data: tpm2.TPM2BMaxNVBuffer{Buffer: data[at:min(at+512, len(data))]}, Offset: uint16(at),
		}).Execute(wire); err != nil {
			t.Fatal(err)
		}
		public.Attributes.Written = true
		if name, err = tpm2.NVName(&public); err != nil {
			t.Fatal(err)
		}
	}
}

// vendor is a maker of TPMs.
type vendor struct {
	root, middle *x509.Certificate
	key          *ecdsa.PrivateKey
}

func newVendor(t *testing.T) vendor {
	t.Helper()
	rootKey, middleKey := newECDSA(t), newECDSA(t)
	authority := func(name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}
	}
	root := authority("vendor root")
	v := vendor{key: middleKey}
	v.root = issue(t, root, root, rootKey.Public(), rootKey)
	v.middle = issue(t, authority("vendor EK authority"), v.root, middleKey.Public(), rootKey)
	return v
}

// certify makes a certificate as the EK profile wants it: no name of its own,
// maker and model in a critical alternative name.
func (v vendor) certify(t *testing.T, ek *attest.Public) *x509.Certificate {
	t.Helper()
	model, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: directoryName(t)}})
	if err != nil {
		t.Fatal(err)
	}
	return issue(t, &x509.Certificate{
		SerialNumber: big.NewInt(7), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageKeyAgreement, UnknownExtKeyUsage: []asn1.ObjectIdentifier{{2, 23, 133, 8, 1}},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: model}},
	}, v.middle, ek.PublicKey(), v.key)
}

func directoryName(t *testing.T) []byte {
	t.Helper()
	der, err := asn1.Marshal(pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
		{Type: asn1.ObjectIdentifier{2, 23, 133, 2, 1}, Value: "id:49424D00"},
		{Type: asn1.ObjectIdentifier{2, 23, 133, 2, 2}, Value: "a model"},
	}}.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func issue(t *testing.T, template, parent *x509.Certificate, key crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newECDSA(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestSoftwareAttestationKey claims a key outside of the TPM for an attestation
// key: its public area is perfect, the TPM does not open the challenge for it.
func TestSoftwareAttestationKey(t *testing.T) {
	for name, cfg := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			m := open(t, cfg)
			_, ek := endorsementOf(t, m)
			ak := attestationKey(t, m)
			// The same public area around another point.
			area, err := tpm2.Unmarshal[tpm2.TPMTPublic](ak.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			point, err := newECDSA(t).PublicKey.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
				X: tpm2.TPM2BECCParameter{Buffer: point[1:33]}, Y: tpm2.TPM2BECCParameter{Buffer: point[33:]},
			})
			software := parse(t, tpm2.Marshal(*area))
			if err := attest.CheckAK(software); err != nil {
				t.Errorf("nothing is wrong with its looks: %v", err)
			}
			blob, sealed, err := attest.MakeCredential(rand.Reader, ek, software, []byte("secret"))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := m.ActivateCredential(t.Context(), blob, sealed); !errors.Is(err, tpm.ErrCredential) {
				t.Errorf("opened %q for a key it does not hold: %v", got, err)
			}
			blob, sealed, err = attest.MakeCredential(rand.Reader, ek, ak, []byte("secret"))
			if err != nil {
				t.Fatal(err)
			}
			for what, c := range map[string][2][]byte{
				"a bit of the blob":   {flipped(blob, len(blob)/2), sealed},
				"a bit of the secret": {blob, flipped(sealed, len(sealed)/2)},
				"no blob":             {nil, sealed},
				"no secret":           {blob, nil},
				"a cut blob":          {blob[:len(blob)-1], sealed},
				"4 KiB":               {make([]byte, 4096), make([]byte, 4096)},
			} {
				if got, err := m.ActivateCredential(t.Context(), c[0], c[1]); !errors.Is(err, tpm.ErrCredential) {
					t.Errorf("%s: opened %q: %v", what, got, err)
				}
			}
			if got, err := m.ActivateCredential(t.Context(), blob, sealed); err != nil || string(got) != "secret" {
				t.Errorf("opened %q: %v", got, err)
			}
		})
	}
}

func flipped(b []byte, at int) []byte {
	c := bytes.Clone(b)
	c[at] ^= 1
	return c
}

// TestOtherTPMsChallenge opens nothing that was sealed to another TPM.
func TestOtherTPMsChallenge(t *testing.T) {
	ours, theirs := open(t, tpm.Config{Spec: "sim"}), open(t, tpm.Config{Spec: "swtpm:" + newTPM(t)})
	_, ek := endorsementOf(t, theirs)
	blob, sealed, err := attest.MakeCredential(rand.Reader, ek, attestationKey(t, theirs), []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ours.ActivateCredential(t.Context(), blob, sealed); !errors.Is(err, tpm.ErrCredential) {
		t.Errorf("opened %q: %v", got, err)
	}
}

// TestForeignCreation certifies nothing but what the TPM made and says why.
func TestForeignCreation(t *testing.T) {
	for name, cfg := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			ctx, m := t.Context(), open(t, cfg)
			ca, creation, err := m.CreateKey(ctx, tpm.CA, elliptic.P256(), []byte(pin))
			if err != nil {
				t.Fatal(err)
			}
			other, _, err := m.CreateKey(ctx, tpm.Checkpoint, elliptic.P256(), []byte(pin))
			if err != nil {
				t.Fatal(err)
			}
			ticket := creation
			ticket.Ticket = flipped(creation.Ticket, len(creation.Ticket)-1)
			hash := creation
			hash.Hash[3] ^= 1
			cut := creation
			cut.Ticket = creation.Ticket[:7]
			for what, c := range map[string]struct {
				ref      tpm.KeyRef
				creation tpm.Creation
			}{
				"another key":     {other, creation},
				"another ticket":  {ca, ticket},
				"another hash":    {ca, hash},
				"a cut ticket":    {ca, cut},
				"nothing kept":    {ca, tpm.Creation{}},
				"an older ticket": {ca, tpm.Creation{Hash: creation.Hash, Ticket: make([]byte, 40)}},
			} {
				if _, err := m.CertifyCreation(ctx, c.ref, c.creation, [32]byte{}); !errors.Is(err, tpm.ErrCreation) {
					t.Errorf("%s: %v", what, err)
				}
			}
			gone := ca
			gone.Name = other.Name
			if _, err := m.CertifyCreation(ctx, gone, creation, [32]byte{}); !errors.Is(err, tpm.ErrNotFound) {
				t.Errorf("a key that is not there: %v", err)
			}
			if _, err := m.PublicArea(ctx, gone); !errors.Is(err, tpm.ErrNotFound) {
				t.Errorf("a key that is not there: %v", err)
			}
		})
	}
}

// TestEvidenceSurvives breaks the link at each command of an activation, a
// certification and a quote: all come out and verify.
func TestEvidenceSurvives(t *testing.T) {
	p := newProxy(t, "unix", newServer(t))
	m := open(t, tpm.Config{Spec: p.spec()})
	ctx := t.Context()
	_, ek := endorsementOf(t, m)
	ak := attestationKey(t, m)
	blob, sealed, err := attest.MakeCredential(rand.Reader, ek, ak, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	ref, creation, err := m.CreateKey(ctx, tpm.CA, elliptic.P256(), []byte(pin))
	if err != nil {
		t.Fatal(err)
	}
	key, err := m.PublicArea(ctx, ref)
	if err != nil {
		t.Fatal(err)
	}
	c := newCounter(t, m)
	qualifying := sha256.Sum256([]byte("qualifying"))
	for name, do := range map[string]func() error{
		"activate": func() error {
			got, err := m.ActivateCredential(ctx, blob, sealed)
			if err == nil && string(got) != "secret" {
				err = fmt.Errorf("opened %q", got)
			}
			return err
		},
		"certify": func() error {
			s, err := m.CertifyCreation(ctx, ref, creation, qualifying)
			if err == nil {
				_, err = attest.VerifyCreation(ak, parse(t, key), s.Attest, s.Signature, qualifying)
			}
			return err
		},
		"quote": func() error {
			s, err := m.Quote(ctx, qualifying, []uint{0})
			if err == nil {
				_, err = attest.VerifyQuote(ak, s.Attest, s.Signature, qualifying)
			}
			return err
		},
		"counter": func() error {
			_, s, err := c.Certify(ctx, qualifying)
			if err == nil {
				_, err = attest.VerifyCounter(ak, s.Attest, s.Signature, qualifying, c.Ref().Name)
			}
			return err
		},
		"endorsement": func() error {
			e, err := m.Endorsement(ctx)
			if err == nil && (!bytes.Equal(e.Public, ek.Bytes()) || len(e.Certificates) == 0) {
				err = errors.New("another endorsement key")
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			sweep(t, p, 2, do, func(string) {})
		})
	}
	if left := leftovers(t, m, p); left != 0 {
		t.Errorf("%d objects stay loaded", left)
	}
}

// leftovers counts the transient objects that a client leaves behind.
func leftovers(t *testing.T, m *tpm.TPM, p *proxy) int {
	t.Helper()
	rsp, err := tpm2.GetCapability{
		Capability: tpm2.TPMCapHandles, Property: 0x80000000, PropertyCount: 16,
	}.Execute(viaProxy(t, m, p))
	if err != nil {
		t.Fatal(err)
	}
	list, err := rsp.CapabilityData.Data.Handles()
	if err != nil {
		t.Fatal(err)
	}
	return len(list.Handle)
}

// TestCopyOnce changes a PIN with the link breaking at each command: one copy
// is made, it takes the new PIN only, the old one the old until it is removed.
func TestCopyOnce(t *testing.T) {
	p := newProxy(t, "unix", newServer(t))
	m := open(t, tpm.Config{Spec: p.spec()})
	ctx := t.Context()
	old, creation, err := m.CreateKey(ctx, tpm.Checkpoint, elliptic.P256(), []byte(pin))
	if err != nil {
		t.Fatal(err)
	}
	const newPIN = "another pin"
	var copied tpm.KeyRef
	sweep(t, p, 6, func() (err error) {
		copied, err = m.ChangePIN(ctx, old, []byte(pin), []byte(newPIN))
		return err
	}, func(how string) {
		if copied.Handle != old.Handle+1 || copied.Name != old.Name {
			t.Fatalf("%s: the copy is %v", how, copied)
		}
		k, err := m.Key(ctx, copied, fixed(newPIN))
		if err == nil {
			err = sign(ctx, k, crypto.SHA256, "x")
		}
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		if err := m.RemoveKey(ctx, copied); err != nil {
			t.Fatalf("%s: %v", how, err)
		}
	})
	if copied, err = m.ChangePIN(ctx, old, []byte(pin), []byte(newPIN)); err != nil {
		t.Fatal(err)
	}
	if err := sign(ctx, find(t, m, old), crypto.SHA256, "x"); err != nil {
		t.Errorf("the old key before it is removed: %v", err)
	}
	if err := sign(ctx, find(t, m, copied), crypto.SHA256, "x"); !errors.Is(err, tpm.ErrPIN) {
		t.Errorf("the copy takes the old PIN: %v", err)
	}
	sweep(t, p, 0, func() error { return m.RemoveKey(ctx, old) }, func(string) {})
	if _, err := m.PublicArea(ctx, old); !errors.Is(err, tpm.ErrNotFound) {
		t.Errorf("the old key is still there: %v", err)
	}
	if _, err := m.CertifyCreation(ctx, copied, creation, [32]byte{}); err != nil {
		t.Errorf("the copy has lost its creation: %v", err)
	}
	if _, err := m.ChangePIN(ctx, copied, []byte(pin), []byte(newPIN)); !errors.Is(err, tpm.ErrPIN) {
		t.Errorf("changed with a wrong PIN: %v", err)
	}
}
