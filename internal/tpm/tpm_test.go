// SPDX-License-Identifier: Apache-2.0

package tpm_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	_ "crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"provisioning.example/station/internal/attest"
	"provisioning.example/station/internal/tpm"
)

const pin = "correct horse"

func fixed(auth string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(auth), nil }
}

// newKey makes a key and finds it.
func newKey(t *testing.T, m *tpm.TPM, p tpm.Purpose) *tpm.Key {
	t.Helper()
	ref, _, err := m.CreateKey(t.Context(), p, elliptic.P256(), []byte(pin))
	if err != nil {
		t.Fatal(err)
	}
	return find(t, m, ref)
}

func find(t *testing.T, m *tpm.TPM, ref tpm.KeyRef) *tpm.Key {
	t.Helper()
	k, err := m.Key(t.Context(), ref, fixed(pin))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sign signs a message and verifies the signature.
func sign(ctx context.Context, k *tpm.Key, h crypto.Hash, message string) error {
	digest := h.New()
	digest.Write([]byte(message))
	sum := digest.Sum(nil)
	sig, err := k.SignContext(ctx, sum, h)
	if err != nil {
		return err
	}
	if !ecdsa.VerifyASN1(k.Public().(*ecdsa.PublicKey), sum, sig) {
		return errors.New("the signature does not verify")
	}
	return nil
}

// kinds are the TPMs that every machine of ours has, each opened fresh.
func kinds(t *testing.T) map[string]tpm.Config {
	return map[string]tpm.Config{
		"sim":      {Spec: "sim"},
		"sim file": {Spec: "sim:" + filepath.Join(t.TempDir(), "state")},
		"swtpm":    {Spec: "swtpm:" + newTPM(t)},
		"unix":     {Spec: "unix:" + newServer(t).socket},
		"tcp":      {Spec: newProxy(t, "tcp", newServer(t)).spec()},
	}
}

func TestSign(t *testing.T) {
	for name, cfg := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			m := open(t, cfg)
			if info := m.Info(); !info.Simulated || info.Manufacturer == "" || info.Firmware == "" || info.Spec != cfg.Spec {
				t.Errorf("info is %+v", info)
			}
			for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
				for _, p := range []tpm.Purpose{tpm.CA, tpm.Checkpoint, tpm.Rework} {
					// Secrets of different lengths, the longest included,
					// share one session.
					auth := strings.Repeat("s", int(p)*10+2)
					ref, _, err := m.CreateKey(t.Context(), p, curve, []byte(auth))
					if err != nil {
						t.Fatal(err)
					}
					k, err := m.Key(t.Context(), ref, fixed(auth))
					if err != nil {
						t.Fatal(err)
					}
					for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
						if err := sign(t.Context(), k, h, name); err != nil {
							t.Errorf("%s key on %s with %s: %v", p, curve.Params().Name, h, err)
						}
					}
				}
			}
			if err := m.Health(t.Context()); err != nil {
				t.Error(err)
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
			if err := m.Health(t.Context()); !errors.Is(err, tpm.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
		})
	}
}

// TestCertificate issues with x509.CreateCertificate, as the issuer does.
func TestCertificate(t *testing.T) {
	k := newKey(t, open(t, tpm.Config{Spec: "swtpm:" + newTPM(t)}), tpm.CA)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"},
		NotBefore: time.Unix(1e9, 0), NotAfter: time.Unix(2e9, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := cert.CheckSignatureFrom(cert); err != nil {
		t.Error(err)
	}
	if _, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, k); err != nil {
		t.Error(err)
	}
	if _, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: ca.NotBefore, NextUpdate: ca.NotAfter,
	}, cert, k); err != nil {
		t.Error(err)
	}
}

