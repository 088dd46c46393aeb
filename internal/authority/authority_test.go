// SPDX-License-Identifier: Apache-2.0

package authority_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/tpm"
)

// wholeCeremony goes from two keys to a device's certificate, which openssl
// verifies through three levels.
func wholeCeremony(t *testing.T, s *station) {
	t.Helper()
	asked := s.request(t)
	if !asked.Simulated() || !strings.HasSuffix(asked.Subject().CommonName, " (SIMULATED TPM)") ||
		asked.Subject().Organization[0] != "DEMO" {
		t.Errorf("request is for %q", asked.Subject())
	}
	carried, err := ceremony.ParseRequest(readFile(t, authority.RequestPath(s.dir)))
	if err != nil {
		t.Fatal(err)
	}
	root, _ := newRoot(t)
	answer, err := root.Sign(carried, authority.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	installed := s.install(t, answer.PEM)
	loaded, err := authority.Load(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []*authority.Installed{installed, loaded} {
		if len(i.Chain) != 2 || !i.Intermediate().Equal(answer.Intermediate) || !i.Root().Equal(root.Certificate()) ||
			i.Checkpoint == nil || i.Origin != "ulm/st-07/1" || i.TPM() != authority.NotProven || !i.Simulated() {
			t.Errorf("installed %+v", i)
		}
	}
	if public := s.checkpoint.Public().(interface{ Equal(crypto.PublicKey) bool }); !public.Equal(installed.Checkpoint.PublicKey) {
		t.Error("the checkpoint certificate is for another key")
	}
	verifyWithOpenSSL(t, s, loaded)
}

func verifyWithOpenSSL(t *testing.T, s *station, installed *authority.Installed) {
	t.Helper()
	dir := t.TempDir()
	i, cert := s.issue(t, installed)
	var chain []*x509.Certificate
	for _, der := range i.Chain(cert.DER)[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, c)
	}
	writeFile(t, filepath.Join(dir, "root.pem"), pemOf(installed.Root()))
	writeFile(t, filepath.Join(dir, "chain.pem"), pemOf(chain...))
	writeFile(t, filepath.Join(dir, "device.pem"), pemOf(cert.Parsed))
	verify := []string{"verify", "-purpose", "sslclient", "-CAfile", "root.pem", "-untrusted", "chain.pem"}
	if installed.Root().KeyUsage != 0 { // a root made by openssl's own default is not strict
		verify = append(verify, "-x509_strict")
	}
	openssl(t, dir, append(verify, "device.pem")...)
	if installed.Checkpoint != nil {
		writeFile(t, filepath.Join(dir, "checkpoint.pem"), pemOf(installed.Checkpoint))
		openssl(t, dir, "verify", "-x509_strict", "-CAfile", "root.pem", "checkpoint.pem")
	}
}

func TestCeremony(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
		t.Run(curve.Params().Name, func(t *testing.T) {
			wholeCeremony(t, newStation(t, newKey(t, curve), newKey(t, elliptic.P256())))
		})
	}
}

