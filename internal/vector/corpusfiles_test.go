// SPDX-License-Identifier: Apache-2.0

package vector_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"provisioning.example/station/internal/filter"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/virtual"
)

// info is what a board says of itself.
func info(more obj) obj {
	m := obj{
		"agent": "station-enroll", "proto": 1, "model": "m", "hw": "1", "uid": []byte{1}, "fw": "1", "state": 0,
		"algs": []string{"ES256"}, "chunk": 256, "max": 4096, "boot": make([]byte, 16), "verify": []string{"ES256"}, "prot": 0,
	}
	for k, v := range more {
		m[k] = v
	}
	return m
}

// enroll makes answers of boards.
func (c corpus) enroll() {
	for name, m := range map[string]obj{
		"blank":               info(nil),
		"keyed":               info(obj{"state": 1, "alg": "ES256", "spki": zeros}),
		"installed":           info(obj{"state": 2, "alg": "ES256", "spki": zeros, "chain": zeros, "rework": zeros, "root": zeros}),
		"locked":              info(obj{"state": 3, "alg": "EdDSA", "spki": zeros, "chain": zeros, "prot": 15, "uid": token}),
		"another protocol":    {"agent": "station-enroll", "proto": 2, "uid": "text"},
		"installed, no chain": info(obj{"state": 2, "alg": "ES256", "spki": zeros}),
		"chunk of nothing":    info(obj{"chunk": 0}),
	} {
		c.seed("internal/enroll", "FuzzParseInfo", name, c.cbor(m))
	}
	for name, answers := range map[string][]obj{
		"key":                  {{"spki": zeros, "new": true}},
		"request in one chunk": {{"len": 3, "sha": zeros}, {"off": 0, "len": 3, "data": []byte("abc")}},
		"resumed put":          {{"buf_size": 512}, {"off": 64}, {"off": 128}},
		"buffer without end":   {{"buf_size": uint64(1) << 40}},
		"object without end":   {{"off": 0, "len": uint64(1) << 63, "data": []byte{}}},
		"never further":        {{"off": 0, "len": 8192, "data": make([]byte, 64)}},
		"busy for ever":        {{"err": obj{"group": 64, "rc": 13}}},
		"offset, no offset":    {{"err": obj{"group": 64, "rc": 4}}},
		"states":               {{"state": 2}, {"state": 300}},
		"a huge signature":     {{"sig": make([]byte, 2000)}},
	} {
		c.seed("internal/enroll", "FuzzAnswers", name, c.payloads(answers))
	}
	for name, text := range map[string]string{
		"accepted": "20020000", "session present": "20020100", "not authorised": "20020005", "unknown code": "200200ff",
		"mqtt 5": "2003008400", "tls alert": "15030300020230", "http": "485454502f312e31", "cut": "2002",
	} {
		raw, err := hex.DecodeString(text)
		if err != nil {
			c.t.Fatal(err)
		}
		c.seed("internal/enroll", "FuzzConnack", name, raw)
	}
}

// images makes firmware images, manifests, and what boards say to an upload.
func (c corpus) images() {
	img := virtual.MakeImage(virtual.ImageVersion{Major: 2, Minor: 4, Revision: 7}, bytes.Repeat([]byte{7}, 200))
	wrong := bytes.Clone(img)
	wrong[len(wrong)-1] ^= 1
	c.seed("internal/flasher", "FuzzParse", "plain", img)
	c.seed("internal/flasher", "FuzzParse", "cut", img[:len(img)-1])
	c.seed("internal/flasher", "FuzzParse", "another digest", wrong)
	c.seed("internal/flasher", "FuzzParse", "header alone", img[:32])
	sha := strings.Repeat("0a", 32)
	for name, text := range map[string]string{
		"whole":            "sha256 = \"" + sha + "\"\nversion = \"1.2.3\"\nmodel = \"m\"\nhardware = [\"1\", \"2\"]\n",
		"capitals":         "sha256 = \"" + strings.ToUpper(sha) + "\"\nversion = \"1.2.3\"\nmodel = \"m\"\n",
		"unknown key":      "sha256 = \"" + sha + "\"\nversion = \"1.2.3\"\nmodel = \"m\"\nsize = 7\n",
		"a huge version":   "sha256 = \"" + sha + "\"\nversion = \"1.2.99999999\"\nmodel = \"m\"\n",
		"no end of a text": "sha256 = \"",
	} {
		c.seed("internal/flasher", "FuzzManifest", name, []byte(text))
	}
	old := obj{"slot": 0, "version": "1.0.0", "hash": zeros, "active": true, "confirmed": true}
	idle := obj{"images": []obj{old}}
	for name, answers := range map[string][]obj{
		"no images":         {{"rc": 8}},
		"two run":           {{"images": []obj{old, old}}},
		"a digest too long": {{"images": []obj{{"slot": 0, "hash": make([]byte, 65), "active": true}}}},
		"never further":     {idle, {"buf_size": 512}, {"off": 0}},
		"beyond the end":    {idle, {"buf_size": 512}, {"off": uint64(1) << 63}},
		"too large":         {idle, {"buf_size": 512}, {"err": obj{"group": 1, "rc": 30}}},
		"another digest":    {idle, {"buf_size": 512}, {"off": 280, "match": false}},
		"not stored":        {idle, {"buf_size": 512}, {"off": 280, "match": true}, idle},
		"on trial for ever": {{"images": []obj{{"slot": 0, "hash": zeros, "active": true}}}},
	} {
		c.seed("internal/flasher", "FuzzAnswers", name, c.payloads(answers))
	}
}

