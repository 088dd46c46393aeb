// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/issuer"
)

// openssl runs the openssl of this machine: the one judge in these tests that
// shares no code with us.
func openssl(t *testing.T, dir string, args ...string) string {
	t.Helper()
	c := exec.Command("openssl", args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func writeCert(t *testing.T, path string, der []byte) {
	t.Helper()
	writeFile(t, path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// TestOpenSSLCertificate shows every field of a certificate to openssl.
func TestOpenSSLCertificate(t *testing.T) {
	text, err := os.ReadFile("testdata/profile.toml")
	if err != nil {
		t.Fatal(err)
	}
	profile, err := issuer.ParseProfile("pump.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	dir, w, d := t.TempDir(), newWorld(t, elliptic.P256()), newDevice(t, "p1-42", "42")
	unit := issuer.Unit{Serial: "42", UID: "0a0b", Model: "p1", Vars: map[string]string{"site": "Süd"}}
	draft, err := w.issuer.Prepare(profile, d.parsed(t), unit)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := w.issuer.Sign(t.Context(), draft.TBS(), draft.SPKI())
	if err != nil {
		t.Fatal(err)
	}
	writeCert(t, filepath.Join(dir, "root.pem"), w.root.Raw)
	writeCert(t, filepath.Join(dir, "intermediate.pem"), w.intermediate.Raw)
	writeCert(t, filepath.Join(dir, "device.pem"), cert.DER)
	openssl(t, dir, "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "root.pem", "-untrusted", "intermediate.pem", "device.pem")

	shown := openssl(t, dir, "x509", "-in", "device.pem", "-noout", "-text", "-nameopt", "utf8,sep_comma_plus")
	for _, want := range []string{
		"Version: 3 (0x2)",
		"Signature Algorithm: ecdsa-with-SHA256",
		"Issuer: CN=Test Intermediate\n",
		"Not Before: " + cert.Parsed.NotBefore.Format("Jan _2 15:04:05 2006 GMT"),
		"Not After : " + cert.Parsed.NotAfter.Format("Jan _2 15:04:05 2006 GMT"),
		"Subject: C=DE,O=Example Pumps,OU=Süd,CN=p1-42,serialNumber=42\n",
		"NIST CURVE: P-256",
		"X509v3 Key Usage: critical\n                Digital Signature\n",
		"X509v3 Extended Key Usage: \n                TLS Web Client Authentication\n",
		"X509v3 Subject Key Identifier: \n                " + octets(cert.Parsed.SubjectKeyId),
		"X509v3 Authority Key Identifier: \n                " + octets(w.intermediate.SubjectKeyId),
		"X509v3 Subject Alternative Name: \n                DNS:42.pumps.example, URI:urn:dev:org:32473-0a0b\n",
		"1.3.6.1.4.1.32473.1: \n                ..pumps\n",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("openssl does not show %q in\n%s", want, shown)
		}
	}
	if strings.Contains(shown, "Basic Constraints") {
		t.Error("a device has basic constraints")
	}
	serial := openssl(t, dir, "x509", "-in", "device.pem", "-noout", "-serial")
	if !strings.EqualFold(strings.TrimSpace(serial), "serial="+cert.Serial) {
		t.Errorf("openssl shows %s, we say %s", serial, cert.Serial)
	}
}

func octets(b []byte) string {
	var parts []string
	for _, x := range b {
		parts = append(parts, strings.ToUpper(string("0123456789abcdef"[x>>4])+string("0123456789abcdef"[x&15])))
	}
	return strings.Join(parts, ":")
}

// TestOpenSSLVerifiesRequest shows our idea of a request to openssl.
func TestOpenSSLVerifiesRequest(t *testing.T) {
	for _, m := range makers {
		dir := t.TempDir()
		want := issuer.Expect{CN: "sensor-001", SN: "42"}
		b := m.request(t, m.key(t), &want)
		if _, err := issuer.ParseRequest(b, want); err != nil {
			t.Errorf("%s: %v", m.alg, err)
		}
		writeFile(t, filepath.Join(dir, "request.der"), b)
		out := openssl(t, dir, "req", "-verify", "-inform", "DER", "-in", "request.der", "-noout", "-text")
		for _, part := range []string{"CN = sensor-001, serialNumber = 42", "challengePassword        :" + challengeOf(want.Nonce)} {
			if !strings.Contains(out, part) {
				t.Errorf("%s: openssl does not show %q in\n%s", m.alg, part, out)
			}
		}
	}
}

// TestOpenSSLRequest takes requests that openssl made, for every kind of key.
func TestOpenSSLRequest(t *testing.T) {
	const config = `[req]
prompt = no
string_mask = utf8only
distinguished_name = name
attributes = more
[name]
CN = sensor-001
serialNumber = 42
[more]
challengePassword = `
	for _, c := range []struct {
		alg string
		key []string
	}{
		{"ES256", []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha256"}},
		{"ES384", []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha384"}},
		{"EdDSA", []string{"-newkey", "ed25519"}},
		{"RS256", []string{"-newkey", "rsa:2048", "-sha256"}},
	} {
		t.Run(c.alg, func(t *testing.T) {
			dir := t.TempDir()
			want := issuer.Expect{CN: "sensor-001", SN: "42", Alg: c.alg, Nonce: [32]byte{1, 2, 3}}
			writeFile(t, filepath.Join(dir, "req.cnf"), []byte(config+challengeOf(want.Nonce)+"\n"))
			openssl(t, dir, append([]string{"req", "-new", "-nodes", "-config", "req.cnf", "-keyout", "key.pem", "-outform", "DER", "-out", "request.der"}, c.key...)...)
			b, err := os.ReadFile(filepath.Join(dir, "request.der"))
			if err != nil {
				t.Fatal(err)
			}
			csr, err := x509.ParseCertificateRequest(b)
			if err != nil {
				t.Fatal(err)
			}
			want.SPKI = sha256.Sum256(csr.RawSubjectPublicKeyInfo)
			r, err := issuer.ParseRequest(b, want)
			if err != nil {
				t.Fatal(err)
			}
			if !r.PublicKey().(interface{ Equal(crypto.PublicKey) bool }).Equal(csr.PublicKey) || r.Alg() != c.alg {
				t.Error("another key was read")
			}
		})
	}
}
