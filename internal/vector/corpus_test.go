// SPDX-License-Identifier: Apache-2.0

package vector_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/vector"
)

var update = flag.Bool("update", false, "write the corpora of the fuzz targets anew")

const root = "../.."

// TestFuzzCorpus holds the corpora of the fuzz targets against what they are
// made of: the vectors, the examples of testdata and requests as a station
// sends them. Files that it does not make were found by fuzzing; they stay.
func TestFuzzCorpus(t *testing.T) {
	c := corpus{t, map[string][]byte{}}
	c.wire()
	c.agent()
	c.commit()
	c.transfer()
	c.image()
	c.store()
	c.enroll()
	c.images()
	c.files()
	c.records()
	c.tpm()
	c.attest()
	c.texts()
	for path, want := range c.made {
		path = filepath.Join(root, path)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what its source makes of it (%v): run go test ./internal/vector -update", path, err)
		}
	}
}

// A corpus collects files by their path from the top of the repository.
type corpus struct {
	t    *testing.T
	made map[string][]byte
}

var notName = regexp.MustCompile(`[^a-z0-9]+`)

func (c corpus) put(dir, name string, data []byte) {
	path := filepath.Join(dir, strings.Trim(notName.ReplaceAllString(strings.ToLower(name), "-"), "-"))
	if old, taken := c.made[path]; taken && !bytes.Equal(old, data) {
		c.t.Fatalf("two seeds are called %s", path)
	}
	c.made[path] = data
}

// c adds an input of a target of the agent.
func (c corpus) c(target, name string, parts ...[]byte) {
	c.put("firmware/fuzz/corpus/"+target, name, bytes.Join(parts, nil))
}

// seed adds the arguments of a Go target, in the format of go test.
func (c corpus) seed(pkg, target, name string, args ...any) {
	text := "go test fuzz v1\n"
	for _, a := range args {
		switch a := a.(type) {
		case []byte:
			text += fmt.Sprintf("[]byte(%q)\n", a)
		case byte:
			text += fmt.Sprintf("byte(%q)\n", a)
		case string:
			text += fmt.Sprintf("string(%q)\n", a)
		default:
			text += fmt.Sprintf("%T(%v)\n", a, a)
		}
	}
	c.put(filepath.Join(pkg, "testdata/fuzz", target), name, []byte(text))
}

func (c corpus) vectors(file string) map[string]vector.Case {
	cases, err := vector.Read(filepath.Join(root, "testdata/vectors", file))
	if err != nil {
		c.t.Fatal(err)
	}
	byName := map[string]vector.Case{}
	for _, v := range cases {
		byName[v.Name] = v
	}
	return byName
}

// pick returns a case that must be there.
func (c corpus) pick(cases map[string]vector.Case, name string) vector.Case {
	v, ok := cases[name]
	if !ok {
		c.t.Fatalf("there is no vector %q", name)
	}
	return v
}

func (c corpus) read(path string) []byte {
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		c.t.Fatal(err)
	}
	return data
}

type obj = map[string]any

