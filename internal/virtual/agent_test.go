// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"provisioning.example/station/internal/smp"
)

type obj = map[string]any

// newBoard returns a sound board without a cable.
func newBoard(t testing.TB, cfg Config) *Board {
	t.Helper()
	if cfg.UID == nil {
		cfg.UID = []byte("uid-of-12-by")
	}
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// reply is an answer of any command.
type reply struct {
	RC      int    `cbor:"rc"`
	Off     uint64 `cbor:"off"`
	Obj     string `cbor:"obj"`
	Len     uint64 `cbor:"len"`
	Data    []byte `cbor:"data"`
	State   *byte  `cbor:"state"`
	SPKI    []byte `cbor:"spki"`
	New     bool   `cbor:"new"`
	SHA     []byte `cbor:"sha"`
	Sig     []byte `cbor:"sig"`
	Nonce   []byte `cbor:"nonce"`
	R       string `cbor:"r"`
	Output  string `cbor:"output"`
	BufSize int    `cbor:"buf_size"`
	Err     struct {
		Group uint16 `cbor:"group"`
		RC    int    `cbor:"rc"`
	} `cbor:"err"`
}

// send gives the board a message and returns its answer.
func send(t testing.TB, b *Board, m smp.Message) (r reply) {
	t.Helper()
	_, payload := b.respond(m)
	if err := smp.Unmarshal(payload, &r); err != nil {
		t.Fatalf("answer %x: %v", payload, err)
	}
	return r
}

// ask sends one command of group 64 with its right operation.
func ask(t testing.TB, b *Board, cmd uint8, body obj) reply {
	t.Helper()
	if body == nil {
		body = obj{}
	}
	payload, err := smp.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	m := smp.Message{Op: smp.OpRead, Version: 1, Group: 64, Cmd: cmd, Payload: payload}
	if commands[cmd].write {
		m.Op = smp.OpWrite
	}
	return send(t, b, m)
}

func wantRC(t testing.TB, what string, r reply, rc int) {
	t.Helper()
	if r.Err.RC != rc || rc != 0 && r.Err.Group != 64 {
		t.Errorf("%s: rc %d, want %d", what, r.Err.RC, rc)
	}
}

// withKey puts a board into state 1 with a key of the vectors.
func withKey(t testing.TB, b *Board, d []byte) {
	t.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		t.Fatal(err)
	}
	b.flash = flash{
		state: stateKeyed, alg: algorithmByName("ES256"), key: key, spki: mustSPKI(t, key.Public()),
		token: [32]byte{1}, objects: map[string][]byte{},
	}
}

// stage puts an object, up to n bytes of it, in chunks of 100.
func stage(t testing.TB, b *Board, name string, data []byte, n int, sha []byte) {
	t.Helper()
	for off := 0; off == 0 || off < n; {
		body := obj{"obj": name, "off": off, "data": data[off:min(n, off+100)]}
		if off == 0 {
			body["len"], body["sha"] = len(data), sha
		}
		r := ask(t, b, cmdPut, body)
		wantRC(t, "put", r, 0)
		if n == 0 {
			return
		}
		if off = int(r.Off); off == 0 {
			t.Fatal("put does not advance")
		}
	}
}

// TestCommitVectors runs every vector of commit through put and commit.
func TestCommitVectors(t *testing.T) {
	for _, c := range readVectors(t, "commit.txt") {
		t.Run(c.Name, func(t *testing.T) {
			cfg := Config{Verify: strings.Split(c.Text("verify_text"), ",")}
			if c.Has("root") {
				root, err := x509.ParseCertificate(c.Fields["root"])
				if err != nil {
					t.Fatal(err)
				}
				cfg.Root = root
			}
			b := newBoard(t, cfg)
			withKey(t, b, c.Fields["d"])
			body := obj{}
			for _, o := range objectNames {
				sha := sha256.Sum256(c.Fields[o])
				if c.Has(o + "_sha") {
					body[o] = c.Fields[o+"_sha"]
					sha = [32]byte(c.Fields[o+"_sha"])
				}
				if c.Has(o) {
					n := len(c.Fields[o])
					if c.Has(o + "_put") {
						n = int(binary.BigEndian.Uint16(c.Fields[o+"_put"]))
					}
					stage(t, b, o, c.Fields[o], n, sha[:])
				}
			}
			r := ask(t, b, cmdCommit, body)
			wantRC(t, "commit", r, int(c.Fields["rc"][0]))
			if r.Obj != c.Text("obj_text") {
				t.Errorf("obj %q, want %q", r.Obj, c.Text("obj_text"))
			}
			if r.Err.RC != 0 {
				if b.State() != stateKeyed || b.Chain() != nil {
					t.Error("something was stored all the same")
				}
				return
			}
			for name := range body {
				if !bytes.Equal(b.Object(name), c.Fields[name]) {
					t.Errorf("%s is not stored", name)
				}
			}
		})
	}
}

