// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"os"
	"strings"
	"testing"

	"provisioning.example/station/internal/record"
)

// stolenKey finds the private key of a unit's certificate in the flash of its
// board, which no real one lets out: from here on the test speaks for the board.
func (p *plant) stolenKey(state, unit string) *ecdsa.PrivateKey {
	p.t.Helper()
	cert := p.certificate(unit + ".pem")
	flash, err := os.ReadFile(p.path(state))
	if err != nil {
		p.t.Fatal(err)
	}
	for n := 0; n+32 <= len(flash); n++ {
		if bytes.Count(flash[n:n+32], flash[n:n+1]) > 16 {
			continue // empty flash
		}
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), flash[n:n+32])
		if err == nil && key.PublicKey.Equal(cert.PublicKey) {
			return key
		}
	}
	p.t.Fatalf("the key of %s is not in %s", unit, state)
	return nil
}

// certificate reads the first certificate of a file.
func (p *plant) certificate(name string) *x509.Certificate {
	p.t.Helper()
	text, err := os.ReadFile(p.path(name))
	if err != nil {
		p.t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		p.t.Fatalf("%s holds no PEM", name)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		p.t.Fatal(err)
	}
	return cert
}

// request writes a device's request.
func (p *plant) request(name, cn string, key *ecdsa.PrivateKey) {
	p.t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: cn}}, key)
	if err != nil {
		p.t.Fatal(err)
	}
	if strings.HasSuffix(name, ".pem") {
		der = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	p.write(name, string(der))
}

// TestRenewFolder: a folder of requests, good and bad ones, twice.
func TestRenewFolder(t *testing.T) {
	t.Parallel()
	p := newPlant(t, posixProduct)
	p.must(p.batchArgs(p.agents(3))...)
	units := []string{"00c0ffee0001", "00c0ffee0002", "00c0ffee0003"}
	p.chains(units...)
	if err := os.Mkdir(p.path("in"), 0o700); err != nil {
		t.Fatal(err)
	}
	key := p.stolenKey("state1", units[0])
	p.request("in/1.pem", units[0], key)
	p.request("in/2.csr", units[1], p.stolenKey("state2", units[1]))
	p.request("in/3.der", units[2], p.stolenKey("state3", units[2]))
	p.request("in/name.der", "admin", key)
	p.write("in/long.csr", strings.Repeat("A", maxRequestFile+1))
	p.write("in/key.pem", "-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----\n")
	p.write("in/readme.txt", "not a request")
	p.must("ca", "revoke", "--unit", units[2], "--reason", "keyCompromise", "--approver", "qa-2")
	renew := []string{"ca", "renew", "--in", p.path("in"), "--out", p.path("out"), "--pin-file", p.path("pin")}

	code, out, errs := p.do(renew...)
	if code != exitUnits || !strings.Contains(errs, "2 renewed, 0 kept, 4 refused") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	for _, want := range []string{
		"refused  3.der: certificate", "was revoked", "refused  name.der: refused (identity)", "refused  long.csr: longer than",
		"refused  key.pem: not one PEM block",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("not told: %q in\n%s", want, out)
		}
	}
	for _, u := range units[:2] {
		if out, err := p.ssl("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "root/root.pem", "-untrusted", "out/"+u+".pem", "out/"+u+".pem"); err != nil {
			t.Errorf("openssl: %v\n%s", err, out)
		}
		old, now := p.certificate(u+".pem"), p.certificate("out/"+u+".pem")
		if !bytes.Equal(old.RawSubject, now.RawSubject) || !bytes.Equal(old.RawSubjectPublicKeyInfo, now.RawSubjectPublicKeyInfo) || old.Equal(now) {
			t.Errorf("renewed %s: %v", u, now.Subject)
		}
	}
	if exists(p.path("out/" + units[2] + ".pem")) {
		t.Error("a revoked unit got a certificate")
	}
	first := p.certificate("out/" + units[0] + ".pem")
	if err := os.RemoveAll(p.path("out")); err != nil {
		t.Fatal(err)
	}
	code, out, _ = p.do(append(renew, "--json")...)
	if code != exitUnits || !strings.Contains(out, `{"event":"summary","kept":2,"refused":4,"renewed":0}`) {
		t.Errorf("again: exit %d\n%s", code, out)
	}
	if again := p.certificate("out/" + units[0] + ".pem"); !again.Equal(first) {
		t.Error("asked twice, certified twice")
	}
	p.must("unit", units[0], "--cert", p.path("live.pem"))
	if !p.certificate("live.pem").Equal(first) {
		t.Error("the live certificate is not the renewed one")
	}
	p.content()
	if n := p.count(record.KindRenewed); n != 2 {
		t.Errorf("%d renewed entries", n)
	}
	for _, args := range [][]string{{"ca", "renew"}, {"ca", "renew", "--in", p.path("nowhere"), "--out", p.path("out"), "--pin-file", p.path("pin")}} {
		if code, _, errs := p.do(args...); code != exitUsage {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
	}
}

func TestPlainName(t *testing.T) {
	seen := map[string]string{}
	for _, serial := range []string{"SN-1", "a/b", "a_b", "a%2Fb", ".", "..", "...", "CON:", "ä", "a b", "A"} {
		name := plainName(serial)
		if name == "." || name == ".." || strings.ContainsAny(name, `/\: `) || seen[name] != "" {
			t.Errorf("%q becomes %q, as %q does", serial, name, seen[name])
		}
		seen[name] = serial
	}
	if got := plainName("a/b") + " " + plainName(".x"); got != "a%2Fb %2Ex" {
		t.Error(got)
	}
}