// payloads joins answers as the targets cut them.
func (c corpus) payloads(answers []obj) []byte {
	var all [][]byte
	for _, a := range answers {
		all = append(all, c.cbor(a))
	}
	return bytes.Join(all, []byte{0xff, 0xfe})
}

// files makes what comes on a stick or out of a file: the examples of testdata.
func (c corpus) files() {
	for _, name := range []string{"request.pem", "request-openssl.pem"} {
		c.seed("internal/audit/ceremony", "FuzzParseRequest", name, c.read("internal/audit/ceremony/testdata/"+name))
	}
	for _, name := range []string{"answer.pem", "installed.pem"} {
		c.seed("internal/authority", "FuzzCertificates", name, c.read("internal/authority/testdata/"+name))
	}
	for _, name := range []string{"ours.key", "openssl.key"} {
		block, _ := pem.Decode(c.read("internal/authority/testdata/" + name))
		c.seed("internal/authority", "FuzzKeyFile", name, block.Bytes)
	}
	c.seed("internal/authority", "FuzzRecord", "of two", c.read("internal/authority/testdata/record.jsonl"))
	for _, name := range []string{
		"ES256", "ES384", "EdDSA", "RS256", "ES256.refused1", "ES256.refused2", "ES256.refused3", "ES256.refused4",
		"ES256.refused5", "ES256.refused6", "ES256.refused7", "ES256.refused8", "ES256.refused9", "ES256.refused10",
	} {
		alg, _, _ := strings.Cut(name, ".")
		c.seed("internal/issuer", "FuzzParseRequest", name, c.read("internal/issuer/testdata/requests/"+name+".der"), alg)
	}
	for _, name := range []string{"profile", "profile-short", "profile-full"} {
		c.seed("internal/issuer", "FuzzParseProfile", name, c.read("internal/issuer/testdata/"+name+".toml"))
	}
	c.filters()
	for _, name := range []string{"device", "intermediate"} {
		c.seed("internal/issuer", "FuzzTBS", name, c.read("internal/issuer/testdata/tbs/"+name+".der"))
	}
	pump, roots := c.read("testdata/product.toml"), c.read("testdata/server-root.pem")
	c.seed("internal/provision", "FuzzProduct", "example", pump, roots)
	c.seed("internal/provision", "FuzzProduct", "shortest", []byte("name = \"a\"\nmodel = \"b\"\n"), []byte{})
	c.seed("internal/provision", "FuzzProduct", "no certificate", pump, []byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"))
	c.seed("internal/provision", "FuzzProduct", "unknown key", []byte("name = \"a\"\nmodel = \"b\"\nspeed = 3\n"), roots)
	c.seed("internal/provision", "FuzzLoadUnits", "example", c.read("testdata/units.csv"))
	for name, text := range map[string]string{
		"mark and quotes": "\ufeffserial,batch\n\"SN 2\",x\n", "serial twice": "serial\nA\nB\nA\n", "open quote": "serial\nA\n\"B\n",
		"formula": "serial\n=cmd\n", "odd uid": "serial,uid\nA,abc\n",
	} {
		c.seed("internal/provision", "FuzzLoadUnits", name, []byte(text))
	}
	c.seed("cmd/station", "FuzzHome", "example", c.read("testdata/station.toml"))
	c.seed("cmd/station", "FuzzHome", "bench", []byte("name = \"ulm/st-07\"\ntpm = \"sim\"\n[bench]\n1 = \"1-1.4:1.0\"\n2 = \"1-1.4:1.0\"\n"))
	c.seed("cmd/station", "FuzzHome", "key of nothing", []byte("name = \"ulm/st-07\"\ntpm = \"dev:/dev/tpmrm0\"\n[keys]\nca = \"8100a000::\"\n"))
}

// records makes what a ledger, a checkpoint and a proof hold.
func (c corpus) records() {
	for _, k := range record.Kinds() {
		raw, err := record.Example(k.Name).Encode()
		if err != nil {
			c.t.Fatal(err)
		}
		if k.Name == record.KindEnd || k.Name == record.KindStop {
			c.seed("internal/record", "FuzzDecode", "spaced "+k.Name, append([]byte{' '}, raw...))
		}
		c.seed("internal/record", "FuzzDecode", k.Name, raw)
	}
	body := "ulm/st-07/1\n4711\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
	c.seed("internal/record", "FuzzCheckpoint", "signature of nobody", []byte(body+"— ulm/st-07/1 AAAAAAA=\n"))
	c.seed("internal/record", "FuzzCheckpoint", "no signature", []byte(body))
	c.seed("internal/record", "FuzzCheckpoint", "size with a zero in front", []byte(strings.Replace(body, "4711", "04711", 1)))
	proof := record.Proof{Index: 3, Hashes: tlog.RecordProof{{1}, {2}}, Checkpoint: []byte(body)}
	c.seed("internal/record", "FuzzProof", "two hashes", proof.Marshal())
	c.seed("internal/record", "FuzzProof", "no checkpoint", []byte("c2sp.org/tlog-proof@v1\nindex 0\n\nx\n"))
	c.seed("internal/record", "FuzzProof", "negative index", []byte("c2sp.org/tlog-proof@v1\nindex -1\n\n"+body))
	c.seed("internal/record", "FuzzVerifierKey", "wrong id", "ulm/st-07/1+00000000+AjBZ")
	c.seed("internal/record", "FuzzVerifierKey", "no key", "ulm/st-07/1+0a0b0c0d")
	c.seed("internal/record", "FuzzWitness", "of an entry", "ulm/st-07/1/4711/4720/CsUYapGGPo4dkMgIAUqomw")
	c.seed("internal/record", "FuzzWitness", "bits left over", "ulm/st-07/1/4711/4720/CsUYapGGPo4dkMgIAUqomx")
	for form, zpl := range map[string]bool{"label.toml": false, "label.zpl": true} {
		c.seed("internal/label", "FuzzTemplate", form, c.read("testdata/"+form), zpl, "SN-1^XZ")
	}
	c.seed("internal/label", "FuzzTemplate", "a reset", []byte("^XA~JR^XZ"), true, "")
}

// tpm makes answers of a TPM, whole and broken.
func (c corpus) tpm() {
	answer := func(tag uint16, size, rc uint32, rest ...byte) []byte {
		b := binary.BigEndian.AppendUint16(nil, tag)
		return append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, size), rc), rest...)
	}
	for name, b := range map[string][]byte{
		"success": answer(0x8001, 10, 0), "initialize": answer(0x8001, 10, 0x100), "lockout": answer(0x8001, 10, 0x921), "wrong pin": answer(0x8001, 10, 0x98e),
		"no such handle": answer(0x8001, 10, 0x18b), "tpm 1.2": answer(0xc4, 10, 0x1e), "sessions in an error": answer(0x8002, 10, 0), "size of everything": answer(0x8001, 0xffffffff, 0),
		"size below the header": answer(0x8001, 9, 0), "handles": answer(0x8001, 27, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0x81, 0, 0, 1, 0x81, 0, 0xa0, 0),
		"more handles than bytes": answer(0x8001, 19, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff),
	} {
		c.seed("internal/tpm", "FuzzReadAnswer", name, b)
		c.seed("internal/tpm", "FuzzAnswers", name, b)
	}
	name := "000b" + strings.Repeat("01", 32)
	c.seed("internal/tpm", "FuzzKeyRef", "whole", "8100a000:"+name+":"+name)
	c.seed("internal/tpm", "FuzzKeyRef", "no names", "8100a000::")
	c.seed("internal/tpm", "FuzzCreation", "whole", strings.Repeat("01", 32)+":8021400000010020"+strings.Repeat("02", 32))
	c.seed("internal/tpm", "FuzzCreation", "another hierarchy", strings.Repeat("01", 32)+":8021400000070020"+strings.Repeat("02", 32))
	c.seed("internal/tpm", "FuzzCreation", "counter", "0180a000:"+name+":"+name)
	ek, above := c.read("internal/attest/testdata/ek.der"), c.read("internal/attest/testdata/issuer.der")
	c.seed("internal/tpm", "FuzzCutCertificates", "padded", append(bytes.Clone(ek), 0xff, 0xff, 0xff))
	c.seed("internal/tpm", "FuzzCutCertificates", "chain", append(append(bytes.Clone(ek), above...), 0, 0))
	c.seed("internal/tpm", "FuzzCutCertificates", "longer than the index", ek[:len(ek)-1])
	c.seed("internal/tpm", "FuzzKeyRef", "capitals", "8100A000:"+name+":"+strings.ToUpper(name))
	state := c.read("internal/tpm/testdata/simulator-state")
	c.seed("internal/tpm", "FuzzDecodeState", "header alone", state[:bytes.IndexByte(state, '\n')+1])
	c.seed("internal/tpm", "FuzzDecodeState", "cut", state[:256])
}

