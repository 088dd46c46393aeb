// SPDX-License-Identifier: Apache-2.0

// Package firmware_test runs the device agent as processes on pseudo-terminals
// and talks to it through the station's own packages.
package firmware_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strconv"
	"testing"

	"provisioning.example/station/internal/enroll"
)

// A unit is what a test knows of a board that it enrolled.
type unit struct {
	token   [32]byte
	spki    [32]byte
	pub     any
	chain   []byte
	anchors []byte
	rework  []byte
	root    *[32]byte // that the board pins
	prot    uint8
}

// keyAndChain makes the board's key and puts chain, anchors and rework.
func keyAndChain(ctx context.Context, t *testing.T, c *talk, p *plant, alg string) *unit {
	t.Helper()
	u := &unit{token: token(t), root: c.info.Root, prot: c.info.Prot}
	var made bool
	var err error
	if u.spki, made, err = c.Keygen(ctx, alg, u.token, false); err != nil || !made {
		t.Fatalf("keygen: new %v, %v", made, err)
	}
	u.pub = checkRequest(ctx, t, c, u.spki)
	u.chain, u.anchors, u.rework = p.certify(t, u.pub), p.root.Raw, p.reworkObject(t)
	for obj, data := range map[string][]byte{"chain": u.chain, "anchors": u.anchors, "rework": u.rework} {
		if err := c.Put(ctx, obj, data); err != nil {
			t.Fatalf("put %s: %v", obj, err)
		}
	}
	return u
}

// install brings a board to state installed.
func install(ctx context.Context, t *testing.T, c *talk, p *plant, alg string) *unit {
	t.Helper()
	u := keyAndChain(ctx, t, c, p, alg)
	if err := c.Commit(ctx, *digest(u.chain), digest(u.anchors), digest(u.rework)); err != nil {
		t.Fatalf("commit: %v", err)
	}
	return u
}

// checkRequest asks for a CSR and returns the public key in it.
func checkRequest(ctx context.Context, t *testing.T, c *talk, spki [32]byte) any {
	t.Helper()
	der, err := c.CSR(ctx, "pump controller 7", "SN-0042", token(t))
	if err != nil {
		t.Fatalf("csr: %v", err)
	}
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.CheckSignature(); err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(r.RawSubjectPublicKeyInfo) != spki {
		t.Fatal("the CSR is for another key than keygen's")
	}
	if r.Subject.CommonName != "pump controller 7" || r.Subject.SerialNumber != "SN-0042" {
		t.Fatalf("subject %v", r.Subject)
	}
	return r.PublicKey
}

// prove checks the board's signature over everything u knows of it.
func (u *unit) prove(ctx context.Context, t *testing.T, b *board, c *talk, alg string, state enroll.State) {
	t.Helper()
	p := enroll.Proof{
		Nonce: token(t), Chain: *digest(u.chain), Anchors: *digest(u.anchors), Rework: *digest(u.rework),
		Prot: u.prot, State: state, UID: b.uid,
	}
	if u.root != nil {
		p.Root = *u.root
	}
	sig, err := c.Prove(ctx, p.Nonce)
	if err != nil {
		t.Fatalf("prove: %v", err)
	}
	if err := p.Verify(u.pub, alg, sig); err != nil {
		t.Fatal(err)
	}
	p.State ^= 1
	if p.Verify(u.pub, alg, sig) == nil {
		t.Fatal("the proof does not depend on the state")
	}
}

// readBack compares the stored objects.
func (u *unit) readBack(ctx context.Context, t *testing.T, c *talk) {
	t.Helper()
	for obj, want := range map[string][]byte{"chain": u.chain, "anchors": u.anchors, "rework": u.rework} {
		if got, err := c.Get(ctx, obj); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s reads back with %d bytes, %v; want %d", obj, len(got), err, len(want))
		}
	}
}

func (u *unit) rehearse(ctx context.Context, t *testing.T, c *talk, p *plant, alg string) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(p.root)
	leaf := u.chain[:len(u.chain)-len(p.issuer.Raw)]
	got, err := c.Rehearse(ctx, enroll.Rehearsal{Chain: [][]byte{leaf, p.issuer.Raw}, Roots: roots, Alg: alg})
	if err != nil || got.Version != tls.VersionTLS13 {
		t.Fatalf("rehearsal: %+v, %v", got, err)
	}
}