// TestDigestDropsStaging: what is staged has another digest than commit names;
// after rc 5 all objects must be put again.
func TestDigestDropsStaging(t *testing.T) {
	b := newBoard(t, Config{})
	withKey(t, b, scalarOf("drop"))
	wrong, data := make([]byte, 32), []byte("data")
	right := sha256.Sum256(data)
	stage(t, b, "anchors", data, 4, right[:])
	stage(t, b, "chain", data, 4, wrong)
	wantRC(t, "commit", ask(t, b, cmdCommit, obj{"chain": wrong}), rcDigest)
	r := ask(t, b, cmdPut, obj{"obj": "anchors", "off": 4, "data": []byte{}})
	wantRC(t, "put where staging is gone", r, rcOffset)
	if r.Off != 0 {
		t.Errorf("offset %d, want 0", r.Off)
	}
}

// TestCSRVectors compares what a board asks for with the vectors.
func TestCSRVectors(t *testing.T) {
	for _, c := range readVectors(t, "csr.txt") {
		b := newBoard(t, Config{})
		withKey(t, b, c.Fields["d"])
		body := obj{"cn": string(c.Fields["cn"]), "nonce": c.Fields["nonce"]}
		if c.Has("sn") {
			body["sn"] = string(c.Fields["sn"])
		}
		r := ask(t, b, cmdCSR, body)
		wantRC(t, c.Name, r, 0)
		csr, err := x509.ParseCertificateRequest(b.ram.csr)
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		if err := csr.CheckSignature(); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		if !bytes.Equal(csr.RawTBSCertificateRequest, c.Fields["tbs"]) {
			t.Errorf("%s: asks for %x", c.Name, csr.RawTBSCertificateRequest)
		}
		if again := ask(t, b, cmdCSR, body); !bytes.Equal(again.SHA, r.SHA) {
			t.Errorf("%s: the same request answers other bytes", c.Name)
		}
	}
}

// TestProveVectors has a board in the vectors' condition prove it.
func TestProveVectors(t *testing.T) {
	for _, c := range readVectors(t, "prove.txt") {
		digest := func(key string) *[32]byte {
			if !c.Has(key) {
				return nil
			}
			d := [32]byte(c.Fields[key])
			return &d
		}
		m := proveMessage([32]byte(c.Fields["nonce"]), digest("chain"), digest("anchors"), digest("rework"), digest("root"),
			c.Fields["prot"][0], c.Fields["state"][0], c.Fields["uid"])
		if !bytes.Equal(m, c.Fields["message"]) {
			t.Errorf("%s: message %x", c.Name, m)
		}
	}
}

// TestProve checks the board's signature over what it really stores.
func TestProve(t *testing.T) {
	e := newEstate(t)
	b := newBoard(t, Config{Root: e.root.cert, Prot: 9})
	b.flash = flash{
		state: stateInstalled, alg: algorithmByName("ES256"), key: e.device, spki: mustSPKI(t, e.device.Public()),
		objects: map[string][]byte{"chain": der(e.leaf, e.inter), "anchors": e.root.der},
	}
	nonce, chain, anchors, root := [32]byte{5}, sha256.Sum256(der(e.leaf, e.inter)), sha256.Sum256(e.root.der), sha256.Sum256(e.root.der)
	for _, state := range []byte{stateInstalled, stateLocked} {
		b.flash.state = state
		r := ask(t, b, cmdProve, obj{"nonce": nonce[:]})
		wantRC(t, "prove", r, 0)
		m := proveMessage(nonce, &chain, &anchors, nil, &root, 9, state, b.uid)
		if err := verifyP256(b.flash.spki, m, r.Sig); err != nil {
			t.Errorf("state %d: %v", state, err)
		}
	}
}

func TestTLSVectors(t *testing.T) {
	b := newBoard(t, Config{})
	withKey(t, b, scalarOf("tls"))
	b.flash.state = stateInstalled
	for _, c := range readVectors(t, "tls.txt") {
		r := ask(t, b, cmdTLSSign, obj{"tbs": c.Fields["tbs"]})
		wantRC(t, c.Name, r, int(c.Fields["rc"][0]))
		if r.Err.RC == 0 && verifyP256(b.flash.spki, c.Fields["tbs"], r.Sig) != nil {
			t.Errorf("%s: wrong signature", c.Name)
		}
	}
}

