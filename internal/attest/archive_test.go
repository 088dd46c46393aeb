// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"context"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"provisioning.example/station/internal/attest"
	"provisioning.example/station/internal/tpm"
)

var update = flag.Bool("update", false, "make the evidence in testdata anew, with swtpm")

// archived is evidence of one TPM, as a ledger keeps it.
type archived struct {
	t                        *testing.T
	ek, ak, ca, checkpoint   *attest.Public
	cert                     *x509.Certificate
	chain                    []*x509.Certificate
	roots                    *x509.CertPool
	creation, counter, quote tpm.Statement
	qualifying               [32]byte
	counterName              [34]byte
}

func data(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func public(t *testing.T, b []byte) *attest.Public {
	t.Helper()
	p, err := attest.ParsePublic(b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func openArchive(t *testing.T) *archived {
	t.Helper()
	if *update {
		capture(t)
	}
	a := &archived{t: t, qualifying: sha256.Sum256([]byte("qualifying")), roots: x509.NewCertPool()}
	for name, p := range map[string]**attest.Public{"ek": &a.ek, "ak": &a.ak, "ca": &a.ca, "checkpoint": &a.checkpoint} {
		*p = public(t, data(t, name+".public"))
	}
	for name, s := range map[string]*tpm.Statement{"creation": &a.creation, "counter": &a.counter, "quote": &a.quote} {
		s.Attest, s.Signature = data(t, name+".attest"), data(t, name+".signature")
	}
	copy(a.counterName[:], data(t, "counter.name"))
	var err error
	if a.cert, a.chain, err = attest.ParseCertificates([][]byte{data(t, "ek.der"), data(t, "issuer.der")}); err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(data(t, "root.der"))
	if err != nil {
		t.Fatal(err)
	}
	a.roots.AddCert(root)
	return a
}

// capture makes a TPM, and the evidence of it.
func capture(t *testing.T) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tpm")
	m, err := tpm.Open(t.Context(), tpm.Config{Spec: "swtpm:" + dir})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	files := map[string][]byte{}
	put := func(name string, b []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		files[name] = b
	}
	if err := captureKeys(t.Context(), m, put); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{"issuer.der": "issuercert.pem", "root.der": "swtpm-localca-rootca-cert.pem"} {
		text, err := os.ReadFile(filepath.Join(dir, "ek-ca", file))
		block, _ := pem.Decode(text)
		if block == nil {
			t.Fatalf("%s: %v", file, err)
		}
		put(name, block.Bytes, err)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join("testdata", name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func captureKeys(ctx context.Context, m *tpm.TPM, put func(string, []byte, error)) error {
	qualifying := sha256.Sum256([]byte("qualifying"))
	state := func(name string, s tpm.Statement, err error) {
		put(name+".attest", s.Attest, err)
		put(name+".signature", s.Signature, err)
	}
	e, err := m.Endorsement(ctx)
	put("ek.public", e.Public, err)
	put("ek.der", e.Certificates[0], nil)
	ak, err := m.AttestationKey(ctx)
	put("ak.public", ak, err)
	pin := []byte("1234")
	ca, creation, err := m.CreateKey(ctx, tpm.CA, elliptic.P384(), pin)
	if err != nil {
		return err
	}
	area, err := m.PublicArea(ctx, ca)
	put("ca.public", area, err)
	s, err := m.CertifyCreation(ctx, ca, creation, qualifying)
	state("creation", s, err)
	file, err := m.ExportBlob(ctx, ca, pin)
	put("key.pem", file, err)
	checkpoint, _, err := m.CreateKey(ctx, tpm.Checkpoint, elliptic.P256(), pin)
	if err != nil {
		return err
	}
	area, err = m.PublicArea(ctx, checkpoint)
	put("checkpoint.public", area, err)
	ref, err := m.DefineCounter(ctx, pin)
	put("counter.name", ref.Name[:], err)
	c, err := m.Counter(ctx, ref, func() ([]byte, error) { return pin, nil })
	if err != nil {
		return err
	}
	_, s, err = c.Certify(ctx, qualifying)
	state("counter", s, err)
	s, err = m.Quote(ctx, qualifying, []uint{0, 7})
	state("quote", s, err)
	return nil
}

// TestArchived checks evidence without the TPM it is of.
func TestArchived(t *testing.T) {
	a := openArchive(t)
	if err := attest.CheckEK(a.cert, a.ek, a.chain, a.roots, nil, a.cert.NotBefore); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"ak": attest.CheckAK(a.ak), "ca": attest.CheckKey("ca", a.ca),
		"checkpoint": attest.CheckKey("checkpoint", a.checkpoint), "rework, the same template": attest.CheckKey("rework", a.checkpoint),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if c, err := attest.VerifyCreation(a.ak, a.ca, a.creation.Attest, a.creation.Signature, a.qualifying); err != nil || c.Firmware == 0 || c.Milliseconds == 0 {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := attest.VerifyCounter(a.ak, a.counter.Attest, a.counter.Signature, a.qualifying, a.counterName); err != nil || c.Value == 0 {
		t.Errorf("%+v, %v", c, err)
	}
	if q, err := attest.VerifyQuote(a.ak, a.quote.Attest, a.quote.Signature, a.qualifying); err != nil || len(q.PCRs) != 2 || q.PCRs[1] != 7 {
		t.Errorf("%+v, %v", q, err)
	}
	if k, err := attest.ParseKeyFile(data(t, "key.pem")); err != nil || k.Public.Name() != a.ca.Name() {
		t.Errorf("%+v, %v", k, err)
	}
}

// TestMixedUp holds good evidence against what it is not about.
func TestMixedUp(t *testing.T) {
	a := openArchive(t)
	other := [32]byte{1}
	creation, counter, quote := a.creation, a.counter, a.quote
	for name, c := range map[string]struct {
		err, want error
	}{
		"another key":             {second(attest.VerifyCreation(a.ak, a.checkpoint, creation.Attest, creation.Signature, a.qualifying)), attest.ErrOtherKey},
		"another challenge":       {second(attest.VerifyCreation(a.ak, a.ca, creation.Attest, creation.Signature, other)), attest.ErrQualifying},
		"another attestation key": {second(attest.VerifyCreation(a.checkpoint, a.ca, creation.Attest, creation.Signature, a.qualifying)), attest.ErrSignature},
		"an RSA attestation key":  {second(attest.VerifyCreation(a.ek, a.ca, creation.Attest, creation.Signature, a.qualifying)), attest.ErrSignature},
		"another signature":       {second(attest.VerifyCreation(a.ak, a.ca, creation.Attest, quote.Signature, a.qualifying)), attest.ErrSignature},
		"a quote":                 {second(attest.VerifyCreation(a.ak, a.ca, quote.Attest, quote.Signature, a.qualifying)), attest.ErrKind},
		"a counter":               {second(attest.VerifyQuote(a.ak, counter.Attest, counter.Signature, a.qualifying)), attest.ErrKind},
		"a creation":              {second(attest.VerifyCounter(a.ak, creation.Attest, creation.Signature, a.qualifying, a.counterName)), attest.ErrKind},
		"another counter":         {second(attest.VerifyCounter(a.ak, counter.Attest, counter.Signature, a.qualifying, [34]byte{})), attest.ErrOtherCounter},
		"another seal":            {second(attest.VerifyCounter(a.ak, counter.Attest, counter.Signature, other, a.counterName)), attest.ErrQualifying},
		"another quote":           {second(attest.VerifyQuote(a.ak, quote.Attest, quote.Signature, other)), attest.ErrQualifying},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v", name, c.err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestEveryBit takes no statement with one bit turned.
func TestEveryBit(t *testing.T) {
	a := openArchive(t)
	for i := range 8 * len(a.creation.Attest) {
		b := turned(a.creation.Attest, i)
		if _, err := attest.VerifyCreation(a.ak, a.ca, b, a.creation.Signature, a.qualifying); err == nil {
			t.Errorf("bit %d of the statement means nothing", i)
		}
	}
	for i := range 8 * len(a.creation.Signature) {
		b := turned(a.creation.Signature, i)
		if _, err := attest.VerifyCreation(a.ak, a.ca, a.creation.Attest, b, a.qualifying); err == nil {
			t.Errorf("bit %d of the signature means nothing", i)
		}
	}
	for i := range 8 * len(a.ca.Bytes()) {
		p, err := attest.ParsePublic(turned(a.ca.Bytes(), i))
		if err != nil {
			continue
		}
		if _, err := attest.VerifyCreation(a.ak, p, a.creation.Attest, a.creation.Signature, a.qualifying); !errors.Is(err, attest.ErrOtherKey) {
			t.Errorf("bit %d of the key: %v", i, err)
		}
	}
}

func turned(b []byte, bit int) []byte {
	c := append([]byte(nil), b...)
	c[bit/8] ^= 1 << (bit % 8)
	return c
}