// attest makes what a TPM says of itself, from evidence of a real one.
func (c corpus) attest() {
	const room = "internal/attest"
	read := func(name string) []byte { return c.read(room + "/testdata/" + name) }
	for _, name := range []string{"ek", "ak", "ca", "checkpoint"} {
		c.seed(room, "FuzzPublic", name, read(name+".public"))
	}
	for _, name := range []string{"creation", "counter", "quote"} {
		said, sig := read(name+".attest"), read(name+".signature")
		c.seed(room, "FuzzAttest", name, said)
		c.seed(room, "FuzzAttest", name+" by no TPM", append([]byte("CERT"), said[4:]...))
		c.seed(room, "FuzzSignature", name, sig)
		c.seed(room, "FuzzSignature", name+" cut", sig[:len(sig)-1])
	}
	ek, issuer := read("ek.der"), read("issuer.der")
	c.seed(room, "FuzzCertificates", "chain", ek, issuer)
	c.seed(room, "FuzzCertificates", "turned round", issuer, ek)
	key := read("key.pem")
	c.seed(room, "FuzzKeyFile", "whole", key)
	c.seed(room, "FuzzKeyFile", "words behind", append(bytes.Clone(key), "the PIN"...))
	c.seed(room, "FuzzKeyFile", "another type", bytes.ReplaceAll(key, []byte("TSS2"), []byte("EC")))
}