// TestReworkVectors runs the vectors through a locked board that has just given
// their nonce.
func TestReworkVectors(t *testing.T) {
	for _, c := range readVectors(t, "rework.txt") {
		b := newBoard(t, Config{UID: c.Fields["uid"]})
		withKey(t, b, c.Fields["d"])
		if spki := sha256.Sum256(b.flash.spki); !bytes.Equal(spki[:], c.Fields["spki"]) {
			t.Errorf("%s: spki is not the digest of d's key", c.Name)
		}
		b.flash.state = stateLocked
		if c.Has("rework") {
			b.flash.objects["rework"] = c.Fields["rework"]
		}
		nonce := [32]byte(c.Fields["nonce"])
		b.ram.nonce = &nonce
		if m := reworkMessage(nonce, [32]byte(c.Fields["spki"]), b.uid); !bytes.Equal(m, c.Fields["message"]) {
			t.Errorf("%s: message %x", c.Name, m)
		}
		body := obj{"key": int(c.Fields["key"][0]), "sig": c.Fields["sig"]}
		rc := int(c.Fields["rc"][0])
		wantRC(t, c.Name, ask(t, b, cmdRework, body), rc)
		if blank := b.State() == stateBlank && b.SPKI() == nil && b.Object("rework") == nil; blank != (rc == 0) {
			t.Errorf("%s: blank %v", c.Name, blank)
		}
		if rc == 0 {
			wantRC(t, c.Name+", again", ask(t, b, cmdRework, body), 0)
		}
	}
}

// TestStates sends a well-formed request of each command in each state.
func TestStates(t *testing.T) {
	d32 := make([]byte, 32)
	requests := []struct {
		cmd  uint8
		name string
		body obj
		rc   [4]int // by state
	}{
		{cmdEnrollInfo, "info", nil, [4]int{0, 0, 0, 0}},
		{cmdKeygen, "keygen", obj{"alg": "ES256", "token": d32}, [4]int{0, 0, 2, 11}},
		{cmdKeygen, "keygen replace", obj{"alg": "ES256", "token": d32, "replace": true}, [4]int{0, 0, 0, 11}},
		{cmdCSR, "csr", obj{"cn": "x", "nonce": d32}, [4]int{2, 0, 2, 11}},
		{cmdGet, "get csr", obj{"obj": "csr", "off": 0}, [4]int{2, 2, 2, 11}}, // none was asked for
		{cmdGet, "get chain", obj{"obj": "chain", "off": 0}, [4]int{2, 2, 0, 0}},
		{cmdGet, "get anchors", obj{"obj": "anchors", "off": 0}, [4]int{2, 2, 2, 2}}, // absent
		{cmdPut, "put", obj{"obj": "chain", "off": 0, "data": []byte{1}, "len": 1, "sha": d32}, [4]int{2, 0, 0, 11}},
		{cmdCommit, "commit", obj{"chain": d32}, [4]int{2, 2, 2, 11}}, // not staged
		{cmdProve, "prove", obj{"nonce": d32}, [4]int{2, 2, 0, 0}},
		{cmdTLSSign, "tls-sign", obj{"tbs": append(bytes.Clone(tlsPrefix), d32...)}, [4]int{2, 2, 0, 11}},
		{cmdTLSSign, "tls-sign of something else", obj{"tbs": []byte{1}}, [4]int{2, 2, 1, 11}}, // after the state check
		{cmdLock, "lock", obj{"chain": d32}, [4]int{2, 2, 5, 5}},                               // another digest
		{cmdChallenge, "challenge", nil, [4]int{2, 2, 2, 0}},
		{cmdRework, "rework", obj{"key": 0, "sig": []byte{1}}, [4]int{2, 2, 2, 12}},
	}
	e := newEstate(t)
	for state := range byte(4) {
		for _, r := range requests {
			b := newBoard(t, Config{})
			if state > 0 {
				b.flash = flash{state: state, alg: algorithmByName("ES256"), key: e.device, spki: mustSPKI(t, e.device.Public()), token: [32]byte{9}, objects: map[string][]byte{}}
			}
			if state > 1 {
				b.flash.objects["chain"] = der(e.leaf, e.inter)
			}
			wantRC(t, fmt.Sprintf("%s in state %d", r.name, state), ask(t, b, r.cmd, r.body), r.rc[state])
		}
	}
}