// TestCeremonyTPM is the same with keys that never leave a TPM.
func TestCeremonyTPM(t *testing.T) {
	chip, err := tpm.Open(t.Context(), tpm.Config{Spec: "sim"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := chip.Close(); err != nil {
			t.Error(err)
		}
	}()
	key := func(p tpm.Purpose, pin string) crypto.Signer {
		ref, _, err := chip.CreateKey(t.Context(), p, elliptic.P256(), []byte(pin))
		if err != nil {
			t.Fatal(err)
		}
		k, err := chip.Key(t.Context(), ref, func() ([]byte, error) { return []byte(pin), nil })
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	s := newStation(t, key(tpm.CA, "123456"), key(tpm.Checkpoint, "random"))
	if s.config.Simulated = chip.Info().Simulated; !s.config.Simulated {
		t.Fatal("the simulator does not call itself simulated")
	}
	wholeCeremony(t, s)
}

// TestIntermediate looks at what the root makes with openssl's eyes.
func TestIntermediate(t *testing.T) {
	s := softStation(t)
	a := answered(t, s)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "i.pem"), pemOf(a.Intermediate))
	writeFile(t, filepath.Join(dir, "c.pem"), pemOf(a.Checkpoint))
	text := openssl(t, dir, "x509", "-in", "i.pem", "-noout", "-text")
	for _, want := range []string{
		"X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0\n",
		"X509v3 Key Usage: critical\n                Digital Signature, Certificate Sign, CRL Sign\n",
		"X509v3 Subject Key Identifier:", "X509v3 Authority Key Identifier:",
		"O = DEMO, CN = ulm/st-07 CA ", "(SIMULATED TPM)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("openssl does not show %q in the intermediate:\n%s", want, text)
		}
	}
	text = openssl(t, dir, "x509", "-in", "c.pem", "-noout", "-text")
	for _, want := range []string{"URI:ledger:ulm/st-07/1\n", "X509v3 Key Usage: critical\n                Digital Signature\n", "CN = ulm/st-07/1 (SIMULATED TPM)"} {
		if !strings.Contains(text, want) {
			t.Errorf("openssl does not show %q in the checkpoint certificate:\n%s", want, text)
		}
	}
	if origin, err := issuer.LedgerOrigin(a.Checkpoint); origin != "ulm/st-07/1" || err != nil {
		t.Errorf("origin %q, %v", origin, err)
	}
	if _, err := issuer.LedgerOrigin(a.Intermediate); err == nil {
		t.Error("an intermediate passes for a checkpoint certificate")
	}
	if left := time.Until(a.Intermediate.NotAfter).Hours() / 24; left < 729.9 || left > 730 {
		t.Errorf("intermediate lives %v days, want window and longest profile: 730", left)
	}
}

// TestOpenSSLRoot uses a root that nothing of ours ever touched, with the very
// commands the request shows.
func TestOpenSSLRoot(t *testing.T) {
	for _, key := range [][]string{
		{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"},
		{"-newkey", "rsa:2048"},
	} {
		t.Run(key[1], func(t *testing.T) {
			s := softStation(t)
			s.request(t)
			openssl(t, s.dir, append([]string{
				"req", "-x509", "-nodes", "-days", "3650", "-sha256", "-keyout", "root.key",
				"-out", "root.pem", "-subj", "/O=Its Your Turn/CN=IoT Root CA",
			}, key...)...)
			command := commandIn(t, readFile(t, authority.RequestPath(s.dir)))
			openssl(t, s.dir, command[1:]...)
			certs := append(readFile(t, filepath.Join(s.dir, "intermediate.pem")), readFile(t, filepath.Join(s.dir, "root.pem"))...)
			installed := s.install(t, certs)
			if installed.TPM() != "TPM not proven" || installed.Checkpoint != nil || len(installed.Chain) != 2 {
				t.Errorf("installed %+v", installed)
			}
			verifyWithOpenSSL(t, s, installed)
		})
	}
}

// commandIn takes the openssl command out of a request's head.
func commandIn(t *testing.T, request []byte) []string {
	t.Helper()
	for line := range strings.Lines(string(request)) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] == "openssl" {
			return fields
		}
	}
	t.Fatal("the request shows no openssl command")
	return nil
}

// TestRequestForOpenSSL shows both blocks to openssl as what they are.
func TestRequestForOpenSSL(t *testing.T) {
	s := softStation(t)
	s.request(t)
	if out := openssl(t, s.dir, "req", "-verify", "-in", "request.pem", "-noout", "-subject"); !strings.Contains(out, "CN = ulm/st-07 CA") {
		t.Errorf("openssl reads %s", out)
	}
	_, rest := pem.Decode(readFile(t, authority.RequestPath(s.dir)))
	second, _ := pem.Decode(rest)
	writeFile(t, filepath.Join(s.dir, "second.der"), second.Bytes)
	if out := openssl(t, s.dir, "req", "-verify", "-inform", "DER", "-in", "second.der", "-noout", "-text"); !strings.Contains(out, "URI:ledger:ulm/st-07/1") {
		t.Errorf("openssl reads %s", out)
	}
}