// A board goes from blank to locked and back, through resets and power cuts.
func TestEnrolment(t *testing.T) {
	p := newPlant(t)
	for i, alg := range []string{"ES256", "ES384", "ES256"} {
		t.Run(strconv.Itoa(i)+" "+alg, func(t *testing.T) {
			t.Parallel()
			ctx := deadline(t)
			b := newBoard(t, "--model", "pump", "--prot", "5", "--root", p.pin(t))
			c := connect(t, b)
			if c.info.Model != "pump" || c.info.State != enroll.Blank || c.info.Prot != 5 || !bytes.Equal(c.info.UID, b.uid) {
				t.Fatalf("info %+v", c.info)
			}
			if *c.info.Root != *digest(p.root.Raw) {
				t.Fatal("info names another root")
			}
			u := install(ctx, t, c, p, alg)
			u.readBack(ctx, t, c)
			u.prove(ctx, t, b, c, alg, enroll.Installed)
			u.rehearse(ctx, t, c, p, alg)

			c.close(t)
			b.powerCut(t)
			c = connect(t, b)
			if c.info.State != enroll.Installed || c.info.SPKI == nil || *c.info.SPKI != u.spki || *c.info.Chain != *digest(u.chain) {
				t.Fatalf("after the power cut: %+v", c.info)
			}
			u.readBack(ctx, t, c)
			u.prove(ctx, t, b, c, alg, enroll.Installed)
			if err := c.Lock(ctx, *digest(u.chain)); err != nil {
				t.Fatal(err)
			}
			u.refusedWhenLocked(ctx, t, c, alg)
			info, err := c.Reset(ctx)
			if err != nil || info.State != enroll.Locked || info.Boot == c.info.Boot {
				t.Fatalf("reset: %+v, %v", info, err)
			}
			u.prove(ctx, t, b, c, alg, enroll.Locked)
			u.unlock(ctx, t, b, c, p)
		})
	}
}

// refusedWhenLocked asks a locked board for everything it must not do.
func (u *unit) refusedWhenLocked(ctx context.Context, t *testing.T, c *talk, alg string) {
	t.Helper()
	_, _, err := c.Keygen(ctx, alg, u.token, false)
	wantRC(t, "keygen again", err, enroll.RCLocked)
	_, _, err = c.Keygen(ctx, alg, token(t), true)
	wantRC(t, "keygen with replace", err, enroll.RCLocked)
	_, err = c.CSR(ctx, "x", "", token(t))
	wantRC(t, "csr", err, enroll.RCLocked)
	wantRC(t, "put", c.Put(ctx, "chain", u.chain), enroll.RCLocked)
	wantRC(t, "commit", c.Commit(ctx, *digest(u.chain), nil, nil), enroll.RCLocked)
	_, err = c.TLSSign(ctx, bytes.Repeat([]byte{' '}, 130))
	wantRC(t, "tls-sign", err, enroll.RCLocked)
	wantRC(t, "lock with another digest", c.Lock(ctx, token(t)), enroll.RCDigest)
	if err := c.Lock(ctx, *digest(u.chain)); err != nil {
		t.Fatalf("lock again: %v", err)
	}
	u.readBack(ctx, t, c)
}

