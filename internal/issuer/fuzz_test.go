// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// seeds returns the files of a folder of testdata; a corpus that is not there
// fails the test.
func seeds(f *testing.F, pattern string) map[string][]byte {
	f.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no seeds in testdata/%s: %v", pattern, err)
	}
	found := map[string][]byte{}
	for _, path := range paths {
		if found[path], err = os.ReadFile(path); err != nil {
			f.Fatal(err)
		}
	}
	return found
}

// FuzzParseRequest: every input is either refused for a stated reason, or holds
// exactly the bytes that were expected under a signature of the expected key.
func FuzzParseRequest(f *testing.F) {
	for path, der := range seeds(f, "requests/*.der") {
		alg, _, _ := strings.Cut(filepath.Base(path), ".")
		f.Add(der, alg)
	}
	f.Fuzz(func(t *testing.T, der []byte, alg string) {
		want := Expect{CN: "sensor-001", SN: "42", Alg: alg, Nonce: [32]byte{1, 2, 3}}
		// What the board named at keygen is taken from the input, to get past it.
		if parts, err := splitRequest(der); err == nil {
			want.SPKI = sha256.Sum256(parts.spki)
		}
		r, err := ParseRequest(der, want)
		if err != nil {
			if refused, ok := errors.AsType[*Refusal](err); !ok || refused.Reason == "" || refused.Detail == "" {
				t.Errorf("refused without reason: %v", err)
			}
			return
		}
		csr, err := x509.ParseCertificateRequest(der)
		if err != nil || csr.CheckSignature() != nil || csr.Subject.CommonName != want.CN {
			t.Fatalf("accepted, but crypto/x509 does not: %v", err)
		}
		tbs, err := requestTBS(r.rawSPKI, want)
		if err != nil || !bytes.Equal(tbs, csr.RawTBSCertificateRequest) || !bytes.Equal(r.DER(), der) {
			t.Error("accepted in another form than the one allowed")
		}
	})
}

// TestFuzzSeeds shows that the seeds reach the end of ParseRequest.
func TestFuzzSeeds(t *testing.T) {
	for _, a := range algorithms {
		der, err := os.ReadFile("testdata/requests/" + a.name + ".der")
		if err != nil {
			t.Fatal(err)
		}
		parts, err := splitRequest(der)
		if err != nil {
			t.Fatal(err)
		}
		want := Expect{CN: "sensor-001", SN: "42", Alg: a.name, Nonce: [32]byte{1, 2, 3}, SPKI: sha256.Sum256(parts.spki)}
		if _, err := ParseRequest(der, want); err != nil {
			t.Errorf("%s: %v", a.name, err)
		}
	}
}

// FuzzParseProfile: every file is either refused with its line and what is
// allowed, or gives a profile that comes out the same from its own settings.
func FuzzParseProfile(f *testing.F) {
	for _, text := range seeds(f, "profile*.toml") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseProfile("x.toml", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "x.toml:") || !strings.Contains(err.Error(), "allowed: ") {
				t.Errorf("refused without line or what is allowed: %v", err)
			}
			return
		}
		var c ProfileConfig
		if err := json.Unmarshal(p.Canonical(), &c); err != nil {
			t.Fatal(err)
		}
		again, err := toml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		q, err := ParseProfile("x.toml", again)
		if err != nil || q.Digest() != p.Digest() {
			t.Errorf("from its own settings it is another profile: %v\n%s", err, again)
		}
		u := Unit{Serial: "1", UID: "2", Model: "3", Vars: map[string]string{}}
		for _, v := range p.Variables() {
			u.Vars[v] = "v"
		}
		cert := &x509.Certificate{}
		if err := p.fill(cert, u); err == nil && cert.Subject.CommonName == "" {
			t.Error("a certificate without a common name")
		}
	})
}

// FuzzTBS: what Sign would put a signature under is a device's certificate and
// nothing that issues.
func FuzzTBS(f *testing.F) {
	for _, der := range seeds(f, "tbs/*.der") {
		f.Add(der)
	}
	i := &Issuer{scheme: scheme{algorithm: x509.ECDSAWithSHA256, identifier: algorithmNamed("ES256").identifier, longest: 72}}
	f.Fuzz(func(t *testing.T, tbs []byte) {
		cert, err := i.parseTBS(tbs)
		if err != nil {
			return
		}
		// The issuer whose names the bytes carry: as near as an attacker gets.
		ca := *cert
		ca.RawSubject, ca.SubjectKeyId = cert.RawIssuer, cert.AuthorityKeyId
		i := *i
		i.chain = []*x509.Certificate{&ca}
		if i.lint(cert, sha256.Sum256(cert.RawSubjectPublicKeyInfo)) != nil {
			return
		}
		if cert.IsCA || cert.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0 || cert.SerialNumber.Sign() <= 0 {
			t.Error("lint passes an issuer")
		}
		var raw asn1.RawValue
		if rest, err := asn1.Unmarshal(tbs, &raw); err != nil || len(rest) > 0 {
			t.Error("lint passes what is not one DER element")
		}
	})
}