// TestShapes: what is not the map a command takes is rc 1, before the state is
// looked at.
func TestShapes(t *testing.T) {
	d32 := make([]byte, 32)
	for _, c := range []struct {
		cmd  uint8
		name string
		body obj
	}{
		{cmdKeygen, "no alg", obj{"token": d32}},
		{cmdKeygen, "no token", obj{"alg": "ES256"}},
		{cmdKeygen, "short token", obj{"alg": "ES256", "token": d32[:31]}},
		{cmdKeygen, "replace is a number", obj{"alg": "ES256", "token": d32, "replace": 1}},
		{cmdCSR, "no cn", obj{"nonce": d32}},
		{cmdCSR, "empty cn", obj{"cn": "", "nonce": d32}},
		{cmdCSR, "cn of 65 bytes", obj{"cn": strings.Repeat("c", 65), "nonce": d32}},
		{cmdCSR, "cn of 64 characters in 65 bytes", obj{"cn": strings.Repeat("c", 63) + "é", "nonce": d32}},
		{cmdCSR, "empty sn", obj{"cn": "c", "sn": "", "nonce": d32}},
		{cmdCSR, "sn of 65 bytes", obj{"cn": "c", "sn": strings.Repeat("9", 65), "nonce": d32}},
		{cmdCSR, "sn is no PrintableString", obj{"cn": "c", "sn": "a_b", "nonce": d32}},
		{cmdCSR, "nonce of 33 bytes", obj{"cn": "c", "nonce": make([]byte, 33)}},
		{cmdGet, "no off", obj{"obj": "chain"}},
		{cmdGet, "unknown object", obj{"obj": "key", "off": 0}},
		{cmdPut, "csr is not put", obj{"obj": "csr", "off": 0, "data": []byte{1}, "len": 1, "sha": d32}},
		{cmdPut, "no data", obj{"obj": "chain", "off": 0, "len": 1, "sha": d32}},
		{cmdPut, "no len at offset 0", obj{"obj": "chain", "off": 0, "data": []byte{1}, "sha": d32}},
		{cmdPut, "no sha at offset 0", obj{"obj": "chain", "off": 0, "data": []byte{1}, "len": 1}},
		{cmdPut, "len over max", obj{"obj": "chain", "off": 0, "data": []byte{1}, "len": 8193, "sha": d32}},
		{cmdPut, "data beyond len at offset 0", obj{"obj": "chain", "off": 0, "data": []byte{1, 2}, "len": 1, "sha": d32}},
		{cmdPut, "data over chunk", obj{"obj": "chain", "off": 0, "data": make([]byte, 513), "len": 600, "sha": d32}},
		{cmdPut, "negative off", obj{"obj": "chain", "off": -1, "data": []byte{1}}},
		{cmdCommit, "no chain", obj{"anchors": d32}},
		{cmdCommit, "short digest", obj{"chain": d32, "anchors": d32[:31]}},
		{cmdProve, "no nonce", obj{}},
		{cmdTLSSign, "no tbs", obj{}},
		{cmdLock, "no chain", obj{}},
		{cmdRework, "key 2", obj{"key": 2, "sig": []byte{1}}},
		{cmdRework, "no sig", obj{"key": 0}},
	} {
		for _, state := range []byte{stateBlank, stateLocked} {
			b := newBoard(t, Config{})
			b.flash.state = state
			wantRC(t, fmt.Sprintf("command %d, %s, state %d", c.cmd, c.name, state), ask(t, b, c.cmd, c.body), rcMalformed)
		}
	}
}

