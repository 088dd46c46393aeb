// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/smp"
)

// besidesData is what a put needs in a packet besides its data, at most.
const besidesData = 88

// A bench is a board under test, and what this run knows of it.
type bench struct {
	cfg     Config
	wire    *wire
	session *enroll.Session
	dead    string                  // why no further check can be made
	stuck   map[enroll.State]string // why the board does not get there

	facts facts // as last read
	buf   int   // the board's MCUmgr buffer, 0: it does not say

	alg   string // of the board's present key, which this run saw made
	token [32]byte
	spki  [32]byte
	pub   crypto.PublicKey // from its CSR, nil before

	rework   *ecdsa.PrivateKey
	throw    *Authority // a throw-away root whose algorithm the board can check
	root     *Authority // that leads to acceptance, nil when there is none
	chain    []byte     // objects of the last installation
	certs    [][]byte   // of chain, DER
	anchors  []byte
	keys     []byte // the rework object
	unlocked []byte // the signature that unlocked the board last
}

// facts is info as far as it can be read; what is absent is nil.
type facts struct {
	Model   *string  `cbor:"model"`
	UID     []byte   `cbor:"uid"`
	State   *uint64  `cbor:"state"`
	Algs    []string `cbor:"algs"`
	Chunk   *uint64  `cbor:"chunk"`
	Max     *uint64  `cbor:"max"`
	Boot    []byte   `cbor:"boot"`
	Verify  []string `cbor:"verify"`
	Prot    *uint64  `cbor:"prot"`
	Alg     *string  `cbor:"alg"`
	SPKI    []byte   `cbor:"spki"`
	Chain   []byte   `cbor:"chain"`
	Anchors []byte   `cbor:"anchors"`
	Rework  []byte   `cbor:"rework"`
	Root    []byte   `cbor:"root"`
}

func newBench(cfg Config) (*bench, error) {
	t := &tap{Stream: cfg.Stream}
	b := &bench{cfg: cfg, wire: newWire(t, cfg.Baud), rework: cfg.Rework, stuck: map[enroll.State]string{}}
	client := smp.NewClient(smp.ClientConfig{Stream: t, Baud: cfg.Baud, Log: cfg.Log})
	b.session = enroll.New(enroll.Config{Client: client, Group: cfg.Group, Log: cfg.Log})
	if b.rework == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make the rework key: %w", err)
		}
		b.rework = key
	}
	var err error
	if b.keys, err = x509.MarshalPKIXPublicKey(b.rework.Public()); err != nil {
		return nil, fmt.Errorf("encode the rework key: %w", err)
	}
	return b, nil
}

func (b *bench) group() uint16 {
	if b.cfg.Group == 0 {
		return 64
	}
	return b.cfg.Group
}

// look reads info.
func (b *bench) look(ctx context.Context) error {
	var f facts
	if err := b.accept(ctx, "info", infoCall(), &f); err != nil {
		return err
	}
	b.facts = f
	return nil
}

// state is what info showed last; a board that says none is in none.
func (b *bench) state() enroll.State {
	if b.facts.State == nil || *b.facts.State > uint64(enroll.Locked) {
		return anyState
	}
	return enroll.State(*b.facts.State)
}

func (b *bench) chunk() int {
	chunk := 64
	if c := b.facts.Chunk; c != nil && *c >= 64 && *c <= 2048 {
		chunk = int(*c)
	}
	if b.buf > besidesData {
		chunk = min(chunk, b.buf-besidesData)
	}
	return chunk
}

// ours tells whether the board holds what this run gave it.
func (b *bench) ours() bool {
	s := b.state()
	if s == enroll.Blank {
		return true
	}
	if b.alg == "" || !bytes.Equal(b.facts.SPKI, b.spki[:]) {
		return false
	}
	return s == enroll.Keyed || b.chain != nil && bytes.Equal(b.facts.Chain, sum(b.chain)) && bytes.Equal(b.facts.Rework, sum(b.keys))
}

// bring moves the board to a state, by the shortest way of a board's life, with
// a key and objects that this run made. A wrongError says where it ends.
func (b *bench) bring(ctx context.Context, want enroll.State) error {
	const most = 6 // locked, blank, keyed, installed, locked, blank
	for range most + 1 {
		if err := b.look(ctx); err != nil {
			return err
		}
		s := b.state()
		if s == want && b.ours() {
			return nil
		}
		var err error
		switch {
		case s == enroll.Locked:
			err = b.unlock(ctx)
		case s == enroll.Blank:
			err = b.makeKey(ctx, "ES256", false)
		case s > enroll.Locked:
			err = wrong("info", "a state from 0 to 3", "none")
		case !b.ours() || s == enroll.Installed && want == enroll.Keyed:
			err = b.makeKey(ctx, "ES256", true)
		case s == enroll.Keyed:
			err = b.install(ctx)
		default:
			err = b.lock(ctx)
		}
		if err != nil {
			return err
		}
	}
	return wrong("the way to "+want.String(), "that state", "%v", b.state())
}

