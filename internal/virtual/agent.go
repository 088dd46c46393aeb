// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"slices"
	"unicode/utf8"

	"provisioning.example/station/internal/smp"
)

// Commands of the enrollment group.
const (
	cmdEnrollInfo = iota
	cmdKeygen
	cmdCSR
	cmdGet
	cmdPut
	cmdCommit
	cmdProve
	cmdTLSSign
	cmdLock
	cmdChallenge
	cmdRework
)

// A refusal is an error answer of the enrollment group.
type refusal struct {
	rc  int
	off *uint64 // with rc 4
	obj string  // with rc 4 and 5 of commit
}

// A command is one row of the protocol's table.
type command struct {
	write bool
	key   bool // works with the key: takes Config.Compute
	run   func(*Board, []byte) (any, *refusal)
}

// commands are indexed by their number.
var commands = [...]command{
	cmdEnrollInfo: {run: bind(nil, in(0, 1, 2, 3), (*Board).info)},
	cmdKeygen: {write: true, key: true, run: bind((*keygenRequest).shape, func(r *keygenRequest) []byte {
		if r.Replace {
			return []byte{0, 1, 2}
		}
		return []byte{0, 1}
	}, (*Board).keygen)},
	cmdCSR: {write: true, key: true, run: bind((*csrBody).shape, inState[csrBody](1), (*Board).csr)},
	cmdGet: {run: bind((*getRequest).shape, func(r *getRequest) []byte {
		if *r.Obj == "csr" {
			return []byte{1}
		}
		return []byte{2, 3}
	}, (*Board).get)},
	cmdPut:       {write: true, run: bind((*putRequest).shape, inState[putRequest](1, 2), (*Board).put)},
	cmdCommit:    {write: true, key: true, run: bind((*commitRequest).shape, inState[commitRequest](1, 2), (*Board).commit)},
	cmdProve:     {write: true, key: true, run: bind((*nonceRequest).shape, inState[nonceRequest](2, 3), (*Board).prove)},
	cmdTLSSign:   {write: true, key: true, run: bind((*tlsRequest).shape, inState[tlsRequest](2), (*Board).tlsSign)},
	cmdLock:      {write: true, run: bind((*lockRequest).shape, inState[lockRequest](2, 3), (*Board).lock)},
	cmdChallenge: {run: bind(nil, in(3), (*Board).challenge)},
	cmdRework:    {write: true, key: true, run: bind((*reworkRequest).shape, inState[reworkRequest](0, 3), (*Board).rework)},
}

func takesCompute(cmd uint8) bool { return int(cmd) < len(commands) && commands[cmd].key }

type empty struct{}

func in(states ...byte) func(*empty) []byte { return inState[empty](states...) }

func inState[T any](states ...byte) func(*T) []byte {
	return func(*T) []byte { return states }
}

// bind makes a command out of its parts in the protocol's order of checks:
// CBOR and shape (1), state (11 in state 3, else 2), then content.
func bind[T any](shape func(*T, *Config) bool, states func(*T) []byte, do func(*Board, *T) (any, *refusal)) func(*Board, []byte) (any, *refusal) {
	return func(b *Board, payload []byte) (any, *refusal) {
		var r T
		if smp.Unmarshal(payload, &r) != nil || shape != nil && !shape(&r, &b.cfg) {
			return nil, &refusal{rc: rcMalformed}
		}
		if !slices.Contains(states(&r), b.flash.state) {
			if b.flash.state == stateLocked {
				return nil, &refusal{rc: rcLocked}
			}
			return nil, &refusal{rc: rcWrongState}
		}
		return do(b, &r)
	}
}

// infoAnswer is the answer to info.
type infoAnswer struct {
	Agent   string    `cbor:"agent"`
	Proto   int       `cbor:"proto"`
	Model   string    `cbor:"model"`
	HW      string    `cbor:"hw"`
	UID     []byte    `cbor:"uid"`
	FW      string    `cbor:"fw"`
	State   byte      `cbor:"state"`
	Algs    []string  `cbor:"algs"`
	Chunk   int       `cbor:"chunk"`
	Max     int       `cbor:"max"`
	Boot    [16]byte  `cbor:"boot"`
	Verify  []string  `cbor:"verify"`
	Prot    uint8     `cbor:"prot"`
	Alg     string    `cbor:"alg,omitempty"`
	SPKI    *[32]byte `cbor:"spki,omitempty"`
	Chain   *[32]byte `cbor:"chain,omitempty"`
	Anchors *[32]byte `cbor:"anchors,omitempty"`
	Rework  *[32]byte `cbor:"rework,omitempty"`
	Root    *[32]byte `cbor:"root,omitempty"`
}