func (c corpus) cbor(v any) []byte {
	b, err := smp.Marshal(v)
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

// wire makes what the framing and the readers of CBOR get on both sides.
func (c corpus) wire() {
	frames, messages, items := c.vectors("frame.txt"), c.vectors("message.txt"), c.vectors("cbor.txt")
	for _, name := range []string{
		"the example of the protocol: info, sequence 1", "three lines", "a shell prompt before the marker",
		"log text between the lines of a packet", "a first line drops the packet that is half received",
		"a continuation alone", "wrong CRC", "bytes after the CRC", "padding inside a packet", "length 0",
	} {
		v := c.pick(frames, name)
		b := append(bytes.Clone(v.Fields["packet"]), v.Fields["stream"]...)
		c.seed("internal/smp", "FuzzDecoder", name, b, uint16(5))
		c.c("frame", name, []byte{1}, b)
	}
	full := c.pick(frames, "a buffer of 512 bytes").Fields["packet"]
	c.c("frame", "full buffer", []byte{1}, full)
	c.c("frame", "larger than the buffer", []byte{251}, full) // the target's receiver has 700 bytes less that
	for _, name := range []string{"info, sequence 1", "answer of version 0 with rc 12", "fields at their largest", "reserved bit 7", "payload longer than announced"} {
		c.seed("internal/smp", "FuzzParseMessage", name, c.pick(messages, name).Fields["message"])
	}
	for _, name := range []string{
		"all keys of the schema", "an indefinite map", "an indefinite map in an indefinite map", "an ignored key with tags in tags", "nesting of 5",
		"a key twice", "an indefinite byte string", "a byte string of 2^64-1 bytes", "a map of 33 entries", "cut inside an integer of eight bytes",
	} {
		in := c.pick(items, name).Fields["in"]
		c.seed("internal/smp", "FuzzUnmarshal", name, in)
		c.c("cbor", name, []byte{1}, in)
	}
	for name, answer := range refusals {
		c.seed("internal/smp", "FuzzRefusal", name, c.cbor(answer))
	}
	c.seed("internal/smp", "FuzzRefusal", "an indefinite map", c.pick(items, "the indefinite answer of an MCUmgr of version 0").Fields["in"])
	for name, answer := range refusals {
		c.seed("internal/smp", "FuzzClient", name, append([]byte{1}, c.cbor(answer)...))
	}
	good := append([]byte{1}, c.cbor(obj{"off": 5})...)
	c.seed("internal/smp", "FuzzClient", "late, noise, answer", bytes.Join([][]byte{append([]byte{2}, c.cbor(obj{})...), []byte("\x00uart:~$ \n\x06\tAA\n"), good}, []byte{0xff, 0xfe}))
	c.seed("internal/smp", "FuzzClient", "echo, then answer", bytes.Join([][]byte{{3}, good}, []byte{0xff, 0xfe}))
}

// refusals are answers of a board that did not do what it was asked.
var refusals = map[string]any{
	"unknown command":     obj{"rc": 8},
	"offset":              obj{"err": obj{"group": 64, "rc": 4}, "off": 128},
	"digest of an object": obj{"err": obj{"group": 64, "rc": 5}, "obj": "chain"},
	"busy":                obj{"err": obj{"group": 64, "rc": 13}},
	"rc of another type":  obj{"rc": "eight"},
	"reason in words":     obj{"rc": 1, "rsn": "no such file"},
}

// A request is one command of the enrollment group.
type request struct {
	cmd  uint8
	read bool
	body obj
}

func (c corpus) message(r request) []byte {
	m := smp.Message{Op: smp.OpWrite, Version: 1, Group: 64, Seq: 7, Cmd: r.cmd, Payload: c.cbor(r.body)}
	if r.read {
		m.Op = smp.OpRead
	}
	return m.Append(nil)
}

func (c corpus) requests(all []request) []byte {
	var out []byte
	for _, r := range all {
		m := c.message(r)
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(m))), m...)
	}
	return out
}

var (
	zeros = make([]byte, 32)
	token = bytes.Repeat([]byte{9}, 32)
)

// puts are the chunks of an object, and what tells the board of them.
func puts(name string, data, sha []byte) []request {
	var out []request
	for off := 0; off < len(data); off += 400 {
		body := obj{"obj": name, "off": off, "data": data[off:min(off+400, len(data))]}
		if off == 0 {
			body["len"], body["sha"] = len(data), sha
		}
		out = append(out, request{4, false, body})
	}
	return out
}