// TestPut walks through the rules of offsets.
func TestPut(t *testing.T) {
	b := newBoard(t, Config{})
	withKey(t, b, scalarOf("put"))
	sha := bytes.Repeat([]byte{7}, 32)
	put := func(off int, data string, extra obj) reply {
		body := obj{"obj": "anchors", "off": off, "data": []byte(data)}
		for k, v := range extra {
			body[k] = v
		}
		return ask(t, b, cmdPut, body)
	}
	start := obj{"len": 10, "sha": sha}
	for _, step := range []struct {
		name  string
		off   int
		data  string
		extra obj
		rc    int
		want  uint64
	}{
		{"not begun", 3, "def", nil, rcOffset, 0},
		{"begin with nothing", 0, "", start, 0, 0},
		{"begin", 0, "abc", start, 0, 3},
		{"begin again: resumes, takes nothing", 0, "abcdef", start, 0, 3},
		{"begin again with other bytes", 0, "abX", start, rcOffset, 3},
		{"gap", 4, "efg", nil, rcOffset, 3},
		{"next", 3, "def", nil, 0, 6},
		{"repeat", 3, "def", nil, 0, 6},
		{"repeat of a part", 4, "e", nil, 0, 6},
		{"repeat with other bytes", 3, "dEf", nil, rcOffset, 6},
		{"overlap", 5, "fgh", nil, rcOffset, 6},
		{"nothing", 6, "", nil, 0, 6},
		{"beyond len", 6, "ghijk", nil, rcMalformed, 0},
		{"offset beyond len", 11, "", nil, rcMalformed, 0},
		{"rest", 6, "ghij", nil, 0, 10},
		{"rest again", 6, "ghij", nil, 0, 10},
		{"more", 10, "k", nil, rcMalformed, 0},
		{"another len begins anew", 0, "abc", obj{"len": 11, "sha": sha}, 0, 3},
		{"another digest begins anew", 0, "x", obj{"len": 11, "sha": make([]byte, 32)}, 0, 1},
		{"begin with data beyond len", 0, "abc", obj{"len": 2, "sha": sha}, rcMalformed, 0},
	} {
		r := put(step.off, step.data, step.extra)
		wantRC(t, step.name, r, step.rc)
		if r.Off != step.want {
			t.Errorf("%s: offset %d, want %d", step.name, r.Off, step.want)
		}
	}
}

// TestGet: empty data at the end, rc 4 beyond it.
func TestGet(t *testing.T) {
	b := newBoard(t, Config{Chunk: 64})
	withKey(t, b, scalarOf("get"))
	b.flash.state, b.flash.objects["chain"] = stateInstalled, bytes.Repeat([]byte("x"), 100)
	for _, c := range []struct{ off, n, rc int }{{0, 64, 0}, {64, 36, 0}, {99, 1, 0}, {100, 0, 0}, {101, 0, rcOffset}} {
		r := ask(t, b, cmdGet, obj{"obj": "chain", "off": c.off})
		wantRC(t, fmt.Sprint("get at ", c.off), r, c.rc)
		if len(r.Data) != c.n || c.rc == 0 && (r.Off != uint64(c.off) || r.Len != 100) {
			t.Errorf("at %d: %d bytes, off %d, len %d", c.off, len(r.Data), r.Off, r.Len)
		}
	}
}

// TestTransport: versions, groups, operations and the OS group.
func TestTransport(t *testing.T) {
	b := newBoard(t, Config{Chunk: 256})
	for _, c := range []struct {
		name string
		m    smp.Message
		rc   int
	}{
		{"version 0", smp.Message{Group: 64}, 12},
		{"no such group, no CBOR either", smp.Message{Version: 1, Group: 2, Payload: []byte{0xff}}, 8},
		{"no such command", smp.Message{Version: 1, Group: 64, Cmd: 11}, 8},
		{"write of a read command", smp.Message{Op: 2, Version: 1, Group: 64, Cmd: cmdEnrollInfo, Payload: []byte{0xff}}, 8},
		{"read of a write command", smp.Message{Version: 1, Group: 64, Cmd: cmdKeygen}, 8},
		{"no such OS command", smp.Message{Version: 1, Group: 0, Cmd: 3}, 8},
		{"echo of nothing", smp.Message{Op: 2, Version: 1, Group: 0, Cmd: cmdEcho}, 3},
	} {
		if r := send(t, b, c.m); r.RC != c.rc {
			t.Errorf("%s: rc %d, want %d", c.name, r.RC, c.rc)
		}
	}
	echo := obj{"d": "hello"}
	payload, err := smp.Marshal(echo)
	if err != nil {
		t.Fatal(err)
	}
	if r := send(t, b, smp.Message{Op: 2, Version: 1, Cmd: cmdEcho, Payload: payload}); r.R != "hello" {
		t.Errorf("echo answers %q", r.R)
	}
	if r := send(t, b, smp.Message{Version: 1, Cmd: cmdParams}); r.BufSize != 512 {
		t.Errorf("buffer of %d bytes", r.BufSize)
	}
	if r := send(t, b, smp.Message{Version: 1, Cmd: cmdInfo}); r.Output == "" {
		t.Error("no OS info")
	}
	if r := ask(t, b, cmdEnrollInfo, nil); r.State == nil || *r.State != 0 {
		t.Error("info without a body")
	}
}