func (b *Board) info(*empty) (any, *refusal) {
	a := infoAnswer{
		Agent: "station-enroll", Proto: 1, Model: b.cfg.Model, HW: b.cfg.HW, UID: b.uid, FW: b.firmware(),
		State: b.flash.state, Algs: b.cfg.Algs, Chunk: b.cfg.Chunk, Max: b.cfg.Max, Boot: b.ram.boot,
		Verify: b.cfg.Verify, Prot: b.cfg.Prot, Root: b.rootDigest(),
		Chain: b.flash.digest("chain"), Anchors: b.flash.digest("anchors"), Rework: b.flash.digest("rework"),
	}
	if b.flash.key != nil {
		spki := sha256.Sum256(b.flash.spki)
		a.Alg, a.SPKI = b.flash.alg.name, &spki
	}
	if b.fault.info != nil {
		b.fault.info(&a)
	}
	return a, nil
}

func (b *Board) rootDigest() *[32]byte {
	if b.cfg.Root == nil {
		return nil
	}
	d := sha256.Sum256(b.cfg.Root.Raw)
	return &d
}

type keygenRequest struct {
	Alg     *string   `cbor:"alg"`
	Token   *[32]byte `cbor:"token"`
	Replace bool      `cbor:"replace"`
}

func (r *keygenRequest) shape(*Config) bool { return r.Alg != nil && r.Token != nil }

type keygenAnswer struct {
	SPKI [32]byte `cbor:"spki"`
	New  bool     `cbor:"new"`
}

// keygen makes a key, unless the board has one that it must keep. The same
// token again changes nothing, whatever "replace" says.
func (b *Board) keygen(r *keygenRequest) (any, *refusal) {
	alg := algorithmByName(*r.Alg)
	if alg == nil || !slices.Contains(b.cfg.Algs, *r.Alg) {
		return nil, &refusal{rc: rcAlgorithm}
	}
	if b.flash.key != nil {
		ours := b.flash.token == *r.Token
		other := b.flash.alg.name != alg.name
		switch {
		case other && (ours || !r.Replace):
			return nil, &refusal{rc: rcAlgorithm}
		case ours || !r.Replace:
			return keygenAnswer{sha256.Sum256(b.flash.spki), ours}, nil
		}
	}
	key, err := b.makeKey(&alg)
	if err != nil {
		return nil, &refusal{rc: rcEntropy}
	}
	spki, err := spkiOf(key.Public())
	if err != nil {
		return nil, &refusal{rc: rcEntropy}
	}
	b.flash = flash{state: stateKeyed, alg: alg, key: key, spki: spki, token: *r.Token, objects: map[string][]byte{}}
	b.ram.csr, b.ram.staging = nil, map[string]*staged{}
	return keygenAnswer{sha256.Sum256(spki), true}, nil
}

func (b *Board) makeKey(alg **algorithm) (crypto.Signer, error) {
	if b.fault.makeKey != nil {
		return b.fault.makeKey(b, alg)
	}
	return (*alg).generate(b.cfg.Rand)
}

type csrBody struct {
	CN    *string   `cbor:"cn"`
	SN    *string   `cbor:"sn"`
	Nonce *[32]byte `cbor:"nonce"`
}

func (r *csrBody) shape(*Config) bool {
	if r.CN == nil || r.Nonce == nil || len(*r.CN) < 1 || len(*r.CN) > 64 || !utf8.ValidString(*r.CN) {
		return false
	}
	return r.SN == nil || len(*r.SN) >= 1 && len(*r.SN) <= 64 && isPrintable(*r.SN)
}

// isPrintable tells whether s is a PrintableString (X.680, 41.4).
func isPrintable(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && bytes.IndexByte([]byte(" '()+,-./:=?"), c) < 0 {
			return false
		}
	}
	return true
}

type objectAnswer struct {
	Len int      `cbor:"len"`
	SHA [32]byte `cbor:"sha"`
}

// csr signs a request. The same request again answers the same bytes, as long
// as the power stays.
func (b *Board) csr(r *csrBody) (any, *refusal) {
	want := csrRequest{cn: *r.CN, nonce: *r.Nonce}
	if r.SN != nil {
		want.sn = *r.SN
	}
	if b.ram.csr == nil || b.ram.csrOf != want {
		der, err := b.makeCSR(want)
		if err != nil {
			return nil, &refusal{rc: rcEntropy}
		}
		b.ram.csr, b.ram.csrOf = der, want
	}
	return objectAnswer{len(b.ram.csr), sha256.Sum256(b.ram.csr)}, nil
}