// agent makes conversations with a board in each state, as a station has them.
func (c corpus) agent() {
	all := c.pick(c.vectors("commit.txt"), "everything named")
	chain, sha := all.Fields["chain"], all.Fields["chain_sha"]
	rework := c.pick(c.vectors("rework.txt"), "one key stored")
	tbs := c.pick(c.vectors("tls.txt"), "SHA-256 transcript").Fields["tbs"]
	install := append(puts("chain", chain, sha), puts("rework", all.Fields["rework"], all.Fields["rework_sha"])...)
	for name, s := range map[string]struct {
		start    byte
		requests []request
	}{
		"info and key":         {0, []request{{0, true, obj{}}, {1, false, obj{"alg": "ES256", "token": token}}}},
		"request":              {1, []request{{2, false, obj{"cn": "unit-1", "sn": "42", "nonce": zeros}}, {3, true, obj{"obj": "csr", "off": 0}}}},
		"chain and commit":     {1, append(install, request{5, false, obj{"chain": sha, "rework": all.Fields["rework_sha"]}})},
		"not staged":           {1, []request{{5, false, obj{"chain": sha}}, {6, false, obj{"nonce": zeros}}}},
		"prove, sign, lock":    {2, []request{{6, false, obj{"nonce": zeros}}, {7, false, obj{"tbs": tbs}}, {8, false, obj{"chain": sha}}}},
		"another key":          {2, []request{{1, false, obj{"alg": "ES384", "token": token, "replace": true}}}},
		"read back":            {3, []request{{3, true, obj{"obj": "chain", "off": 0}}, {3, true, obj{"obj": "rework", "off": 9999}}}},
		"rework by a stranger": {3, []request{{9, true, obj{}}, {10, false, obj{"key": 1, "sig": token}}}},
		"unlocked":             {4, []request{{9, true, obj{}}, {10, false, obj{"key": 0, "sig": rework.Fields["sig"]}}, {10, false, obj{"key": 0, "sig": rework.Fields["sig"]}}}},
	} {
		data := c.requests(s.requests)
		c.c("agent", name, []byte{s.start}, data)
		if s.start < 4 {
			c.seed("internal/virtual", "FuzzRequests", name, s.start, data)
		}
	}
	for cmd, body := range []obj{
		{},
		{"alg": "ES256", "token": token, "replace": false},
		{"cn": "unit-1", "sn": "42", "nonce": zeros},
		{"obj": "csr", "off": 0},
		{"obj": "chain", "off": 0, "data": []byte("x"), "len": 1, "sha": zeros},
		{"chain": sha, "anchors": zeros, "rework": zeros},
		{"nonce": zeros},
		{"tbs": tbs},
		{"chain": sha},
		{},
		{"key": 1, "sig": rework.Fields["sig"]},
	} {
		c.c("cbor", fmt.Sprintf("command %d", cmd), []byte{byte(cmd)}, c.cbor(body))
	}
	os := []smp.Message{{Version: 1, Cmd: 6}, {Version: 1, Cmd: 7, Payload: c.cbor(obj{"format": "srm"})}, {Op: smp.OpWrite, Version: 1, Payload: c.cbor(obj{"d": "hello"})}, {Version: 1, Group: 1}}
	var data []byte
	for _, m := range os {
		b := m.Append(nil)
		data = append(binary.BigEndian.AppendUint16(data, uint16(len(b))|0x4000), b...)
	}
	c.c("agent", "commands of MCUmgr", []byte{0}, data)
}

// commit makes objects that pass and objects that fail at each check.
func (c corpus) commit() {
	cases := c.vectors("commit.txt")
	for _, name := range []string{
		"everything named", "chain of four", "leaf alone, under the pinned root", "five certificates", "length in indefinite form",
		"last byte of the chain cut off", "anchors do not parse", "rework point not on the curve", "leaf for another key",
		"link broken: issuer is another name", "no basic constraints", "path length exceeded", "rework key is Ed25519",
		"ES384 link, ES384 in verify", "RS256 link, RS256 in verify", "EdDSA link, not in verify",
	} {
		f := c.pick(cases, name).Fields
		var flags byte
		for bit, key := range []string{"root", "anchors_sha", "rework_sha"} {
			if _, ok := f[key]; ok {
				flags |= 1 << bit
			}
		}
		head := binary.BigEndian.AppendUint16([]byte{flags}, uint16(len(f["chain"])))
		c.c("commit", name, binary.BigEndian.AppendUint16(head, uint16(len(f["anchors"]))), f["chain"], f["anchors"], f["rework"])
		c.seed("internal/virtual", "FuzzCheckObjects", name, f["chain"], f["anchors"], f["rework"])
	}
}

// transfer makes steps of put, get and commit.
func (c corpus) transfer() {
	put := func(step byte, off, size, n uint16, fill byte) []byte {
		b := binary.BigEndian.AppendUint16([]byte{step}, off)
		b = binary.BigEndian.AppendUint16(b, size)
		return append(binary.BigEndian.AppendUint16(b, n), fill)
	}
	first, next := put(0, 0, 400, 1000, 7), put(4, 0, 400, 1000, 8)
	get := []byte{8, 0, 0}
	c.c("transfer", "whole object", []byte{0}, first, next, put(4, 0, 200, 1000, 9), []byte{12})
	c.c("transfer", "chunk twice", []byte{0}, first, first, put(0, 0, 400, 1000, 8))
	c.c("transfer", "gap", []byte{0}, first, put(0, 800, 200, 1000, 1))
	c.c("transfer", "overlap", []byte{0}, first, put(0, 200, 400, 1000, 7))
	c.c("transfer", "another object under the name", []byte{0}, first, put(0x40, 0, 400, 1000, 7), put(0, 0, 1, 1, 0))
	c.c("transfer", "too large", []byte{0}, put(1, 0, 513, 1000, 0), put(1, 0, 10, 2049, 0), put(1, 0, 10, 9, 0))
	c.c("transfer", "read an installed board", []byte{1}, get, []byte{8, 0xff, 0xff, 11, 0, 0}, first, []byte{13, 16}, first)
	c.c("transfer", "nothing of nothing", []byte{0}, put(2, 0, 0, 0, 0), put(2, 0, 0, 5, 0), []byte{14})
}

