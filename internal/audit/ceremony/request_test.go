// SPDX-License-Identifier: Apache-2.0

package ceremony_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"

	"provisioning.example/station/internal/audit/ceremony"
)

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// csr makes one block of a request by hand.
func csr(t *testing.T, label string, key crypto.Signer, c *x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, c, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
}

func TestParseRequestRefuses(t *testing.T) {
	const first, second = "CERTIFICATE REQUEST", "CHECKPOINT KEY REQUEST"
	ca, checkpoint := newKey(t, elliptic.P256()), newKey(t, elliptic.P256())
	subject := pkix.Name{CommonName: "ulm/st-07 CA 01020304"}
	intermediate := csr(t, first, ca, &x509.CertificateRequest{Subject: subject})
	uri := func(s string) []*url.URL {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return []*url.URL{u}
	}
	ledger := func(cn, origin string) []byte {
		return csr(t, second, checkpoint, &x509.CertificateRequest{Subject: pkix.Name{CommonName: cn}, URIs: uri(origin)})
	}
	good := ledger("ulm/st-07/1", "ledger:ulm/st-07/1")
	if _, err := ceremony.ParseRequest(append(bytes.Clone(intermediate), good...)); err != nil {
		t.Fatalf("what the refusals are made from: %v", err)
	}
	alone, err := ceremony.ParseRequest(intermediate)
	if err != nil {
		t.Fatalf("a request without checkpoint key: %v", err)
	}
	if _, ok := alone.Origin(); ok || alone.CheckpointSPKI() != [32]byte{} {
		t.Error("a request without checkpoint key has an origin")
	}
	block, _ := pem.Decode(intermediate)
	block.Bytes[len(block.Bytes)-1] ^= 1
	forged := pem.EncodeToMemory(block)
	block.Headers = map[string]string{"Proc-Type": "4,ENCRYPTED"}
	for _, c := range []struct {
		name, want string
		text       []byte
	}{
		{"empty", "0 PEM blocks", nil},
		{"too long", "allowed: up to", bytes.Repeat([]byte{'x'}, 300<<10)},
		{"many blocks", "25 PEM blocks", bytes.Repeat(intermediate, 25)},
		{"wrong order", "block \"CHECKPOINT KEY REQUEST\" stands where CERTIFICATE REQUEST must", append(bytes.Clone(good), intermediate...)},
		{"twice", "stands where nothing may", append(bytes.Clone(intermediate), intermediate...)},
		{"third block", "stands where nothing may", append(append(bytes.Clone(intermediate), good...), good...)},
		{"headers", "headers", pem.EncodeToMemory(block)},
		{"forged", "not signed by its own key", forged},
		{"not DER", "asn1", pem.EncodeToMemory(&pem.Block{Type: first, Bytes: []byte("hello")})},
		{"P-521", "allowed: ECDSA P-256 and P-384", csr(t, first, newKey(t, elliptic.P521()), &x509.CertificateRequest{Subject: subject})},
		{"extensions", "ask for no extensions", csr(t, first, ca, &x509.CertificateRequest{Subject: subject, DNSNames: []string{"x"}})},
		{"no name", "common name", csr(t, first, ca, &x509.CertificateRequest{})},
		{"a name of two lines", "control character", csr(t, first, ca, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "ulm/st-07 CA 1\nTPM proven"}})},
		{"an organization of two lines", "control character", csr(t, first, ca, &x509.CertificateRequest{
			Subject: pkix.Name{CommonName: "ulm/st-07 CA 1", Organization: []string{"x\n-----BEGIN CERTIFICATE-----"}},
		})},
		{"a name that turns the line round", "control character", csr(t, first, ca, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "ulm/st-07 CA \u202e1"}})},
		{"a long name", "65 bytes", csr(t, first, ca, &x509.CertificateRequest{Subject: pkix.Name{CommonName: strings.Repeat("x", 65)}})},
		{"many names", "9 parts", csr(t, first, ca, &x509.CertificateRequest{
			Subject: pkix.Name{CommonName: "x", OrganizationalUnit: strings.Split("abcdefgh", "")},
		})},
		{"a ledger's name of two lines", "control character", append(bytes.Clone(intermediate), csr(t, second, checkpoint, &x509.CertificateRequest{
			Subject: pkix.Name{CommonName: "ulm/st-07/1", Organization: []string{"a\rb"}}, URIs: uri("ledger:ulm/st-07/1"),
		})...)},
		{"no ledger", "one URI", append(bytes.Clone(intermediate), csr(t, second, checkpoint, &x509.CertificateRequest{})...)},
		{"other scheme", "origin", append(bytes.Clone(intermediate), ledger("ulm/st-07/1", "https://ulm/st-07/1")...)},
		{"no epoch", "origin", append(bytes.Clone(intermediate), ledger("ulm/st-07", "ledger:ulm/st-07")...)},
		{"other station", "not one station", append(bytes.Clone(intermediate), ledger("ulm/st-08/1", "ledger:ulm/st-08/1")...)},
		{"other name", "not one station", append(bytes.Clone(intermediate), ledger("ulm/st-07/2", "ledger:ulm/st-07/1")...)},
		{"one key for both", "are the same", append(bytes.Clone(intermediate), csr(t, second, ca,
			&x509.CertificateRequest{Subject: pkix.Name{CommonName: "ulm/st-07/1"}, URIs: uri("ledger:ulm/st-07/1")})...)},
	} {
		if _, err := ceremony.ParseRequest(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error about %q", c.name, err, c.want)
		}
	}
}
