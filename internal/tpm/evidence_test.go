// SPDX-License-Identifier: Apache-2.0

package tpm_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/attest"
	"provisioning.example/station/internal/tpm"
)

// TestEvidence goes the whole way: endorsement, challenge, attestation key,
// statements about three keys and a counter.
func TestEvidence(t *testing.T) {
	for name, cfg := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			ctx, m := t.Context(), open(t, cfg)
			e, err := m.Endorsement(ctx)
			if err != nil {
				t.Fatal(err)
			}
			ek, ak := parse(t, e.Public), attestationKey(t, m)
			if err := attest.CheckAK(ak); err != nil {
				t.Error(err)
			}
			secret := []byte("a secret of the root, 32 bytes..")
			blob, sealed, err := attest.MakeCredential(rand.Reader, ek, ak, secret)
			if err != nil {
				t.Fatal(err)
			}
			if opened, err := m.ActivateCredential(ctx, blob, sealed); err != nil || string(opened) != string(secret) {
				t.Fatalf("opened %x: %v", opened, err)
			}
			qualifying := [32]byte{1, 2, 3}
			for purpose, p := range map[string]tpm.Purpose{"ca": tpm.CA, "checkpoint": tpm.Checkpoint, "rework": tpm.Rework} {
				ref, creation, err := m.CreateKey(ctx, p, elliptic.P256(), []byte(pin))
				if err != nil {
					t.Fatal(err)
				}
				area, err := m.PublicArea(ctx, ref)
				if err != nil {
					t.Fatal(err)
				}
				key := parse(t, area)
				if err := attest.CheckKey(purpose, key); err != nil {
					t.Error(err)
				}
				s, err := m.CertifyCreation(ctx, ref, creation, qualifying)
				if err != nil {
					t.Fatal(err)
				}
				if c, err := attest.VerifyCreation(ak, key, s.Attest, s.Signature, qualifying); err != nil || c.Hash != creation.Hash {
					t.Errorf("%s: %+v, %v", purpose, c, err)
				}
			}
		})
	}
}

func parse(t *testing.T, area []byte) *attest.Public {
	t.Helper()
	p, err := attest.ParsePublic(area)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func attestationKey(t *testing.T, m *tpm.TPM) *attest.Public {
	t.Helper()
	area, err := m.AttestationKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, area)
}

// TestKeyFile exports a key; openssl signs with it on the same TPM, with the
// PIN and not without, and tpm2-tools read it.
func TestKeyFile(t *testing.T) {
	ctx, s := t.Context(), newServer(t)
	m := open(t, tpm.Config{Spec: "unix:" + s.socket})
	k := newKey(t, m, tpm.CA)
	file, err := m.ExportBlob(ctx, k.Ref(), []byte(pin))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := attest.ParseKeyFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Parent != 0x40000001 || !k.Public().(*ecdsa.PublicKey).Equal(parsed.Public.PublicKey()) {
		t.Errorf("the file holds %+v", parsed)
	}
	if _, err := m.ExportBlob(ctx, k.Ref(), []byte("wrong")); !errors.Is(err, tpm.ErrPIN) {
		t.Errorf("exported with a wrong PIN: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	tool := newTools(t, s)
	path := tool.write("key.pem", file)
	if out := tool.run("tpm2_print", "-t", "TSSPRIVKEY_OBJ", path); !strings.Contains(out, "ecc") {
		t.Errorf("tpm2_print shows %s", out)
	}
	digest := sha256.Sum256([]byte("signed by openssl"))
	message := tool.write("digest", digest[:])
	args := []string{"pkeyutl", "-provider", "tpm2", "-provider", "default", "-sign", "-inkey", path, "-in", message, "-out", tool.path("sig")}
	if out, err := tool.try("openssl", append(args, "-passin", "pass:wrong")...); err == nil {
		t.Errorf("openssl signs with a wrong PIN: %s", out)
	}
	tool.run("openssl", append(args, "-passin", "pass:"+pin)...)
	if !ecdsa.VerifyASN1(k.Public().(*ecdsa.PublicKey), digest[:], tool.read("sig")) {
		t.Error("openssl's signature does not verify")
	}
}

// TestQuote has tpm2-tools check a quote and ours refuse another one.
func TestQuote(t *testing.T) {
	ctx, s := t.Context(), newServer(t)
	m := open(t, tpm.Config{Spec: "unix:" + s.socket})
	ak := attestationKey(t, m)
	qualifying := sha256.Sum256([]byte("a nonce"))
	q, err := m.Quote(ctx, qualifying, []uint{0, 7, 16})
	if err != nil {
		t.Fatal(err)
	}
	got, err := attest.VerifyQuote(ak, q.Attest, q.Signature, qualifying)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got.PCRs) != "[0 7 16]" || got.Clock.Firmware == 0 || !got.Safe {
		t.Errorf("%+v", got)
	}
	spki, err := x509.MarshalPKIXPublicKey(ak.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Quote(ctx, qualifying, []uint{24}); err == nil {
		t.Error("quoted register 24")
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	tool := newTools(t, s)
	key := tool.write("ak.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))
	message, sig := tool.write("quote", q.Attest), tool.write("sig", q.Signature)
	values := tool.path("pcrs")
	tool.run("tpm2_pcrread", "sha256:0,7,16", "-o", values)
	if digest := sha256.Sum256(tool.read("pcrs")); digest != got.Digest {
		t.Errorf("the quote's digest is %x, that of the registers %x", got.Digest, digest)
	}
	args := []string{"-u", key, "-m", message, "-s", sig, "-g", "sha256", "-q"}
	tool.run("tpm2_checkquote", append(args, hex.EncodeToString(qualifying[:]))...)
	if out, err := tool.try("tpm2_checkquote", append(args, strings.Repeat("00", 32))...); err == nil {
		t.Errorf("tpm2_checkquote takes another nonce: %s", out)
	}
}

// tools runs the TPM's command line tools against a server.
type tools struct {
	t   *testing.T
	dir string
	env []string
}

// newTools gives the server, which talks raw commands only, the face that the
// tools know: a control channel beside it.
func newTools(t *testing.T, s *server) *tools {
	t.Helper()
	s.withControl()
	tcti := "swtpm:path=" + s.socket
	return &tools{t: t, dir: t.TempDir(), env: append(os.Environ(), "TPM2TOOLS_TCTI="+tcti, "TPM2OPENSSL_TCTI="+tcti, "TSS2_LOG=all+ERROR")}
}

func (x *tools) path(name string) string { return filepath.Join(x.dir, name) }

func (x *tools) write(name string, data []byte) string {
	x.t.Helper()
	if err := os.WriteFile(x.path(name), data, 0o600); err != nil {
		x.t.Fatal(err)
	}
	return x.path(name)
}

func (x *tools) read(name string) []byte {
	x.t.Helper()
	data, err := os.ReadFile(x.path(name))
	if err != nil {
		x.t.Fatal(err)
	}
	return data
}

func (x *tools) try(name string, args ...string) (string, error) {
	c := exec.CommandContext(x.t.Context(), name, args...)
	c.Env = x.env
	out, err := c.CombinedOutput()
	return string(out), err
}

func (x *tools) run(name string, args ...string) string {
	x.t.Helper()
	out, err := x.try(name, args...)
	if err != nil {
		x.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}
