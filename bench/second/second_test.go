// SPDX-License-Identifier: Apache-2.0

// Package second_test is a second opinion on what a station makes: smallstep's
// certificate and JOSE tools (go.step.sm/crypto) read a demo's chains, requests,
// key file and exports. It stands in the module of the benchmarks because their
// dependencies are not to be the program's.
package second_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.step.sm/crypto/jose"
	"go.step.sm/crypto/pemutil"
	"go.step.sm/crypto/tpm/tss2"
	"go.step.sm/crypto/x509util"
)

// demo is a station's home in which units have passed.
type demo struct {
	t   *testing.T
	dir string
}

func newDemo(t *testing.T) *demo {
	t.Helper()
	d := &demo{t, filepath.Join(t.TempDir(), "demo")}
	d.station("demo", "--headless", "--boards", "3", "--dir", d.dir)
	return d
}

func (d *demo) path(parts ...string) string {
	return filepath.Join(append([]string{d.dir}, parts...)...)
}

// station runs the program that was built.
func (d *demo) station(args ...string) {
	d.t.Helper()
	program, err := filepath.Abs("../../bin/stationctl")
	if err != nil {
		d.t.Fatal(err)
	}
	out, err := exec.CommandContext(d.t.Context(), program, args...).CombinedOutput()
	if err != nil {
		d.t.Fatalf("stationctl %s (built by: make stationctl): %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (d *demo) export(format, out string) {
	d.t.Helper()
	d.station("ledger", "export", "--home", d.path("home"), "--pin-file", d.path("ca.pin"), "--format", format, "--out", d.path(out))
}

func (d *demo) read(parts ...string) []byte {
	d.t.Helper()
	b, err := os.ReadFile(d.path(parts...))
	if err != nil {
		d.t.Fatal(err)
	}
	return b
}

func (d *demo) roots() *x509.CertPool {
	d.t.Helper()
	pool, err := x509util.ReadCertPool(d.path("root", "root.pem"))
	if err != nil {
		d.t.Fatal(err)
	}
	return pool
}

// TestChains: step reads each chain, finds the certificate on the allow-list by
// its own fingerprint, and would make it just so.
func TestChains(t *testing.T) {
	d := newDemo(t)
	d.export("aws", "aws")
	var listed []string
	for line := range bytes.Lines(d.read("aws", "allow-list.jsonl")) {
		var l struct{ CertificateID, Status string }
		if err := json.Unmarshal(line, &l); err != nil || l.Status != "live" {
			t.Errorf("%v in %s", err, line)
		}
		listed = append(listed, l.CertificateID)
	}
	files, err := filepath.Glob(d.path("certificates", "*.pem"))
	if err != nil || len(files) != 3 || len(listed) != 3 {
		t.Fatalf("%d chains, %d certificates on the allow-list, %v", len(files), len(listed), err)
	}
	for _, file := range files {
		chain, err := pemutil.ReadCertificateBundle(file)
		if err != nil || len(chain) != 2 {
			t.Fatalf("%s: %d certificates, %v", file, len(chain), err)
		}
		leaf, between := chain[0], x509.NewCertPool()
		between.AddCert(chain[1])
		if !slices.Contains(listed, x509util.Fingerprint(leaf)) {
			t.Errorf("fingerprint %s is not on the allow-list", x509util.Fingerprint(leaf))
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: d.roots(), Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Error(err)
		}
		remade(t, leaf, chain[1])
	}
	ca, err := pemutil.ReadCertificate(d.path("aws", "ca.pem"))
	if err != nil || !ca.IsCA || !ca.MaxPathLenZero {
		t.Errorf("CA to register: %+v, %v", ca, err)
	}
}

// likeOurs is step's template for what our profile mtls says.
const likeOurs = `{
  "subject": {{ toJson .Subject }},
  "keyUsage": ["digitalSignature"],
  "extKeyUsage": ["clientAuth"],
  "subjectKeyId": {{ toJson .Insecure.User.id }}
}`

// remade lets step make a certificate for the same subject, key and issuer: its
// name and every extension must be the same bytes as ours.
func remade(t *testing.T, ours, ca *x509.Certificate) {
	t.Helper()
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	data := x509util.TemplateData{}
	data.SetSubject(x509util.Subject{CommonName: ours.Subject.CommonName, Organization: ours.Subject.Organization})
	data.SetUserData(map[string]any{"id": ours.SubjectKeyId})
	model, err := x509util.NewCertificateFromX509(ours, x509util.WithTemplate(likeOurs, data))
	if err != nil {
		t.Fatal(err)
	}
	parent := &x509.Certificate{RawSubject: ca.RawSubject, SubjectKeyId: ca.SubjectKeyId, PublicKey: key.Public()}
	template := model.GetCertificate()
	template.SerialNumber, template.NotBefore, template.NotAfter = ours.SerialNumber, ours.NotBefore, ours.NotAfter
	theirs, err := x509util.CreateCertificate(template, parent, ours.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if len(ours.Extensions) != len(theirs.Extensions) || !bytes.Equal(ours.RawSubject, theirs.RawSubject) || !bytes.Equal(ours.RawIssuer, theirs.RawIssuer) {
		t.Errorf("ours: %d extensions, %s; theirs: %d, %s", len(ours.Extensions), ours.Subject, len(theirs.Extensions), theirs.Subject)
	}
	for _, e := range ours.Extensions {
		at := slices.IndexFunc(theirs.Extensions, func(x pkix.Extension) bool { return x.Id.Equal(e.Id) })
		if at < 0 || theirs.Extensions[at].Critical != e.Critical || !bytes.Equal(theirs.Extensions[at].Value, e.Value) {
			t.Errorf("extension %s: ours %x, theirs %+v", e.Id, e.Value, theirs.Extensions)
		}
	}
}

// TestRequestAndProof: the intermediate's request, a cloud's proof of ownership
// and the request somebody brings for one.
func TestRequestAndProof(t *testing.T) {
	d := newDemo(t)
	block, _ := pem.Decode(d.read("home", "ca", "request.pem"))
	if block == nil {
		t.Fatal("no request")
	}
	csr, err := pemutil.ParseCertificateRequest(pem.EncodeToMemory(block))
	if err != nil || csr.CheckSignature() != nil {
		t.Fatalf("request: %v", err)
	}
	issuing, err := pemutil.ReadCertificateBundle(d.path("home", "ca", "certificates.pem"))
	if err != nil || !csr.PublicKey.(*ecdsa.PublicKey).Equal(issuing[0].PublicKey) {
		t.Errorf("the request is for another key than the intermediate's: %v", err)
	}
	signer, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	const code = "3c1f7a0b5d2e4f60718293a4b5c6d7e8"
	ours, err := x509util.CreateCertificateRequest(code, nil, signer)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: ours.Raw})
	if err := os.WriteFile(d.path("proof.csr"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	d.station("ca", "verification", "--home", d.path("home"), "--code", code, "--csr", d.path("proof.csr"), "--out", d.path("proof.pem"),
		"--approver", "qa", "--pin-file", d.path("ca.pin"))
	proof, err := pemutil.ReadCertificate(d.path("proof.pem"))
	if err != nil || proof.Subject.CommonName != code || !proof.PublicKey.(*ecdsa.PublicKey).Equal(signer.Public()) {
		t.Errorf("proof for %+v, %v", proof, err)
	}
}

// newKey makes a key with step's tools.
func newKey() (*ecdsa.PrivateKey, error) {
	key, err := jose.GenerateJWK("EC", "P-256", "ES256", "sig", "", 0)
	if err != nil {
		return nil, err
	}
	return key.Key.(*ecdsa.PrivateKey), nil
}

// TestManifest: step's JOSE verifies each unit, under the root alone.
func TestManifest(t *testing.T) {
	d := newDemo(t)
	d.export("manifest", "manifest.json")
	var units []json.RawMessage
	if err := json.Unmarshal(d.read("manifest.json"), &units); err != nil || len(units) != 3 {
		t.Fatalf("%d units, %v", len(units), err)
	}
	for _, u := range units {
		jws, err := jose.ParseJWS(string(u))
		if err != nil {
			t.Fatal(err)
		}
		chains, err := jws.Signatures[0].Protected.Certificates(x509.VerifyOptions{Roots: d.roots(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if err != nil {
			t.Fatal(err)
		}
		signer := chains[0][0]
		inside, err := jws.Verify(signer.PublicKey)
		if err != nil || !bytes.Contains(inside, []byte(`"simulatedTpm":true`)) {
			t.Errorf("%v: %s", err, inside)
		}
		sans, err := x509util.ParseSubjectAlternativeNames(signer)
		if err != nil || len(sans.URIs) != 1 || sans.URIs[0].Scheme != "manifest" {
			t.Errorf("signer %+v, %v", sans, err)
		}
	}
}

// TestKeyFile: step reads the CA key's TSS2 file, its PIN included.
func TestKeyFile(t *testing.T) {
	d := newDemo(t)
	d.station("ca", "export-blob", "--home", d.path("home"), "--out", d.path("ca.tss2"), "--reason", "trial", "--approver", "qa", "--pin-file", d.path("ca.pin"))
	block, _ := pem.Decode(d.read("ca.tss2"))
	if block == nil {
		t.Fatal("no key file")
	}
	key, err := tss2.ParsePrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.Public()
	if err != nil {
		t.Fatal(err)
	}
	chain, err := pemutil.ReadCertificateBundle(d.path("home", "ca", "certificates.pem"))
	if err != nil || !chain[0].PublicKey.(*ecdsa.PublicKey).Equal(public) {
		t.Errorf("the file's key is not the intermediate's: %v", err)
	}
	if key.EmptyAuth {
		t.Error("the file says that the key has no PIN")
	}
}