// unlock reworks a locked board and looks for the key in its flash.
func (u *unit) unlock(ctx context.Context, t *testing.T, b *board, c *talk, p *plant) {
	t.Helper()
	sign := func(nonce [32]byte) []byte {
		sum := sha256.Sum256(enroll.ReworkMessage(nonce, u.spki, b.uid))
		sig, err := ecdsa.SignASN1(rand.Reader, p.rework, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	wantRC(t, "rework without a challenge", c.Rework(ctx, 0, sign([32]byte{})), enroll.RCNotAuthorised)
	nonce, err := c.Challenge(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.Challenge(ctx); err != nil || again != nonce {
		t.Fatalf("the nonce changed: %v", err)
	}
	wantRC(t, "rework for another nonce", c.Rework(ctx, 0, sign(token(t))), enroll.RCNotAuthorised)
	wantRC(t, "rework with a key not stored", c.Rework(ctx, 1, sign(nonce)), enroll.RCNotAuthorised)
	sig := sign(nonce)
	for range 2 { // the second one repeats a lost answer
		if err := c.Rework(ctx, 0, sig); err != nil {
			t.Fatal(err)
		}
	}
	info, err := c.Info(ctx)
	if err != nil || info.State != enroll.Blank || info.SPKI != nil || info.Chain != nil || info.Rework != nil {
		t.Fatalf("after rework: %+v, %v", info, err)
	}
	flash := b.flash(t)
	if bytes.Contains(flash, u.chain) || bytes.Contains(flash, u.token[:]) {
		t.Fatal("the old chain or token is still in flash")
	}
}

func TestPinnedRootRefusesForeignChain(t *testing.T) {
	ctx := deadline(t)
	ours, foreign := newPlant(t), newPlant(t)
	b := newBoard(t, "--root", ours.pin(t))
	c := connect(t, b)
	u := keyAndChain(ctx, t, c, foreign, "ES256")
	wantRC(t, "commit", c.Commit(ctx, *digest(u.chain), nil, nil), enroll.RCUntrusted)
	if info, err := c.Info(ctx); err != nil || info.State != enroll.Keyed || info.Chain != nil {
		t.Fatalf("after the refusal: %+v, %v", info, err)
	}
	mine := ours.certify(t, u.pub)
	if err := c.Put(ctx, "chain", mine); err != nil {
		t.Fatal(err)
	}
	if err := c.Commit(ctx, *digest(mine), nil, nil); err != nil {
		t.Fatal(err)
	}
}

// A chain whose signatures hold is still no chain when the names do not follow.
func TestLinkByNameToo(t *testing.T) {
	ctx := deadline(t)
	p := newPlant(t)
	c := connect(t, newBoard(t))
	u := keyAndChain(ctx, t, c, p, "ES256")
	leaf := u.chain[:len(u.chain)-len(p.issuer.Raw)]
	renamed := authority(t, "Renamed", p.issuerKey, p.root, p.rootKey)
	chain := slices.Concat(leaf, renamed.Raw)
	if err := c.Put(ctx, "chain", chain); err != nil {
		t.Fatal(err)
	}
	wantRC(t, "commit", c.Commit(ctx, *digest(chain), nil, nil), enroll.RCChain)
}

// The same token gets the same key in every state that allows it, another one
// the existing key, until it says replace.
func TestToken(t *testing.T) {
	ctx := deadline(t)
	p := newPlant(t)
	b := newBoard(t)
	c := connect(t, b)
	first := token(t)
	spki, made, err := c.Keygen(ctx, "ES256", first, false)
	if err != nil || !made {
		t.Fatalf("keygen: %v, %v", made, err)
	}
	c.close(t)
	b.powerCut(t)
	c = connect(t, b)
	same := func(what string, tok [32]byte, replace, wantNew bool) {
		t.Helper()
		got, made, err := c.Keygen(ctx, "ES256", tok, replace)
		if err != nil || got != spki || made != wantNew {
			t.Fatalf("%s: same key %v, new %v, %v", what, got == spki, made, err)
		}
	}
	same("token again after a power cut", first, false, true)
	same("token again with replace", first, true, true)
	same("another token", token(t), false, false)
	_, _, err = c.Keygen(ctx, "ES384", first, false)
	wantRC(t, "same token, other algorithm", err, enroll.RCAlgorithm)
	_, _, err = c.Keygen(ctx, "ES384", token(t), false)
	wantRC(t, "other token and algorithm", err, enroll.RCAlgorithm)
	_, _, err = c.Keygen(ctx, "RS256", token(t), true)
	wantRC(t, "unknown algorithm", err, enroll.RCAlgorithm)

	chain := p.certify(t, checkRequest(ctx, t, c, spki))
	if err := c.Put(ctx, "chain", chain); err != nil {
		t.Fatal(err)
	}
	if err := c.Commit(ctx, *digest(chain), nil, nil); err != nil {
		t.Fatal(err)
	}
	_, _, err = c.Keygen(ctx, "ES256", first, false)
	wantRC(t, "keygen when installed", err, enroll.RCWrongState)
	same("token again with replace when installed", first, true, true)
	if got, made, err := c.Keygen(ctx, "ES256", token(t), true); err != nil || !made || got == spki {
		t.Fatalf("replace: %v, %v", made, err)
	}
	if info, err := c.Info(ctx); err != nil || info.State != enroll.Keyed || info.Chain != nil {
		t.Fatalf("after replace: %+v, %v", info, err)
	}
}
