// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/issuer"
)

var update = flag.Bool("update", false, "write the golden certificates anew")

// fixedKey is the same key at every run.
func fixedKey(t *testing.T, name string) *ecdsa.PrivateKey {
	t.Helper()
	d := sha256.Sum256([]byte("golden " + name))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d[:])
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// fixedWorld is a world in which nothing is random but signatures: time,
// serial numbers and keys are given.
func fixedWorld(t *testing.T, expires bool) *world {
	t.Helper()
	w := &world{now: time.Date(2026, 11, 22, 7, 31, 0, 0, time.UTC), rootKey: fixedKey(t, "root"), key: fixedKey(t, "intermediate")}
	end := w.now.AddDate(12, 0, 0)
	if !expires {
		end = issuer.NoExpiry()
	}
	w.root = selfSigned(t, w, &x509.Certificate{
		Subject:      pkix.Name{Organization: []string{"Example Pumps"}, CommonName: "Golden Root"},
		SerialNumber: big.NewInt(1), NotBefore: w.now.AddDate(-1, 0, 0), NotAfter: end,
	})
	w.intermediate = w.certify(t, &x509.Certificate{
		Subject:      pkix.Name{Organization: []string{"Example Pumps"}, CommonName: "Golden Station"},
		SerialNumber: big.NewInt(2), NotBefore: w.now.AddDate(0, -1, 0), NotAfter: end,
		SubjectKeyId: issuer.KeyIdentifier(spkiOf(t, w.key.Public())),
		KeyUsage:     x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}, w.key.Public())
	c := w.config()
	c.Rand = bytes.NewReader(bytes.Repeat([]byte{0x5a}, 16))
	var err error
	if w.issuer, err = issuer.New(c); err != nil {
		t.Fatal(err)
	}
	return w
}