// keyAnswer is the answer to keygen.
type keyAnswer struct {
	SPKI *[32]byte `cbor:"spki"`
	New  *bool     `cbor:"new"`
}

// keygen asks for a key and demands the answer's keys.
func (b *bench) keygen(ctx context.Context, step string, c call) (spki [32]byte, isNew bool, err error) {
	var a keyAnswer
	if err := b.accept(ctx, step, c, &a); err != nil {
		return spki, false, err
	}
	if a.SPKI == nil || a.New == nil {
		return spki, false, wrong(step, "spki and new", "an answer without them")
	}
	return *a.SPKI, *a.New, nil
}

// makeKey has the board make a key under a new token.
func (b *bench) makeKey(ctx context.Context, alg string, replace bool) error {
	step := "keygen of " + alg + " with a new token"
	if replace {
		step += " and replace"
	}
	token := random32()
	spki, isNew, err := b.keygen(ctx, step, keygenCall(alg, token, replace))
	if err != nil {
		return err
	}
	if !isNew {
		return wrong(step, "new true", "new false")
	}
	b.token, b.spki, b.alg, b.pub = token, spki, alg, nil
	return nil
}

// knowKey takes the public key of a keyed board out of a CSR. What is wrong
// with the CSR is the matter of its own checks.
func (b *bench) knowKey(ctx context.Context) error {
	if b.pub != nil {
		return nil
	}
	der, err := b.request(ctx, "unit", "", random32())
	var r *x509.CertificateRequest
	if err == nil {
		if r, err = x509.ParseCertificateRequest(der); err == nil && sha256.Sum256(r.RawSubjectPublicKeyInfo) != b.spki {
			err = errors.New("it is of another key than keygen's")
		}
	}
	var link *smp.LinkError
	switch {
	case err == nil:
		b.pub = r.PublicKey
		return nil
	case errors.As(err, &link) || ctx.Err() != nil:
		return err
	}
	return unchecked("the board's public key is not known from its csr: %v", err)
}

// install puts a fresh chain, anchors and the rework object, and commits them.
func (b *bench) install(ctx context.Context) error {
	if b.root == nil {
		return unchecked("the board pins a root; its test root and key are needed to go on")
	}
	if err := b.knowKey(ctx); err != nil {
		return err
	}
	certs, err := b.accepted()
	if err != nil {
		return err
	}
	b.certs, b.chain, b.anchors = certs, slices.Concat(certs...), b.root.cert.Raw
	if err := b.putAll(ctx, b.objects()); err != nil {
		return err
	}
	return b.accept(ctx, "commit of chain, anchors and rework", commitCall(b.chain, b.anchors, b.keys), nil)
}

// An object is a name and its bytes.
type object struct {
	name string
	data []byte
}

func (b *bench) objects() []object {
	return []object{{"chain", b.chain}, {"anchors", b.anchors}, {"rework", b.keys}}
}

func (b *bench) lock(ctx context.Context) error {
	return b.accept(ctx, "lock", lockCall(sum(b.chain)), nil)
}

// unlock reworks a locked board, and remembers by which signature.
func (b *bench) unlock(ctx context.Context) error {
	nonce, err := b.challenge(ctx, "challenge")
	if err != nil {
		return err
	}
	sig, err := b.reworkSignature(b.rework, nonce)
	if err != nil {
		return err
	}
	b.unlocked = sig
	return b.accept(ctx, "rework", reworkCall(0, sig), nil)
}

func (b *bench) challenge(ctx context.Context, step string) ([32]byte, error) {
	var a struct {
		Nonce *[32]byte `cbor:"nonce"`
	}
	if err := b.accept(ctx, step, challengeCall(), &a); err != nil {
		return [32]byte{}, err
	}
	if a.Nonce == nil {
		return [32]byte{}, wrong(step, "a nonce of 32 bytes", "none")
	}
	return *a.Nonce, nil
}

// reworkSignature signs for the key and uid that info showed last.
func (b *bench) reworkSignature(key *ecdsa.PrivateKey, nonce [32]byte) ([]byte, error) {
	if len(b.facts.SPKI) != sha256.Size {
		return nil, wrong("info of a locked board", "spki", "%d bytes", len(b.facts.SPKI))
	}
	digest := sha256.Sum256(enroll.ReworkMessage(nonce, [32]byte(b.facts.SPKI), b.facts.UID))
	return ecdsa.SignASN1(rand.Reader, key, digest[:])
}

func random32() (b [32]byte) {
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return b
}

func sum(b []byte) []byte {
	d := sha256.Sum256(b)
	return d[:]
}
