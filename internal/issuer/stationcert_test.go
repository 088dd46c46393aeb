// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/issuer"
)

const code = "3c1f7a0b5d2e4f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8"

func pemFile(t *testing.T, name string, certs ...*x509.Certificate) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	var text []byte
	for _, c := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestStationCertificatesAreNoDevices: openssl and crypto/x509 accept the chain,
// and both refuse the certificate as a TLS client, a TLS server and an issuer.
func TestStationCertificatesAreNoDevices(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
		w := newWorld(t, curve)
		proof, err := w.issuer.Verification(t.Context(), code, newKey(t, elliptic.P256()).Public(), 7*24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := w.issuer.ManifestKey(t.Context(), "ulm/st-07", newKey(t, elliptic.P256()).Public())
		if err != nil {
			t.Fatal(err)
		}
		for name, cert := range map[string]*x509.Certificate{"proof": proof.Parsed, "manifest": manifest.Parsed} {
			root, between, leaf := pemFile(t, "root.pem", w.root), pemFile(t, "ca.pem", w.intermediate), pemFile(t, "leaf.pem", cert)
			verify := func(more ...string) ([]byte, error) {
				args := append([]string{"verify", "-x509_strict", "-CAfile", root, "-untrusted", between}, more...)
				return exec.Command("openssl", append(args, leaf)...).CombinedOutput()
			}
			if out, err := verify(); err != nil {
				t.Errorf("%s: openssl: %s", name, out)
			}
			for _, purpose := range []string{"sslclient", "sslserver", "smimesign"} {
				if out, err := verify("-purpose", purpose); err == nil || !bytes.Contains(out, []byte("purpose")) {
					t.Errorf("%s: openssl takes it as %s: %s", name, purpose, out)
				}
			}
			roots, inters := x509.NewCertPool(), x509.NewCertPool()
			roots.AddCert(w.root)
			inters.AddCert(w.intermediate)
			for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
				if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: inters, KeyUsages: []x509.ExtKeyUsage{use}}); err == nil {
					t.Errorf("%s: crypto/x509 takes it for use %d", name, use)
				}
			}
		}
		if got := proof.Parsed; got.Subject.String() != "CN="+code || got.NotAfter.Sub(w.now) != 7*24*time.Hour-time.Second || got.IsCA || len(got.URIs) > 0 {
			t.Errorf("proof of %s until %s", got.Subject, got.NotAfter)
		}
		if station, err := issuer.ManifestStation(manifest.Parsed); err != nil || station != "ulm/st-07" {
			t.Errorf("manifest key of %q, %v", station, err)
		}
		if !manifest.Parsed.NotAfter.Equal(w.intermediate.NotAfter) {
			t.Errorf("manifest key until %s, its issuer until %s", manifest.Parsed.NotAfter, w.intermediate.NotAfter)
		}
		if !issuer.IsVerification(proof.Parsed) || issuer.IsVerification(manifest.Parsed) || issuer.IsVerification(w.intermediate) {
			t.Error("proofs are not told from other certificates")
		}
		if _, err := issuer.ManifestStation(proof.Parsed); err == nil {
			t.Error("a proof passes for a manifest key")
		}
		// What the issuer signs for devices must not be this.
		if err := w.issuer.Fits(mtls(t), proof.Parsed.RawTBSCertificate, [32]byte{}); err == nil {
			t.Error("a proof passes for a device's certificate")
		}
	}
}