// goldenProfiles are the built-in ones, and one with all a profile can have.
func goldenProfiles(t *testing.T) []*issuer.Profile {
	t.Helper()
	var all []*issuer.Profile
	for _, name := range issuer.BuiltinNames() {
		p, err := issuer.BuiltinProfile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	text, err := os.ReadFile("testdata/profile-full.toml")
	if err != nil {
		t.Fatal(err)
	}
	full, err := issuer.ParseProfile("full.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	return append(all, full)
}

var goldenUnit = issuer.Unit{
	Serial: "SN-000123", UID: "8a3c00112233445566778899", Model: "gw-2", Vars: map[string]string{"site": "Süd", "batch": "7"},
}

// TestGolden makes a certificate of every profile and compares it three ways:
// the bytes to be signed with those on file, our reading with openssl's, and
// openssl's judgement of the chain.
func TestGolden(t *testing.T) {
	for _, p := range goldenProfiles(t) {
		t.Run(p.Name(), func(t *testing.T) {
			w := fixedWorld(t, p.Expires())
			d := &device{key: fixedKey(t, "device")}
			d.spki = spkiOf(t, d.key.Public())
			d.want = issuer.Expect{Alg: "ES256", SPKI: sha256.Sum256(d.spki)}
			var err error
			if d.want.CN, err = p.SubjectCN(goldenUnit); err != nil {
				t.Fatal(err)
			}
			if d.want.SN, err = p.SubjectSN(goldenUnit); err != nil {
				t.Fatal(err)
			}
			draft, err := w.issuer.Prepare(p, d.parsed(t), goldenUnit)
			if err != nil {
				t.Fatal(err)
			}
			cert, err := w.issuer.Sign(t.Context(), draft.TBS(), draft.SPKI())
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Lint(cert.Parsed); err != nil {
				t.Error(err)
			}
			goldenBytes(t, p.Name(), draft.TBS())
			goldenOpenSSL(t, w, cert)
		})
	}
}

func goldenBytes(t *testing.T, name string, tbs []byte) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name+".tbs.hex")
	if *update {
		writeFile(t, path, fmt.Appendf(nil, "%x\n", tbs))
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(tbs); got != strings.TrimSpace(string(want)) {
		t.Errorf("the bytes to be signed are not those in %s:\n%s\n%s", path, got, want)
	}
}

// goldenOpenSSL lays our reading of every field beside openssl's.
func goldenOpenSSL(t *testing.T, w *world, cert *issuer.Certificate) {
	t.Helper()
	dir := t.TempDir()
	writeCert(t, filepath.Join(dir, "root.pem"), w.root.Raw)
	writeCert(t, filepath.Join(dir, "intermediate.pem"), w.intermediate.Raw)
	writeCert(t, filepath.Join(dir, "device.pem"), cert.DER)
	openssl(t, dir, "verify", "-x509_strict", "-purpose", "sslclient", "-attime", fmt.Sprint(w.now.Unix()),
		"-CAfile", "root.pem", "-untrusted", "intermediate.pem", "device.pem")
	theirs := opensslFields(t, dir)
	ours := issuer.Fields(cert.Parsed)
	for _, f := range ours {
		key := f.Name
		if f.Critical {
			key += ": critical"
		}
		got, found := theirs[key]
		switch {
		case !found:
			t.Errorf("openssl shows no %q, ours is %q\n%v", key, f.Value, theirs)
		case f.Name == "X509v3 Subject Alternative Name" && strings.Contains(f.Value, "otherName"):
			if want := opensslAlternative(t, dir); f.Value != want {
				t.Errorf("%s: openssl reads %q, we %q", f.Name, want, f.Value)
			}
		case strings.HasPrefix(f.Name, "1."):
			if want := opensslExtension(t, dir, f.Name); f.Value != want {
				t.Errorf("%s: openssl reads %q, we %q", f.Name, want, f.Value)
			}
		case got != f.Value:
			t.Errorf("%s: openssl reads %q, we %q", f.Name, got, f.Value)
		}
	}
	if len(ours) != len(theirs) {
		t.Errorf("openssl shows %d fields, we %d: %v", len(theirs), len(ours), theirs)
	}
}

// opensslFields parses what openssl shows of a certificate.
func opensslFields(t *testing.T, dir string) map[string]string {
	t.Helper()
	shown := openssl(t, dir, "x509", "-in", "device.pem", "-noout", "-text", "-certopt", "no_sigdump", "-nameopt", "utf8,sep_comma_plus_space,sname")
	fields := map[string]string{}
	line := func(name, pattern string) string {
		m := regexp.MustCompile(`(?m)^ +` + pattern + `\s*(.*?) *$`).FindStringSubmatch(shown)
		if m == nil {
			t.Errorf("openssl shows no %s in\n%s", name, shown)
			return ""
		}
		return m[1]
	}
	for name, pattern := range map[string]string{
		"Version": "Version:", "Serial Number": "Serial Number:\n", "Signature Algorithm": "Signature Algorithm:",
		"Issuer": "Issuer:", "Not Before": "Not Before:", "Not After": "Not After :", "Subject": "Subject:",
	} {
		fields[name] = line(name, pattern)
	}
	fields["Public Key"] = fmt.Sprintf("%s %s %s", line("key", "Public Key Algorithm:"), strings.TrimSuffix(line("bits", "Public-Key: "), ":"), line("curve", "NIST CURVE:"))
	extensions := regexp.MustCompile(`(?m)^ {12}(\S.*?): ?(critical)? *\n {16}(.*?) *$`)
	_, behind, _ := strings.Cut(shown, "X509v3 extensions:\n")
	for _, m := range extensions.FindAllStringSubmatch(behind, -1) {
		name := m[1]
		if m[2] != "" {
			name += ": critical"
		}
		fields[name] = m[3]
	}
	return fields
}

// opensslExtension is an extension's value as openssl's asn1parse finds it, in hex.
func opensslExtension(t *testing.T, dir, oid string) string {
	t.Helper()
	shown := openssl(t, dir, "asn1parse", "-in", "device.pem")
	m := regexp.MustCompile(`OBJECT +:` + regexp.QuoteMeta(oid) + `\n.*OCTET STRING +\[HEX DUMP\]:([0-9A-F]+)`).FindStringSubmatch(shown)
	if m == nil {
		t.Fatalf("asn1parse shows no extension %s in\n%s", oid, shown)
	}
	return strings.ToLower(m[1])
}

// opensslAlternative reads a subjectAltName with a hardwareModuleName through
// openssl's asn1parse.
func opensslAlternative(t *testing.T, dir string) string {
	t.Helper()
	shown := openssl(t, dir, "asn1parse", "-in", "device.pem")
	m := regexp.MustCompile(`X509v3 Subject Alternative Name\n *(\d+):.*OCTET STRING`).FindStringSubmatch(shown)
	if m == nil {
		t.Fatalf("asn1parse shows no subjectAltName in\n%s", shown)
	}
	inside := openssl(t, dir, "asn1parse", "-in", "device.pem", "-strparse", m[1])
	var words []string
	for _, part := range regexp.MustCompile(`OBJECT +:(\S+)\n.*cont \[ 0 \] *\n.*SEQUENCE *\n.*OBJECT +:(\S+)\n.*OCTET STRING +:(\S+)|cont \[ ([26]) \]`).FindAllStringSubmatch(inside, -1) {
		if part[1] != "" {
			if part[1] != "1.3.6.1.5.5.7.8.4" && part[1] != "id-on-hardwareModuleName" {
				t.Errorf("the otherName is a %s", part[1])
			}
			words = append(words, fmt.Sprintf("otherName:hardwareModuleName hwType %s hwSerialNum %q", part[2], part[3]))
		}
	}
	// openssl shows names with implicit tags through its own printer.
	text := openssl(t, dir, "x509", "-in", "device.pem", "-noout", "-ext", "subjectAltName")
	words = append(words, regexp.MustCompile(`(DNS|URI):[^,\s]+`).FindAllString(text, -1)...)
	return strings.Join(words, ", ")
}

// TestHardwareModuleName reads the name back with encoding/asn1.
func TestHardwareModuleName(t *testing.T) {
	p := config(t, func(c *issuer.ProfileConfig) {
		c.SAN.HardwareType, c.SAN.HardwareSerial, c.SAN.DNS = "1.3.6.1.4.1.32473.5", "{uid}", []string{"a.example"}
	})
	cert, err := p.Specimen(issuer.SpecimenConfig{Unit: goldenUnit})
	if err != nil {
		t.Fatal(err)
	}
	type hardware struct {
		Type   asn1.ObjectIdentifier
		Serial []byte
	}
	var names []asn1.RawValue
	for _, e := range cert.Parsed.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			if _, err := asn1.Unmarshal(e.Value, &names); err != nil || e.Critical {
				t.Fatalf("subjectAltName %x, critical %v: %v", e.Value, e.Critical, err)
			}
		}
	}
	if len(names) != 2 || string(names[1].Bytes) != "a.example" || len(cert.Parsed.DNSNames) != 1 {
		t.Fatalf("alternative names %v", names)
	}
	var other struct {
		ID    asn1.ObjectIdentifier
		Value hardware `asn1:"explicit,tag:0"`
	}
	if rest, err := asn1.UnmarshalWithParams(names[0].FullBytes, &other, "tag:0"); err != nil || len(rest) > 0 ||
		other.ID.String() != "1.3.6.1.5.5.7.8.4" || other.Value.Type.String() != "1.3.6.1.4.1.32473.5" || string(other.Value.Serial) != goldenUnit.UID {
		t.Errorf("hardwareModuleName %+v, %v", other, err)
	}
}