func (b *Board) makeCSR(r csrRequest) ([]byte, error) {
	alg, key, spki := b.flash.alg, b.flash.key, b.flash.spki
	if b.fault.csr != nil {
		alg, key, spki = b.fault.csr(b, &r)
	}
	tbs, err := csrTBS(r, spki)
	if err != nil {
		return nil, err
	}
	return signCSR(b.cfg.Rand, alg, key, tbs)
}

type nonceRequest struct {
	Nonce *[32]byte `cbor:"nonce"`
}

func (r *nonceRequest) shape(*Config) bool { return r.Nonce != nil }

type sigAnswer struct {
	Sig []byte `cbor:"sig"`
}

func (b *Board) prove(r *nonceRequest) (any, *refusal) {
	f := &b.flash
	m := proveMessage(*r.Nonce, f.digest("chain"), f.digest("anchors"), f.digest("rework"), b.rootDigest(), b.cfg.Prot, f.state, b.uid)
	return b.sign(cmdProve, m)
}

type tlsRequest struct {
	TBS []byte `cbor:"tbs"`
}

func (r *tlsRequest) shape(*Config) bool { return r.TBS != nil }

func (b *Board) tlsSign(r *tlsRequest) (any, *refusal) {
	if !isCertificateVerify(r.TBS) {
		return nil, &refusal{rc: rcMalformed}
	}
	return b.sign(cmdTLSSign, r.TBS)
}

func (b *Board) sign(cmd uint8, message []byte) (any, *refusal) {
	key, sign := b.flash.key, b.flash.alg.sign
	if b.fault.signer != nil {
		key = b.fault.signer(b, cmd)
	}
	if cmd == cmdTLSSign {
		sign = b.flash.alg.signTLS
	}
	sig, err := sign(b.cfg.Rand, key, message)
	if err != nil {
		return nil, &refusal{rc: rcEntropy}
	}
	return sigAnswer{sig}, nil
}

type lockRequest struct {
	Chain *[32]byte `cbor:"chain"`
}

func (r *lockRequest) shape(*Config) bool { return r.Chain != nil }

type stateAnswer struct {
	State byte `cbor:"state"`
}

func (b *Board) lock(r *lockRequest) (any, *refusal) {
	if d := b.flash.digest("chain"); d == nil || *d != *r.Chain {
		return nil, &refusal{rc: rcDigest}
	}
	b.flash = b.flash.with(func(f *flash) { f.state = stateLocked })
	return stateAnswer{stateLocked}, nil
}

// challenge gives one nonce, the same until a rework succeeds or the board
// resets.
func (b *Board) challenge(*empty) (any, *refusal) {
	if b.ram.nonce == nil {
		b.ram.nonce = new([32]byte)
		b.random(b.ram.nonce[:])
	}
	return nonceRequest{b.ram.nonce}, nil
}

type reworkRequest struct {
	Key *uint64 `cbor:"key"`
	Sig []byte  `cbor:"sig"`
}

func (r *reworkRequest) shape(*Config) bool { return r.Key != nil && *r.Key <= 1 && r.Sig != nil }

// rework erases everything for whom holds a rework key. In state 0 only the
// repeat of the request that succeeded is known.
func (b *Board) rework(r *reworkRequest) (any, *refusal) {
	if b.flash.state == stateBlank {
		if b.ram.reworked == nil || !bytes.Equal(b.ram.reworked, r.Sig) {
			return nil, &refusal{rc: rcWrongState}
		}
		return stateAnswer{stateBlank}, nil
	}
	keys, ok := splitRework(b.flash.objects["rework"])
	if !ok || *r.Key >= uint64(len(keys)) || b.ram.nonce == nil {
		return nil, &refusal{rc: rcNotAuthorised}
	}
	m := reworkMessage(*b.ram.nonce, sha256.Sum256(b.flash.spki), b.uid)
	if verifyP256(keys[*r.Key], m, r.Sig) != nil {
		return nil, &refusal{rc: rcNotAuthorised}
	}
	b.flash = flash{objects: map[string][]byte{}}
	b.ram.csr, b.ram.staging, b.ram.nonce = nil, map[string]*staged{}, nil
	b.ram.reworked = bytes.Clone(r.Sig)
	return stateAnswer{stateBlank}, nil
}
