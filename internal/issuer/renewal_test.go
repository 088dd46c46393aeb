// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"provisioning.example/station/internal/issuer"
)

// csr is a request as a device's own software makes it.
func csr(t testing.TB, key crypto.Signer, change ...func(*x509.CertificateRequest)) []byte {
	t.Helper()
	c := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "pump-7"}}
	for _, f := range change {
		f(c)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, c, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// certified issues a first certificate for a key.
func (w *world) certified(t *testing.T, key crypto.Signer) *x509.Certificate {
	t.Helper()
	return w.issueTo(t, key, &x509.Certificate{
		Subject:  pkix.Name{Organization: []string{"Example"}, CommonName: "pump-7", SerialNumber: "7"},
		DNSNames: []string{"pump-7.example.com"},
	})
}

func (w *world) issueTo(t *testing.T, key crypto.Signer, c *x509.Certificate) *x509.Certificate {
	t.Helper()
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(1<<60+7), w.now.AddDate(0, -1, 0), w.now.AddDate(0, 1, 0)
	return sign(t, c, w.intermediate, key.Public(), w.key)
}

// TestRenew keeps name and key, and takes the rest from the profile.
func TestRenew(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	profile, err := issuer.ParseProfile("all.toml", []byte("base = \"mtls\"\nalgorithms = [\"ES256\", \"ES384\", \"EdDSA\", \"RS256\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	for alg, key := range map[string]crypto.Signer{
		"ES256": newKey(t, elliptic.P256()), "ES384": newKey(t, elliptic.P384()), "RS256": rsaKey, "EdDSA": edKey,
	} {
		t.Run(alg, func(t *testing.T) {
			w := newWorld(t, elliptic.P256())
			old := w.certified(t, key)
			r, err := issuer.ParseRenewal(csr(t, key))
			if err != nil {
				t.Fatal(err)
			}
			if r.Alg() != alg || r.CN() != "pump-7" || (r.R() != nil) != (alg[:2] == "ES") {
				t.Errorf("read as %s, %q, r %x", r.Alg(), r.CN(), r.R())
			}
			draft, err := w.issuer.Renew(profile, r, old)
			if err != nil {
				t.Fatal(err)
			}
			cert, err := w.issuer.Sign(t.Context(), draft.TBS(), draft.SPKI())
			if err != nil {
				t.Fatal(err)
			}
			c := cert.Parsed
			if !bytes.Equal(c.RawSubject, old.RawSubject) || c.DNSNames[0] != old.DNSNames[0] || !bytes.Equal(c.RawSubjectPublicKeyInfo, old.RawSubjectPublicKeyInfo) ||
				c.SerialNumber.Cmp(old.SerialNumber) == 0 || c.NotAfter.Sub(w.now).Hours() < 360*24 {
				t.Errorf("renewed %+v", c)
			}
		})
	}
}

// TestRenewOpenSSL takes what openssl asks with, and openssl takes the answer.
func TestRenewOpenSSL(t *testing.T) {
	dir, w := t.TempDir(), newWorld(t, elliptic.P256())
	openssl(t, dir, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "device.key",
		"-subj", "/O=Example/CN=pump-7/serialNumber=7", "-outform", "DER", "-out", "device.der")
	der, err := os.ReadFile(filepath.Join(dir, "device.der"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "device.key"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	old := w.certified(t, key.(crypto.Signer))
	r, err := issuer.ParseRenewal(der)
	if err != nil {
		t.Fatal(err)
	}
	profile, err := issuer.BuiltinProfile("mtls")
	if err != nil {
		t.Fatal(err)
	}
	draft, err := w.issuer.Renew(profile, r, old)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := w.issuer.Sign(t.Context(), draft.TBS(), draft.SPKI())
	if err != nil {
		t.Fatal(err)
	}
	writeCert(t, filepath.Join(dir, "root.pem"), w.root.Raw)
	writeCert(t, filepath.Join(dir, "ca.pem"), w.intermediate.Raw)
	writeCert(t, filepath.Join(dir, "device.pem"), cert.DER)
	openssl(t, dir, "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "root.pem", "-untrusted", "ca.pem", "device.pem")
}

func TestRenewalRefusals(t *testing.T) {
	key, weak := newKey(t, elliptic.P256()), newKey(t, elliptic.P224())
	changed := func(der []byte) []byte {
		der = bytes.Clone(der)
		der[len(der)-1] ^= 1
		return der
	}
	for name, try := range map[string]struct {
		der  []byte
		want issuer.Reason
	}{
		"empty":      {nil, issuer.ReasonSize},
		"long":       {make([]byte, issuer.MaxRequest+1), issuer.ReasonSize},
		"not DER":    {[]byte("-----BEGIN CERTIFICATE REQUEST-----"), issuer.ReasonMalformed},
		"curve":      {csr(t, weak), issuer.ReasonAlgorithm},
		"signature":  {changed(csr(t, key)), issuer.ReasonSignature},
		"extensions": {csr(t, key, func(c *x509.CertificateRequest) { c.DNSNames = []string{"admin.example.com"} }), issuer.ReasonExtraAttribute},
		"nameless":   {csr(t, key, func(c *x509.CertificateRequest) { c.Subject = pkix.Name{SerialNumber: "7"} }), issuer.ReasonIdentity},
	} {
		_, err := issuer.ParseRenewal(try.der)
		if refused, ok := errors.AsType[*issuer.Refusal](err); !ok || refused.Reason != try.want {
			t.Errorf("%s: %v, want %s", name, err, try.want)
		}
	}
	w := newWorld(t, elliptic.P256())
	old := w.certified(t, key)
	mtls, err := issuer.BuiltinProfile("mtls")
	if err != nil {
		t.Fatal(err)
	}
	narrow, err := issuer.ParseProfile("narrow.toml", []byte("base = \"mtls\"\nalgorithms = [\"ES384\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]struct {
		der     []byte
		profile *issuer.Profile
		want    issuer.Reason
	}{
		"algorithm":   {csr(t, key), narrow, issuer.ReasonAlgorithm},
		"another key": {csr(t, newKey(t, elliptic.P256())), mtls, issuer.ReasonSPKI},
		"name":        {csr(t, key, func(c *x509.CertificateRequest) { c.Subject.CommonName = "pump-8" }), mtls, issuer.ReasonIdentity},
		"more name":   {csr(t, key, func(c *x509.CertificateRequest) { c.Subject.OrganizationalUnit = []string{"admins"} }), mtls, issuer.ReasonIdentity},
	} {
		r, err := issuer.ParseRenewal(try.der)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.issuer.Renew(try.profile, r, old)
		if refused, ok := errors.AsType[*issuer.Refusal](err); !ok || refused.Reason != try.want {
			t.Errorf("%s: %v, want %s", name, err, try.want)
		}
	}
	w.now = w.intermediate.NotAfter.AddDate(0, 0, -30)
	r, err := issuer.ParseRenewal(csr(t, key))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.issuer.Renew(mtls, r, old); !errors.Is(err, issuer.ErrWindow) {
		t.Errorf("outside the window: %v", err)
	}
}