// TestManifestStationRefuses: a device's certificate, even one that names such a
// URI, is no manifest key.
func TestManifestStationRefuses(t *testing.T) {
	w := newWorld(t, elliptic.P256())
	good, err := w.issuer.ManifestKey(t.Context(), "ulm/st-07", newKey(t, elliptic.P256()).Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(c *x509.Certificate){
		"no use":        func(c *x509.Certificate) { c.UnknownExtKeyUsage = nil },
		"another use":   func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} },
		"an issuer":     func(c *x509.Certificate) { c.IsCA = true },
		"a ledger's":    func(c *x509.Certificate) { c.URIs[0] = issuer.LedgerURI("ulm/st-07/1") },
		"without name":  func(c *x509.Certificate) { c.URIs = nil },
		"another usage": func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageContentCommitment },
	} {
		c, err := x509.ParseCertificate(good.DER)
		if err != nil {
			t.Fatal(err)
		}
		change(c)
		if station, err := issuer.ManifestStation(c); err == nil {
			t.Errorf("%s: taken for the manifest key of %s", name, station)
		}
	}
}

func TestVerificationRefuses(t *testing.T) {
	w := newWorld(t, elliptic.P256())
	key := newKey(t, elliptic.P256()).Public()
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]struct {
		code   string
		public crypto.PublicKey
		life   time.Duration
		says   string
	}{
		"empty code":    {"", key, time.Hour, "registration code"},
		"a name":        {"sensor 1", key, time.Hour, "registration code"},
		"too long":      {strings.Repeat("a", 65), key, time.Hour, "1 to 64 characters"},
		"a year":        {code, key, 365 * 24 * time.Hour, "allowed: 1h0m0s to 720h0m0s"},
		"weak key":      {code, weak.Public(), time.Hour, "RSA key of 1024 bits"},
		"unknown kind":  {code, big.NewInt(1), time.Hour, "public key"},
		"at the window": {code, key, 30 * 24 * time.Hour, "renew the intermediate"},
	} {
		here := w.issuer
		if name == "at the window" {
			c := w.config()
			c.Now = func() time.Time { return w.intermediate.NotAfter.Add(-time.Hour) }
			if here, err = issuer.New(c); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := here.Verification(t.Context(), try.code, try.public, try.life); err == nil || !strings.Contains(err.Error(), try.says) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := here.Verification(t.Context(), try.code, try.public, try.life); name == "at the window" && !errors.Is(err, issuer.ErrWindow) {
			t.Errorf("%s: %v is no ErrWindow", name, err)
		}
	}
}

func request(t testing.TB, cn string, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: cn}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func TestVerificationRequest(t *testing.T) {
	key := newKey(t, elliptic.P384())
	good := request(t, code, key)
	public, err := issuer.ParseVerificationRequest(good, code)
	if err != nil || !key.PublicKey.Equal(public) {
		t.Fatalf("%v, %v", public, err)
	}
	spoiled, _ := pem.Decode(good)
	spoiled.Bytes[len(spoiled.Bytes)-1] ^= 1 // one bit of its signature
	for name, try := range map[string]struct {
		text []byte
		says string
	}{
		"another code":  {request(t, "0"+code[1:], key), "the code is"},
		"nothing":       {nil, "not one PEM block"},
		"two requests":  {append(bytes.Clone(good), good...), "not one PEM block"},
		"a certificate": {bytes.ReplaceAll(good, []byte(" REQUEST"), nil), "not one PEM block"},
		"spoiled":       {pem.EncodeToMemory(spoiled), "not signed by its own key"},
		"endless":       {bytes.Repeat([]byte("x"), 1<<20), "allowed: up to"},
	} {
		if _, err := issuer.ParseVerificationRequest(try.text, code); err == nil || !strings.Contains(err.Error(), try.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzVerificationRequest: whatever is accepted is signed by the key that is
// returned and names the code.
func FuzzVerificationRequest(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		public, err := issuer.ParseVerificationRequest(text, code)
		if err != nil {
			return
		}
		b, _ := pem.Decode(text)
		csr, err := x509.ParseCertificateRequest(b.Bytes)
		if err != nil || csr.CheckSignature() != nil || csr.Subject.CommonName != code {
			t.Fatalf("accepted what crypto/x509 does not: %v", err)
		}
		if k, ok := public.(interface{ Equal(crypto.PublicKey) bool }); !ok || !k.Equal(csr.PublicKey) {
			t.Error("another key than the request's")
		}
	})
}
