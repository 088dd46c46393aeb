// SPDX-License-Identifier: Apache-2.0

package authority_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/record"
)

var passphrase = []byte("correct horse battery")

// station is a station's keys and its ca folder.
type station struct {
	dir            string
	ca, checkpoint crypto.Signer
	config         authority.RequestConfig
}

func newStation(t testing.TB, ca, checkpoint crypto.Signer) *station {
	t.Helper()
	return &station{filepath.Join(t.TempDir(), "ca"), ca, checkpoint, authority.RequestConfig{
		Origin: record.Origin{Station: "ulm/st-07", Epoch: 1}, Organization: "DEMO", Simulated: true,
		CA: ca, Checkpoint: checkpoint,
	}}
}

func softStation(t testing.TB) *station {
	t.Helper()
	return newStation(t, newKey(t, elliptic.P256()), newKey(t, elliptic.P256()))
}

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (s *station) request(t testing.TB) *ceremony.Request {
	t.Helper()
	r, err := authority.Request(s.dir, s.config)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s *station) installation(certificates []byte) authority.Installation {
	return authority.Installation{Certificates: certificates, CA: s.ca.Public(), Checkpoint: s.checkpoint.Public()}
}

func (s *station) install(t testing.TB, certificates []byte) *authority.Installed {
	t.Helper()
	i, err := authority.Install(s.dir, s.installation(certificates))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// newRoot opens a root that openssl made, with a key file of few rounds: tests
// that are not about our own key file need not wait for it.
func newRoot(t testing.TB) (*authority.Root, string) {
	t.Helper()
	dir := t.TempDir()
	openssl(t, dir, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "7300", "-nodes",
		"-keyout", "plain.key", "-out", "root.pem", "-subj", "/CN=Test Root", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
	openssl(t, dir, "pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", "plain.key", "-out", "root.key", "-passout", "pass:"+string(passphrase))
	r, err := authority.OpenRoot(dir, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, r)
	return r, dir
}

// createRoot makes a root of our own.
func createRoot(t testing.TB) (*authority.Root, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "root")
	r, err := authority.CreateRoot(dir, authority.RootConfig{Subject: pkix.Name{CommonName: "Test Root"}}, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, r)
	return r, dir
}

// closing gives a root's folder back when the test ends.
func closing(t testing.TB, r *authority.Root) {
	t.Helper()
	t.Cleanup(func() {
		if err := r.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
}

// answered is a request that a root of ours signed.
func answered(t testing.TB, s *station) *authority.Signed {
	t.Helper()
	r, _ := newRoot(t)
	a, err := r.Sign(s.request(t), authority.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// issue makes a device's certificate with what is installed.
func (s *station) issue(t testing.TB, installed *authority.Installed) (*issuer.Issuer, *issuer.Certificate) {
	t.Helper()
	i, err := issuer.New(issuer.Config{Chain: installed.Chain, Signer: s.ca})
	if err != nil {
		t.Fatal(err)
	}
	profile, err := issuer.BuiltinProfile("mtls")
	if err != nil {
		t.Fatal(err)
	}
	draft, err := i.Prepare(profile, deviceRequest(t, "sensor-001"), issuer.Unit{Serial: "sensor-001"})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := i.Sign(t.Context(), draft.TBS(), draft.SPKI())
	if err != nil {
		t.Fatal(err)
	}
	return i, cert
}

// deviceRequest is what a board sends.
func deviceRequest(t testing.TB, cn string) *issuer.Request {
	t.Helper()
	key := newKey(t, elliptic.P256())
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	want := issuer.Expect{CN: cn, Alg: "ES256", SPKI: sha256.Sum256(spki)}
	pair := func(oid asn1.ObjectIdentifier, text string) func(b *cryptobyte.Builder) {
		return func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oid)
			if len(oid) > 4 { // an attribute has a set of values
				b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
				})
				return
			}
			b.AddASN1(cbasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
		}
	}
	var tbs, der cryptobyte.Builder
	tbs.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Uint64(0)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, pair(asn1.ObjectIdentifier{2, 5, 4, 3}, cn))
			})
		})
		b.AddBytes(spki)
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, pair(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7},
				base64.RawURLEncoding.EncodeToString(want.Nonce[:])))
		})
	})
	digest := sha256.Sum256(tbs.BytesOrPanic())
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	der.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs.BytesOrPanic())
		b.AddBytes([]byte{0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02})
		b.AddASN1BitString(sig)
	})
	r, err := issuer.ParseRequest(der.BytesOrPanic(), want)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// openssl runs the openssl of this machine in dir; it is a test's only judge
// that shares no code with us.
func openssl(t testing.TB, dir string, args ...string) string {
	t.Helper()
	c := exec.Command("openssl", args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func pemOf(certs ...*x509.Certificate) (text []byte) {
	for _, c := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return text
}