// TestSpecimen makes one of every profile and every algorithm it takes.
func TestSpecimen(t *testing.T) {
	for _, p := range goldenProfiles(t) {
		for _, alg := range p.Algorithms() {
			cert, err := p.Specimen(issuer.SpecimenConfig{Unit: goldenUnit, Alg: alg})
			if err != nil {
				t.Errorf("%s with %s: %v", p.Name(), alg, err)
				continue
			}
			if len(p.Words(cert.Parsed)) < 5 || len(issuer.Fields(cert.Parsed)) < 11 {
				t.Errorf("%s with %s: too little is said", p.Name(), alg)
			}
		}
	}
}

// TestSpecimenUnderChain makes specimens under a station's own chain, and shows
// what that chain refuses.
func TestSpecimenUnderChain(t *testing.T) {
	w := newWorld(t, elliptic.P384())
	c := issuer.SpecimenConfig{Chain: []*x509.Certificate{w.intermediate, w.root}, Unit: goldenUnit, Now: w.now}
	cert, err := mtls(t).Specimen(c)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(cert.Parsed.RawIssuer, w.intermediate.RawSubject) || !bytes.Equal(cert.Parsed.AuthorityKeyId, w.intermediate.SubjectKeyId) ||
		cert.Parsed.SignatureAlgorithm != x509.ECDSAWithSHA384 {
		t.Errorf("the specimen is of %s, %s", cert.Parsed.Issuer, cert.Parsed.SignatureAlgorithm)
	}
	if cert.Parsed.CheckSignatureFrom(w.intermediate) == nil {
		t.Error("a specimen verifies under the real key")
	}
	idevid, err := issuer.BuiltinProfile("idevid")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := idevid.Specimen(c); err == nil || !strings.Contains(err.Error(), "without expiry") {
		t.Errorf("idevid under issuers that end: %v", err)
	}
	if err := w.issuer.Suits(idevid); err == nil || !strings.Contains(err.Error(), "Test Intermediate") {
		t.Errorf("suits: %v", err)
	}
	if err := fixedWorld(t, false).issuer.Suits(idevid); err != nil {
		t.Errorf("without expiry: %v", err)
	}
	c.Now = w.intermediate.NotAfter
	if _, err := mtls(t).Specimen(c); err == nil || !strings.Contains(err.Error(), "renew the intermediate") {
		t.Errorf("after the issuing window: %v", err)
	}
	if _, err := mtls(t).Specimen(issuer.SpecimenConfig{Alg: "RS1", Unit: goldenUnit}); err == nil || !strings.Contains(err.Error(), "allowed: ES256") {
		t.Errorf("algorithm: %v", err)
	}
}