// image makes uploads as a station sends them, and others.
func (c corpus) image() {
	payload := bytes.Repeat([]byte{7}, 200)
	sized := func(b []byte) []byte { return append([]byte{byte(len(b))}, b...) }
	ours, running := sized(payload), sized(payload[:64])
	first, next := []byte{1, 0, 97, 0}, []byte{1, 0xff, 128, 0}
	send := func(op byte, body obj) []byte { return append([]byte{op}, sized(c.cbor(body))...) }
	state := send(0, obj{})
	whole := bytes.Join([][]byte{first, next, next, state}, nil)
	const sound, test, keep, reset = 24, 6, 14, 3
	c.c("image", "tried and kept", []byte{sound}, ours, running, whole, []byte{test, reset}, state, []byte{10, reset})
	c.c("image", "kept at once", []byte{sound}, ours, running, whole, []byte{keep, reset}, state)
	c.c("image", "not confirmed", []byte{sound}, ours, running, whole, []byte{test, reset, reset}, state)
	c.c("image", "chunk again, and a gap", []byte{sound}, ours, running, first, first, []byte{1, 60, 40, 0}, next)
	c.c("image", "longer than announced", []byte{sound}, ours, running, []byte{1, 0, 64, 20}, next)
	c.c("image", "on trial", []byte{sound | 4}, ours, running, whole, []byte{test, keep})
	c.c("image", "locked", []byte{sound | 1}, ours, running, whole)
	c.c("image", "locked and not verified", []byte{sound | 3}, ours, running, whole, []byte{test})
	c.c("image", "slot of anything", []byte{0}, ours, sized(bytes.Repeat([]byte{0x3d, 0xb8, 0xf3, 0x96}, 30)), state)
	c.c("image", "larger than the slot", []byte{sound}, ours, running, send(0x0c, obj{"off": 0, "len": 1 << 20, "data": payload[:40]}))
	c.c("image", "erase while it comes in", []byte{sound}, ours, running, first, send(0x2c, obj{}), next)
}

// store makes flash as the agent leaves it.
func (c corpus) store() {
	all := c.pick(c.vectors("commit.txt"), "everything named").Fields
	key, spki := all["d"], all["rework"][:91] // some key on the curve: the store does not look
	image := func(generation uint32, state byte, parts ...[]byte) []byte {
		b := binary.BigEndian.AppendUint32(nil, generation)
		b = append(append(b, state, 1, 0, 0), token...)
		var content []byte
		for i := range 5 {
			var part []byte
			if i < len(parts) {
				part = parts[i]
			}
			b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
			content = append(content, part...)
			content = append(content, make([]byte, (32-len(part)%32)%32)...)
		}
		return append(append(b, 0, 0, 0, 0), content...)
	}
	add := func(name string, flags byte, first, second []byte) {
		c.c("store", name, binary.BigEndian.AppendUint16([]byte{flags}, uint16(len(first))), first, second)
	}
	keyed, installed := image(1, 1, key, spki), image(2, 2, key, spki, all["chain"], nil, all["rework"])
	add("blank", 0, nil, nil)
	add("keyed", 0x03, keyed, nil)
	add("installed, and signs", 0x1f, keyed, installed)
	add("locked", 0x0c, nil, image(3, 3, key, spki, all["chain"]))
	add("written but not valid", 0x0b, keyed, installed)
	add("generation wraps", 0x0f, image(0xffffffff, 1, key, spki), image(0, 1, key, spki))
	add("lengths beyond the copy", 0x03, bytes.Repeat([]byte{0xff}, 64), nil)
	add("state of the future", 0x03, image(1, 4, key, spki), nil)
}