// texts makes what the system and boards say in words.
func (c corpus) texts() {
	const path = "/devices/pci0/usb1/1-1/1-1.4/1-1.4:1.0/ttyUSB10/tty/ttyUSB10"
	zeroed := func(s ...string) []byte { return []byte(strings.Join(s, "\x00") + "\x00") }
	c.seed("internal/port", "FuzzUevent", "add ttyUSB10", zeroed("add@"+path, "ACTION=add", "DEVPATH="+path, "SUBSYSTEM=tty", "DEVNAME=ttyUSB10", "SEQNUM=4711"))
	c.seed("internal/port", "FuzzUevent", "another action", zeroed("add@"+path, "ACTION=remove", "DEVPATH="+path, "SUBSYSTEM=tty"))
	c.seed("internal/port", "FuzzUevent", "udev without properties", append([]byte("libudev\x00\xfe\xed\xca\xfe"), 40, 0, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
	for name, text := range map[string]string{"adapter": "FT232R USB UART\n", "escapes": "\x1b[31m\x00\xff\u202e", "long": strings.Repeat("\u20ac", 60)} {
		c.seed("internal/port", "FuzzLabel", name, text)
	}
	c.seed("ui", "FuzzFit", "serial", "SN-0000A101", float32(80), true)
	c.seed("ui", "FuzzFit", "turned", "日本語\x00\u202e", float32(10), false)
	c.seed("ui", "FuzzFit", "no room", "Reseat the board.", float32(0), false)
}

// filters makes files of used values, sound and broken ones.
func (c corpus) filters() {
	var b filter.Builder
	for _, k := range filter.Kinds() {
		b.Add(k, "SN-1")
		b.Add(k, "SN-2")
	}
	set, err := b.Set("ulm/st-07/1", 4711)
	if err != nil {
		c.t.Fatal(err)
	}
	whole := (&filter.File{Set: set, Entry: []byte("{}"), Proof: []byte("proof"), Certificate: []byte{0x30, 0}}).Encode()
	bare := set.Encode()
	unsorted := bytes.Clone(whole)
	unsorted[16+2+11+8+4] ^= 0xff
	for name, file := range map[string][]byte{
		"whole": whole, "without evidence": bare, "one byte more": append(bytes.Clone(whole), 0), "cut": whole[:60], "unsorted": unsorted,
	} {
		c.seed("internal/filter", "FuzzParse", name, file)
	}
}