func TestRefusedDigests(t *testing.T) {
	k := newKey(t, open(t, tpm.Config{Spec: "sim"}), tpm.CA)
	for name, c := range map[string]struct {
		size int
		opts crypto.SignerOpts
	}{
		"short":   {31, crypto.SHA256},
		"long":    {33, crypto.SHA256},
		"sha-1":   {20, crypto.SHA1},
		"no hash": {32, crypto.Hash(0)},
		"no opts": {32, nil},
	} {
		if _, err := k.Sign(nil, make([]byte, c.size), c.opts); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	m := open(t, tpm.Config{Spec: "sim"})
	for name, c := range map[string]struct {
		p     tpm.Purpose
		curve elliptic.Curve
		auth  string
		want  string
	}{
		"no PIN":       {tpm.CA, elliptic.P256(), "", "a PIN is needed"},
		"long PIN":     {tpm.CA, elliptic.P256(), strings.Repeat("x", 33), "at most 32"},
		"zero in PIN":  {tpm.CA, elliptic.P256(), "a\x00b", "zero byte"},
		"other curve":  {tpm.CA, elliptic.P521(), pin, "P-256 and P-384"},
		"no purpose":   {0, elliptic.P256(), pin, "unknown purpose"},
		"bad purpose":  {99, elliptic.P256(), pin, "unknown purpose"},
		"no curve":     {tpm.CA, nil, pin, "P-256 and P-384"},
		"trailing nul": {tpm.CA, elliptic.P256(), "a\x00", "zero byte"},
	} {
		if _, _, err := m.CreateKey(t.Context(), c.p, c.curve, []byte(c.auth)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestSpecs(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("not a device"), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Dir(plain)
	for spec, want := range map[string]string{
		"":                             "unknown kind",
		"tpm":                          "unknown kind",
		"sim:":                         "nothing after the colon",
		"swtpm":                        "swtpm:DIR",
		"swtpm:" + foreign:             "holds plain but no TPM",
		"swtpm:/a,b":                   "comma",
		"unix":                         "unix:PATH",
		"unix:" + foreign + "/nobody":  "no such file",
		"tcp:localhost":                "tcp:HOST:PORT",
		"tcp::1":                       "tcp:HOST:PORT",
		"dev":                          "dev:PATH",
		"dev:" + plain:                 "not a device",
		"dev:/dev/null":                "shorter than its header",
		"dev:" + foreign + "/nothing":  "no such file",
		"tbs":                          "Windows",
		"sim:" + foreign + "/no/place": "no such file",
	} {
		m, err := tpm.Open(t.Context(), tpm.Config{Spec: spec})
		if err == nil {
			m.Close()
			t.Errorf("%q opened", spec)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", spec, err, want)
		}
	}
	open(t, tpm.Config{Spec: "sim"})
	if m, err := tpm.Open(t.Context(), tpm.Config{Spec: "sim"}); err == nil || !strings.Contains(err.Error(), "only one TPM simulator") {
		m.Close()
		t.Errorf("a second simulator: %v", err)
	}
}

func TestKeyRefText(t *testing.T) {
	ref := tpm.KeyRef{Handle: 0x8100A001, Name: tpm.Name{0, 11, 1}, SRK: tpm.Name{0, 11, 2}}
	text, err := json.Marshal(struct{ Key tpm.KeyRef }{ref})
	if err != nil {
		t.Fatal(err)
	}
	var back struct{ Key tpm.KeyRef }
	if err := json.Unmarshal(text, &back); err != nil || back.Key != ref {
		t.Errorf("%s read back as %v, %v", text, back.Key, err)
	}
	good := ref.String()
	for _, bad := range []string{
		"", good + " ", strings.ToUpper(good), strings.Replace(good, "8100a001", "0100a001", 1),
		strings.Replace(good, "8100a001", "+100a001", 1), good[:len(good)-1], good + ":", strings.Replace(good, "000b", "000g", 1),
	} {
		if err := new(tpm.KeyRef).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// TestKeyPinned refuses whatever is not the key of the reference.
func TestKeyPinned(t *testing.T) {
	m := open(t, tpm.Config{Spec: "swtpm:" + newTPM(t)})
	a, b := newKey(t, m, tpm.CA).Ref(), newKey(t, m, tpm.CA).Ref()
	for name, ref := range map[string]tpm.KeyRef{
		"empty handle":   {Handle: b.Handle + 1, Name: a.Name, SRK: a.SRK},
		"other key":      {Handle: b.Handle, Name: a.Name, SRK: a.SRK},
		"endorsement":    {Handle: 0x81010001, Name: a.Name, SRK: a.SRK},
		"not our handle": {Handle: 0x81800000, Name: a.Name, SRK: a.SRK},
	} {
		if _, err := m.Key(t.Context(), ref, fixed(pin)); !errors.Is(err, tpm.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := m.Key(t.Context(), a, nil); err == nil {
		t.Error("a key without a PIN source was found")
	}
	before, err := m.DA(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.SRK[7]++
	if err := sign(t.Context(), find(t, m, a), crypto.SHA256, "x"); !errors.Is(err, tpm.ErrOtherTPM) {
		t.Errorf("other storage root key: %v", err)
	}
	b.SRK[7]++ // with a session open already
	if err := sign(t.Context(), find(t, m, b), crypto.SHA256, "x"); !errors.Is(err, tpm.ErrOtherTPM) {
		t.Errorf("other storage root key: %v", err)
	}
	if after, err := m.DA(t.Context()); err != nil || after != before {
		t.Errorf("the lockout state moved from %+v to %+v (%v)", before, after, err)
	}
}

// TestReopen keeps keys over an orderly close, which must not count as a wrong
// PIN.
func TestReopen(t *testing.T) {
	for _, cfg := range []tpm.Config{
		{Spec: "swtpm:" + newTPM(t)},
		{Spec: "sim:" + filepath.Join(t.TempDir(), "state")},
	} {
		var ref tpm.KeyRef
		var lastMS uint64
		var lastResets uint32
		for round := range 4 {
			m, err := tpm.Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if round == 0 {
				ref = newKey(t, m, tpm.CA).Ref()
			}
			if err := sign(t.Context(), find(t, m, ref), crypto.SHA256, fmt.Sprint(round)); err != nil {
				t.Fatal(err)
			}
			da, err := m.DA(t.Context())
			if err != nil || da.Used != 0 || da.Max != 32 || da.Interval != 10*time.Minute || da.Recovery != 24*time.Hour {
				t.Errorf("%s, round %d: lockout state %+v, %v", cfg.Spec, round, da, err)
			}
			ms, resets, safe, err := m.Clock(t.Context())
			if err != nil || !safe || ms < lastMS || round > 0 && resets != lastResets+1 {
				t.Errorf("%s, round %d: clock %d after %d, resets %d after %d, safe %v, %v", cfg.Spec, round, ms, lastMS, resets, lastResets, safe, err)
			}
			lastMS, lastResets = ms, resets
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestWrongPIN(t *testing.T) {
	for _, spec := range []string{"sim", "swtpm:" + newTPM(t)} {
		m := open(t, tpm.Config{Spec: spec})
		ca, checkpoint := newKey(t, m, tpm.CA), newKey(t, m, tpm.Checkpoint)
		if err := m.SetDA(t.Context(), tpm.DAState{Max: 4, Interval: 1000 * time.Second, Recovery: time.Hour}); err != nil {
			t.Fatal(err)
		}
		wrong, err := m.Key(t.Context(), ca.Ref(), fixed("wrong"))
		if err != nil {
			t.Fatal(err)
		}
		wrongCheckpoint, err := m.Key(t.Context(), checkpoint.Ref(), fixed("wrong"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			if err := sign(t.Context(), ca, crypto.SHA256, "x"); err != nil {
				t.Fatalf("%s: the right PIN after %d wrong ones: %v", spec, i, err)
			}
			if err := sign(t.Context(), wrong, crypto.SHA256, "x"); !errors.Is(err, tpm.ErrPIN) {
				t.Errorf("%s: wrong PIN: %v", spec, err)
			}
			if err := sign(t.Context(), wrongCheckpoint, crypto.SHA256, "x"); !errors.Is(err, tpm.ErrPIN) {
				t.Errorf("%s: wrong secret: %v", spec, err)
			}
			if da, err := m.DA(t.Context()); err != nil || da.Used != i+1 || da.Max != 4 {
				t.Errorf("%s: after %d wrong PINs the lockout state is %+v, %v", spec, i+1, da, err)
			}
		}
		var locked *tpm.LockoutError
		if err := sign(t.Context(), ca, crypto.SHA256, "x"); !errors.As(err, &locked) || locked.Heals != 1000*time.Second {
			t.Errorf("%s: the right PIN in lockout: %v", spec, err)
		}
		if err := sign(t.Context(), checkpoint, crypto.SHA256, "x"); err != nil {
			t.Errorf("%s: a checkpoint in lockout: %v", spec, err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSetDARefuses(t *testing.T) {
	m := open(t, tpm.Config{Spec: "sim"})
	for _, s := range []tpm.DAState{{Max: 0}, {Max: 1 << 32}, {Max: 4, Interval: -1}, {Max: 4, Recovery: (1 << 32) * time.Second}} {
		if err := m.SetDA(t.Context(), s); err == nil {
			t.Errorf("%+v was taken", s)
		}
	}
}

// TestPINSource passes on what the source of the PIN says and sends nothing.
func TestPINSource(t *testing.T) {
	m := open(t, tpm.Config{Spec: "sim"})
	ref := newKey(t, m, tpm.CA).Ref()
	gone := errors.New("the admin went home")
	for _, c := range []struct {
		auth func() ([]byte, error)
		want string
	}{
		{func() ([]byte, error) { return nil, gone }, gone.Error()},
		{fixed(""), "a PIN is needed"},
		{fixed(strings.Repeat("9", 33)), "at most 32"},
	} {
		k, err := m.Key(t.Context(), ref, c.auth)
		if err != nil {
			t.Fatal(err)
		}
		if err := sign(t.Context(), k, crypto.SHA256, "x"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	if da, err := m.DA(t.Context()); err != nil || da.Used != 0 {
		t.Errorf("the lockout state moved: %+v, %v", da, err)
	}
}

// TestStorageRootKey uses what stands at 0x81000001 only if it is an SRK made
// from the template.
func TestStorageRootKey(t *testing.T) {
	s := newServer(t)
	p := newProxy(t, "unix", s)
	m := open(t, tpm.Config{Spec: p.spec()})
	transient := newKey(t, m, tpm.CA).Ref()
	m.Close()

	persist(t, s, tpm2.RSASRKTemplate)
	m = open(t, tpm.Config{Spec: p.spec()})
	if err := sign(t.Context(), find(t, m, transient), crypto.SHA256, "x"); err != nil {
		t.Errorf("with an RSA key at the handle: %v", err)
	}
	m.Close()

	plain := tpm2.ECCSRKTemplate
	plain.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{})
	persist(t, s, plain)
	m = open(t, tpm.Config{Spec: p.spec()})
	p.harm(nil)
	if err := sign(t.Context(), find(t, m, transient), crypto.SHA256, "x"); err != nil {
		t.Errorf("with the SRK at the handle: %v", err)
	}
	if _, count := p.commands(); count[tpm2.TPMCCCreatePrimary] != 0 || count[tpm2.TPMCCStartAuthSession] != 1 {
		t.Errorf("the persistent SRK was not used: %v", count)
	}
	m.Close()

	// A second SRK from the same template with another unique field is a
	// trap: right template, wrong key.
	persist(t, s, tpm2.ECCSRKTemplate)
	m = open(t, tpm.Config{Spec: p.spec()})
	p.harm(nil)
	if err := sign(t.Context(), find(t, m, transient), crypto.SHA256, "x"); err != nil {
		t.Errorf("with another SRK at the handle: %v", err)
	}
	if _, count := p.commands(); count[tpm2.TPMCCCreatePrimary] != 1 {
		t.Errorf("a session was salted with another key than the pinned one: %v", count)
	}
}

// TestOlderHome uses a key whose storage root key has zeros in its template: it
// signs and has its PIN changed, but no file of it can be read by others unless
// that storage root key stands at a handle.
func TestOlderHome(t *testing.T) {
	s := newServer(t)
	persist(t, s, tpm2.ECCSRKTemplate)
	m := open(t, tpm.Config{Spec: "unix:" + s.socket})
	old := newKey(t, m, tpm.CA).Ref()
	file, err := m.ExportBlob(t.Context(), old, []byte(pin))
	if err != nil {
		t.Fatal(err)
	}
	if k, err := attest.ParseKeyFile(file); err != nil || k.Parent != 0x81000001 {
		t.Errorf("the file under a persistent parent: %+v, %v", k, err)
	}
	m.Close()
	persist(t, s, tpm2.RSASRKTemplate)
	m = open(t, tpm.Config{Spec: "unix:" + s.socket})
	if newKey(t, m, tpm.CA).Ref().SRK == old.SRK {
		t.Error("a new key has the storage root key of an old one")
	}
	if err := sign(t.Context(), find(t, m, old), crypto.SHA256, "x"); err != nil {
		t.Error(err)
	}
	if _, err := m.ExportBlob(t.Context(), old, []byte(pin)); err == nil || !strings.Contains(err.Error(), "older version") {
		t.Errorf("exported what nobody can load: %v", err)
	}
	changed, err := m.ChangePIN(t.Context(), old, []byte(pin), []byte("another"))
	if err != nil || changed.SRK != old.SRK {
		t.Errorf("changed to %v: %v", changed, err)
	}
}

// persist puts a primary key at 0x81000001, in place of what is there.
func persist(t *testing.T, s *server, template tpm2.TPMTPublic) {
	t.Helper()
	raw := dialRaw(t, s)
	defer raw.Close()
	if pub, err := (tpm2.ReadPublic{ObjectHandle: tpm2.TPMHandle(0x81000001)}).Execute(raw); err == nil {
		if _, err := (tpm2.EvictControl{
			Auth:             tpm2.TPMRHOwner,
			ObjectHandle:     tpm2.NamedHandle{Handle: 0x81000001, Name: pub.Name},
			PersistentHandle: 0x81000001,
		}).Execute(raw); err != nil {
			t.Fatal(err)
		}
	}
	primary, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(template)}.Execute(raw)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (tpm2.EvictControl{
		Auth:             tpm2.TPMRHOwner,
		ObjectHandle:     tpm2.NamedHandle{Handle: primary.ObjectHandle, Name: primary.Name},
		PersistentHandle: 0x81000001,
	}).Execute(raw); err != nil {
		t.Fatal(err)
	}
}

// TestLeftovers opens a TPM whose object and session places a dead client has
// filled.
func TestLeftovers(t *testing.T) {
	s := newServer(t)
	raw := dialRaw(t, s)
	for range 3 {
		if _, err := (tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}).Execute(raw); err != nil {
			t.Fatal(err)
		}
		if _, _, err := tpm2.HMACSession(raw, tpm2.TPMAlgSHA256, 16); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := (tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}).Execute(raw); !errors.Is(err, tpm2.TPMRCObjectMemory) {
		t.Fatalf("the TPM is not full: %v", err)
	}
	raw.Close()
	m := open(t, tpm.Config{Spec: "unix:" + s.socket})
	if err := sign(t.Context(), newKey(t, m, tpm.CA), crypto.SHA256, "x"); err != nil {
		t.Error(err)
	}
}

// TestOwnerPassword says what is wrong when the owner hierarchy has a password.
func TestOwnerPassword(t *testing.T) {
	s := newServer(t)
	raw := dialRaw(t, s)
	if _, err := (tpm2.HierarchyChangeAuth{
		AuthHandle: tpm2.TPMRHOwner, NewAuth: tpm2.TPM2BAuth{Buffer: []byte("owned")},
	}).Execute(raw); err != nil {
		t.Fatal(err)
	}
	raw.Close()
	m := open(t, tpm.Config{Spec: "unix:" + s.socket})
	_, _, err := m.CreateKey(t.Context(), tpm.CA, elliptic.P256(), []byte(pin))
	if err == nil || !strings.Contains(err.Error(), "owner hierarchy of this TPM has a password") {
		t.Errorf("%v", err)
	}
}
