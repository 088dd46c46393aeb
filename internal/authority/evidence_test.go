// SPDX-License-Identifier: Apache-2.0

package authority_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"provisioning.example/station/internal/attest"
	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/tpm"
)

// bound is a station whose keys lie in a TPM.
type bound struct {
	*station
	chip    *tpm.TPM
	keys    authority.TPMKeys
	vendors []*x509.Certificate // who made the TPM; none for the simulator
}

func simulator(t *testing.T, name string) *bound { return newBound(t, "sim", name) }

// swtpm is a station with a TPM that its vendor certified.
func swtpm(t *testing.T, name string) *bound {
	t.Helper()
	// A socket's path may have 107 bytes at most: t.TempDir is too long.
	dir, err := os.MkdirTemp("", "au")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := newBound(t, "swtpm:"+dir, name)
	for _, file := range []string{"issuercert.pem", "swtpm-localca-rootca-cert.pem"} {
		block, _ := pem.Decode(readFile(t, filepath.Join(dir, "ek-ca", file)))
		if block == nil {
			t.Fatalf("%s holds no certificate", file)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		b.vendors = append(b.vendors, c)
	}
	return b
}

func newBound(t *testing.T, spec, name string) *bound {
	t.Helper()
	chip, err := tpm.Open(t.Context(), tpm.Config{Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := chip.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &bound{chip: chip, keys: authority.TPMKeys{}}
	signers := map[string]crypto.Signer{}
	for purpose, p := range map[string]tpm.Purpose{"ca": tpm.CA, "checkpoint": tpm.Checkpoint, "rework": tpm.Rework} {
		auth := []byte("secret of " + purpose)
		ref, creation, err := chip.CreateKey(t.Context(), p, elliptic.P256(), auth)
		if err != nil {
			t.Fatal(err)
		}
		b.keys[purpose] = authority.TPMKey{Ref: ref, Creation: &creation}
		if signers[purpose], err = chip.Key(t.Context(), ref, func() ([]byte, error) { return auth, nil }); err != nil {
			t.Fatal(err)
		}
	}
	b.station = newStation(t, signers["ca"], signers["checkpoint"])
	b.config.Origin = record.Origin{Station: name, Epoch: 1}
	if b.config.Evidence, err = authority.ReadEvidence(t.Context(), chip, b.keys, nil); err != nil {
		t.Fatal(err)
	}
	return b
}

// trust believes the vendor, or where there is none the very key.
func (b *bound) trust(t *testing.T) ceremony.Trust {
	t.Helper()
	if b.vendors != nil {
		return ceremony.Trust{Vendors: b.vendors}
	}
	return ceremony.Trust{Pins: [][32]byte{b.request(t).Evidence().EK.Pin()}}
}

func (b *bound) challenge(t *testing.T, r *authority.Root, q *ceremony.Request) *ceremony.Challenge {
	t.Helper()
	c, _, err := r.Challenge(q, b.trust(t), 0, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (b *bound) answer(t *testing.T, q *ceremony.Request, c *ceremony.Challenge) *ceremony.Answer {
	t.Helper()
	a, err := authority.Respond(t.Context(), b.chip, b.keys, q, c, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// carried is what is left of three files after their way on a stick.
func carried(t *testing.T, q *ceremony.Request, c *ceremony.Challenge, a *ceremony.Answer) (*ceremony.Request, *ceremony.Challenge, *ceremony.Answer) {
	t.Helper()
	q2, err := ceremony.ParseRequest(q.Encode())
	if err != nil {
		t.Fatal(err)
	}
	c2, err := ceremony.ParseChallenge(c.Encode())
	if err != nil {
		t.Fatal(err)
	}
	a2, err := ceremony.ParseAnswer(a.Encode())
	if err != nil {
		t.Fatal(err)
	}
	return q2, c2, a2
}

// TestTwoRounds goes the whole way with a vendor's certificate and with a
// pinned key, and checks the evidence again from the files.
func TestTwoRounds(t *testing.T) {
	for name, make := range map[string]func(*testing.T, string) *bound{"simulator": simulator, "swtpm": swtpm} {
		t.Run(name, func(t *testing.T) {
			s := make(t, "ulm/st-07")
			r, dir := newRoot(t)
			q := s.request(t)
			c := s.challenge(t, r, q)
			q, c, a := carried(t, q, c, s.answer(t, q, c))
			if len(a.Statements) != 3 {
				t.Errorf("the TPM speaks for %d keys, want 3", len(a.Statements))
			}
			signed, err := r.Sign(q, authority.Terms{Answer: a})
			if err != nil {
				t.Fatal(err)
			}
			installed := s.install(t, signed.PEM)
			loaded, err := authority.Load(s.dir)
			if err != nil {
				t.Fatal(err)
			}
			want := "pinned by hash"
			if name == "swtpm" {
				want = "vendor CN=swtpm-localca"
			}
			for _, i := range []*authority.Installed{installed, loaded} {
				if !strings.HasPrefix(i.TPM(), "TPM proven: EK ") || !strings.HasSuffix(i.TPM(), want) || i.TPM() != signed.TPM() {
					t.Errorf("installed: %s", i.TPM())
				}
			}
			if err := ceremony.Check(loaded.Proof, q, c, a, r.Certificate(), s.trust(t)); err != nil {
				t.Errorf("checked again: %v", err)
			}
			other, _ := newRoot(t)
			if err := ceremony.Check(loaded.Proof, q, c, a, other.Certificate(), ceremony.Trust{}); err == nil {
				t.Error("checked again by another root: no error")
			}
			verifyWithOpenSSL(t, s.station, loaded)
			log, err := authority.RootLog(dir)
			if err != nil || len(log) != 4 || log[0].Kind != "challenge" || log[1].Kind != "closed" || log[1].ID != log[0].ID ||
				log[2].TPM != signed.TPM() || log[3].TPM != signed.TPM() {
				t.Errorf("record: %+v, %v", log, err)
			}
		})
	}
}

// TestChallengeRefuses: whose TPM it is, and what its keys are, is looked at
// before anything leaves the root.
func TestChallengeRefuses(t *testing.T) {
	s := swtpm(t, "ulm/st-07")
	r, dir := newRoot(t)
	ek := s.request(t).Evidence().EK
	stranger := newForeignRoot(t, nil)
	sound := s.trust(t)
	for _, c := range []struct {
		name   string
		want   error
		trust  ceremony.Trust
		change func(t *testing.T, raw *ceremony.RawRequest)
	}{
		{"no trust", attest.ErrNoTrust, ceremony.Trust{}, nil},
		{"another pin", attest.ErrPin, ceremony.Trust{Pins: [][32]byte{{1}}}, nil},
		{"another vendor", attest.ErrVendor, ceremony.Trust{Vendors: []*x509.Certificate{stranger.cert}}, nil},
		{"vendor's intermediate only", attest.ErrNoTrust, ceremony.Trust{Vendors: s.vendors[:1]}, nil},
		{"no certificate", attest.ErrNoCertificate, sound, func(_ *testing.T, raw *ceremony.RawRequest) { raw.Certificates = nil }},
		{"somebody's certificate", attest.ErrOtherEK, sound, func(t *testing.T, raw *ceremony.RawRequest) {
			raw.Certificates = [][]byte{stranger.certify(t, &x509.Certificate{
				SerialNumber: big.NewInt(5), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			}, newKey(t, elliptic.P256()).Public()).Raw}
		}},
		{"unrestricted attestation key", attest.ErrRestricted, sound, func(t *testing.T, raw *ceremony.RawRequest) {
			raw.AK = altered(t, raw.AK, func(p *tpm2.TPMTPublic) { p.ObjectAttributes.Restricted = false })
		}},
		{"a CA key that can leave", attest.ErrSoftware, sound, func(t *testing.T, raw *ceremony.RawRequest) {
			raw.Keys["ca"] = altered(t, raw.Keys["ca"], func(p *tpm2.TPMTPublic) { p.ObjectAttributes.FixedTPM = false })
		}},
		{"a CA key that was made outside", attest.ErrSoftware, sound, func(t *testing.T, raw *ceremony.RawRequest) {
			raw.Keys["ca"] = altered(t, raw.Keys["ca"], func(p *tpm2.TPMTPublic) { p.ObjectAttributes.SensitiveDataOrigin = false })
		}},
		{"a CA key whose PIN may be guessed", attest.ErrAttributes, sound, func(t *testing.T, raw *ceremony.RawRequest) {
			raw.Keys["ca"] = altered(t, raw.Keys["ca"], func(p *tpm2.TPMTPublic) { p.ObjectAttributes.NoDA = true })
		}},
		{"a rework key that also decrypts", attest.ErrAttributes, sound, func(t *testing.T, raw *ceremony.RawRequest) {
			raw.Keys["rework"] = altered(t, raw.Keys["rework"], func(p *tpm2.TPMTPublic) { p.ObjectAttributes.Decrypt = true })
		}},
	} {
		q := s.request(t)
		if c.change != nil {
			q = changed(t, s.config, func(raw *ceremony.RawRequest) { c.change(t, raw) })
		}
		if _, _, err := r.Challenge(q, c.trust, 0, time.Time{}); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	if _, _, err := r.Challenge(s.request(t), ceremony.Trust{Pins: [][32]byte{ek.Pin()}}, 0, time.Time{}); err != nil {
		t.Errorf("pinned: %v", err)
	}
	plain := s.config
	plain.Evidence = nil
	if _, _, err := r.Challenge(changed(t, plain, nil), sound, 0, time.Time{}); err == nil || !strings.Contains(err.Error(), "no TPM evidence") {
		t.Errorf("without evidence: %v", err)
	}
	if log, err := authority.RootLog(dir); err != nil || len(log) != 1 {
		t.Errorf("%d entries, %v; want the one challenge that was made", len(log), err)
	}
}

// altered is a TPMT_PUBLIC with something else in it.
func altered(t *testing.T, area []byte, change func(p *tpm2.TPMTPublic)) []byte {
	t.Helper()
	p, err := tpm2.Unmarshal[tpm2.TPMTPublic](area)
	if err != nil {
		t.Fatal(err)
	}
	change(p)
	return tpm2.Marshal(*p)
}

// dressed puts a software key into the public area of a TPM's key.
func dressed(t *testing.T, area []byte, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	half := len(point) / 2
	return altered(t, area, func(p *tpm2.TPMTPublic) {
		p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
			X: tpm2.TPM2BECCParameter{Buffer: point[1 : 1+half]}, Y: tpm2.TPM2BECCParameter{Buffer: point[1+half:]},
		})
	})
}

// changed is a request that somebody made with other evidence, signed by its keys.
func changed(t *testing.T, c authority.RequestConfig, change func(raw *ceremony.RawRequest)) *ceremony.Request {
	t.Helper()
	if change != nil {
		raw := *c.Evidence
		raw.Keys = map[string][]byte{}
		for p, key := range c.Evidence.Keys {
			raw.Keys[p] = key
		}
		change(&raw)
		c.Evidence = &raw
	}
	q, err := authority.Request(t.TempDir(), c)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// forger holds keys in software where a TPM's are expected.
type forger struct {
	ca, ak *ecdsa.PrivateKey
}

// statement says in software what a TPM would say of a key.
func (f *forger) statement(t *testing.T, key *attest.Public, qualifying [32]byte) ceremony.Statement {
	t.Helper()
	name := key.Name()
	said := tpm2.Marshal(tpm2.TPMSAttest{
		Magic: tpm2.TPMGeneratedValue, Type: tpm2.TPMSTAttestCreation,
		ExtraData: tpm2.TPM2BData{Buffer: qualifying[:]},
		Attested: tpm2.NewTPMUAttest(tpm2.TPMSTAttestCreation, &tpm2.TPMSCreationInfo{
			ObjectName: tpm2.TPM2BName{Buffer: name[:]}, CreationHash: tpm2.TPM2BDigest{Buffer: make([]byte, 32)},
		}),
	})
	digest := sha256.Sum256(said)
	r, s, err := ecdsa.Sign(rand.Reader, f.ak, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return ceremony.Statement{Attest: said, Signature: tpm2.Marshal(tpm2.TPMTSignature{
		SigAlg: tpm2.TPMAlgECDSA,
		Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgECDSA, &tpm2.TPMSSignatureECC{
			Hash:       tpm2.TPMAlgSHA256,
			SignatureR: tpm2.TPM2BECCParameter{Buffer: r.FillBytes(make([]byte, 32))},
			SignatureS: tpm2.TPM2BECCParameter{Buffer: s.FillBytes(make([]byte, 32))},
		}),
	})}
}

// TestSignRefusesSoftware: whoever has a TPM, its certificate and all the
// skill there is, but keys in software, gets nothing proven.
func TestSignRefusesSoftware(t *testing.T) {
	s := swtpm(t, "ulm/st-07")
	r, _ := newRoot(t)
	f := &forger{newKey(t, elliptic.P256()), newKey(t, elliptic.P256())}

	t.Run("a software key beside the TPM's", func(t *testing.T) {
		config := s.config
		config.CA = f.ca
		if _, err := authority.Request(t.TempDir(), config); err == nil || !strings.Contains(err.Error(), "another key") {
			t.Errorf("got %v, want a complaint about another key", err)
		}
	})
	t.Run("a software key", func(t *testing.T) {
		config := s.config
		config.CA = f.ca
		q := changed(t, config, func(raw *ceremony.RawRequest) { raw.Keys["ca"] = dressed(t, raw.Keys["ca"], f.ca) })
		c := s.challenge(t, r, q)
		if _, err := authority.Respond(t.Context(), s.chip, s.keys, q, c, time.Time{}); !errors.Is(err, attest.ErrOtherKey) {
			t.Errorf("the station itself: %v, want %v", err, attest.ErrOtherKey)
		}
		a := s.opened(t, q, c)
		if _, err := r.Sign(q, authority.Terms{Answer: a}); !errors.Is(err, attest.ErrOtherKey) {
			t.Errorf("with the TPM's word about its own key: %v, want %v", err, attest.ErrOtherKey)
		}
		a.Statements["ca"] = f.statement(t, q.Evidence().Keys["ca"], ceremony.Qualifying(a.Secret, q))
		if _, err := r.Sign(q, authority.Terms{Answer: a}); !errors.Is(err, attest.ErrSignature) {
			t.Errorf("with a forged word: %v, want %v", err, attest.ErrSignature)
		}
		delete(a.Statements, "ca")
		if _, err := r.Sign(q, authority.Terms{Answer: a}); !errors.Is(err, ceremony.ErrNoStatement) {
			t.Errorf("without a word: %v, want %v", err, ceremony.ErrNoStatement)
		}
	})
	t.Run("a software attestation key beside somebody's endorsement key", func(t *testing.T) {
		config := s.config
		config.CA = f.ca
		q := changed(t, config, func(raw *ceremony.RawRequest) {
			raw.Keys["ca"], raw.AK = dressed(t, raw.Keys["ca"], f.ca), dressed(t, raw.AK, f.ak)
		})
		c := s.challenge(t, r, q)
		if _, err := s.chip.ActivateCredential(t.Context(), c.Credential, c.Sealed); !errors.Is(err, tpm.ErrCredential) {
			t.Errorf("the TPM opens it: %v, want %v", err, tpm.ErrCredential)
		}
		a := ceremony.NewAnswer(q, c, [32]byte{1})
		for p, key := range q.Evidence().Keys {
			a.Statements[p] = f.statement(t, key, ceremony.Qualifying(a.Secret, q))
		}
		if _, err := r.Sign(q, authority.Terms{Answer: a}); !errors.Is(err, ceremony.ErrSecret) {
			t.Errorf("got %v, want %v", err, ceremony.ErrSecret)
		}
	})
}

// opened answers a challenge as somebody would who has the TPM and other aims
// than the station.
func (b *bound) opened(t *testing.T, q *ceremony.Request, c *ceremony.Challenge) *ceremony.Answer {
	t.Helper()
	secret, err := b.chip.ActivateCredential(t.Context(), c.Credential, c.Sealed)
	if err != nil {
		t.Fatal(err)
	}
	a := ceremony.NewAnswer(q, c, [32]byte(secret))
	for p, key := range b.keys {
		s, err := b.chip.CertifyCreation(t.Context(), key.Ref, *key.Creation, ceremony.Qualifying(a.Secret, q))
		if err != nil {
			t.Fatal(err)
		}
		a.Statements[p] = ceremony.Statement{Attest: s.Attest, Signature: s.Signature}
	}
	return a
}

// TestSignRefusesMixed: files of other ceremonies, and of this one a second
// time.
func TestSignRefusesMixed(t *testing.T) {
	s, other := swtpm(t, "ulm/st-07"), swtpm(t, "ulm/st-08")
	r, _ := newRoot(t)
	foreign, _ := newRoot(t)
	q, q2 := s.request(t), other.request(t)
	c, c2 := s.challenge(t, r, q), other.challenge(t, r, q2)
	a, a2 := s.answer(t, q, c), other.answer(t, q2, c2)
	again := s.challenge(t, r, q)

	with := func(change func(a *ceremony.Answer)) *ceremony.Answer {
		_, _, b := carried(t, q, c, a)
		change(b)
		return b
	}
	swapped := changed(t, s.config, func(raw *ceremony.RawRequest) { raw.Keys["rework"] = other.config.Evidence.Keys["rework"] })
	sign := func(q *ceremony.Request, a *ceremony.Answer, now time.Time) error {
		_, err := r.Sign(q, authority.Terms{Answer: a, Now: now})
		return err
	}
	for _, c := range []struct {
		name string
		want error
		err  error
	}{
		{"another station's answer", ceremony.ErrOtherStation, sign(q, a2, time.Time{})},
		{"another station's request", ceremony.ErrOtherStation, sign(q2, a, time.Time{})},
		{"a swapped key", ceremony.ErrOtherRequest, sign(swapped, a, time.Time{})},
		{"statements swapped", attest.ErrOtherKey, sign(q, with(func(a *ceremony.Answer) {
			a.Statements["ca"], a.Statements["checkpoint"] = a.Statements["checkpoint"], a.Statements["ca"]
		}), time.Time{})},
		{"a statement of the other TPM", attest.ErrSignature, sign(q, with(func(b *ceremony.Answer) { b.Statements["ca"] = a2.Statements["ca"] }), time.Time{})},
		{"renamed to a new challenge", ceremony.ErrOtherChallenge, sign(q, with(func(b *ceremony.Answer) { b.ID = again.ID }), time.Time{})},
		{"renamed, with its digest", ceremony.ErrSecret, sign(q, with(func(b *ceremony.Answer) { b.ID, b.Challenge = again.ID, again.Digest() }), time.Time{})},
		{"old statements beside a new secret", attest.ErrQualifying, sign(q, with(func(b *ceremony.Answer) {
			fresh := s.opened(t, q, again)
			b.ID, b.Challenge, b.Secret = fresh.ID, fresh.Challenge, fresh.Secret
		}), time.Time{})},
		{"another secret", ceremony.ErrSecret, sign(q, with(func(b *ceremony.Answer) { b.Secret[0] ^= 1 }), time.Time{})},
		{"expired", authority.ErrExpired, sign(q, a, c.Expires.Add(time.Second))},
		{"another root", authority.ErrNoChallenge, func() error { _, err := foreign.Sign(q, authority.Terms{Answer: a}); return err }()},
		{"answered by another station", ceremony.ErrOtherStation, func() error {
			_, err := authority.Respond(t.Context(), other.chip, other.keys, q2, c, time.Time{})
			return err
		}()},
		{"answered too late", authority.ErrExpired, func() error {
			_, err := authority.Respond(t.Context(), s.chip, s.keys, q, c, c.Expires.Add(time.Second))
			return err
		}()},
		{"answered by another TPM", tpm.ErrCredential, func() error {
			_, err := authority.Respond(t.Context(), other.chip, s.keys, q, c, time.Time{})
			return err
		}()},
		// What was refused used nothing up.
		{"the sound one", nil, sign(q, a, time.Time{})},
		{"the sound one again", authority.ErrUsed, sign(q, a, time.Time{})},
		{"the last second", nil, sign(q2, a2, c2.Expires)},
	} {
		if !errors.Is(c.err, c.want) || c.want == nil && c.err != nil {
			t.Errorf("%s: got %v, want %v", c.name, c.err, c.want)
		}
	}
}

// TestClosedBeforeSigned: a challenge is used up on record before there is a
// certificate, and stays so when the power fails in between.
func TestClosedBeforeSigned(t *testing.T) {
	s := simulator(t, "ulm/st-07")
	r, dir := newRoot(t)
	q := s.request(t)
	a := s.answer(t, q, s.challenge(t, r, q))
	path := filepath.Join(dir, "record.jsonl")
	if _, err := r.Sign(q, authority.Terms{Answer: a}); err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(readFile(t, path), []byte("\n"))
	if !bytes.Contains(lines[1], []byte(`"kind":"closed"`)) || !bytes.Contains(lines[2], []byte(`"kind":"intermediate"`)) {
		t.Fatalf("record:\n%s", bytes.Join(lines, nil))
	}
	writeFile(t, path, bytes.Join(lines[:2], nil))
	if _, err := r.Sign(q, authority.Terms{Answer: a}); !errors.Is(err, authority.ErrUsed) {
		t.Errorf("after a power cut: %v, want %v", err, authority.ErrUsed)
	}
	writeFile(t, path, append(bytes.Clone(lines[0]), lines[1][:20]...)) // the line itself was cut
	if _, err := r.Sign(q, authority.Terms{Answer: a}); err != nil {
		t.Errorf("cut within the line: %v", err)
	}
}
