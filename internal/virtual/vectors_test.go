// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// update writes the vectors anew:
//
//	go test ./internal/virtual -run TestVectorFiles -update
var update = flag.Bool("update", false, "write the vector files instead of comparing them")

// vectorDir is the folder that the Go side and the C agent share.
const vectorDir = "../../testdata/vectors"

// A vectorFile writes blocks of the vector format of internal/vector.
type vectorFile struct{ bytes.Buffer }

func (f *vectorFile) comment(lines ...string) {
	f.WriteString("# Made by: go test ./internal/virtual -run TestVectorFiles -update\n#\n")
	for _, l := range lines {
		fmt.Fprintf(f, "# %s\n", l)
	}
	f.WriteByte('\n')
}

// block writes one case; pairs are key and value, []byte in hex, string as it
// is, nil left out.
func (f *vectorFile) block(name string, pairs ...any) {
	fmt.Fprintf(f, "name = %s\n", name)
	for i := 0; i < len(pairs); i += 2 {
		switch v := pairs[i+1].(type) {
		case []byte:
			if v != nil {
				fmt.Fprintf(f, "%s = %x\n", pairs[i], v)
			}
		case string:
			fmt.Fprintf(f, "%s = %s\n", pairs[i], v)
		}
	}
	f.WriteByte('\n')
}

// TestVectorFiles makes every vector file anew and compares it with the tree,
// so that what the C agent is tested with is what this package means.
func TestVectorFiles(t *testing.T) {
	for name, make := range map[string]func(testing.TB, *vectorFile){
		"csr.txt": csrVectors, "prove.txt": proveVectors, "rework.txt": reworkVectors,
		"tls.txt": tlsVectors, "commit.txt": commitVectors,
	} {
		t.Run(name, func(t *testing.T) {
			var f vectorFile
			make(t, &f)
			path := filepath.Join(vectorDir, name)
			text := append(bytes.TrimRight(f.Bytes(), "\n"), '\n')
			if *update {
				if err := os.WriteFile(path, text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			have, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(have, text) {
				t.Errorf("%s is not what this package makes; read the difference, then run with -update", path)
			}
		})
	}
}

func csrVectors(t testing.TB, f *vectorFile) {
	f.comment("CertificationRequestInfo (RFC 2986) of the csr command, to the byte.",
		"d: private scalar of the device key (P-256), cn: UTF-8, sn: PrintableString, absent when not asked for,",
		"nonce: 32 bytes, tbs: the DER that the device key signs.")
	nonce := sha256.Sum256([]byte("csr nonce"))
	zero, ones := [32]byte{}, [32]byte(bytes.Repeat([]byte{0xff}, 32))
	for _, c := range []struct {
		name, cn, sn string
		nonce        [32]byte
	}{
		{"cn only", "unit-0001", "", nonce},
		{"cn and sn", "pump controller 7", "SN-2026-000042", nonce},
		{"shortest cn and sn", "a", "1", nonce},
		{"longest cn and sn: subject in long form", strings.Repeat("c", 64), strings.Repeat("9", 64), nonce},
		{"longest cn, no sn", strings.Repeat("C", 64), "", nonce},
		{"subject of 127 bytes: the last short length", strings.Repeat("c", 64), strings.Repeat("9", 41), nonce},
		{"subject of 128 bytes: the first long length", strings.Repeat("c", 64), strings.Repeat("9", 42), nonce},
		{"cn beyond ASCII", "Zähler Nº 5 水", "A", nonce},
		{"every punctuation of PrintableString", "p", "Az09 '()+,-./:=?", nonce},
		{"cn with characters that only UTF8String has", "a*b@c_d&e", "", nonce},
		{"nonce of zeros", "unit-0001", "", zero},
		{"nonce of ones: all of base64url's last character", "unit-0001", "", ones},
	} {
		key := p256(t, "device "+c.name)
		spki, err := spkiOf(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		tbs, err := csrTBS(csrRequest{cn: c.cn, sn: c.sn, nonce: c.nonce}, spki)
		if err != nil {
			t.Fatal(err)
		}
		var sn []byte
		if c.sn != "" {
			sn = []byte(c.sn)
		}
		f.block(c.name, "d", scalarOf("device "+c.name), "cn", []byte(c.cn), "sn", sn, "nonce", c.nonce[:], "tbs", tbs)
	}
}

func digestOf(label string) *[32]byte {
	d := sha256.Sum256([]byte(label))
	return &d
}

func optional(d *[32]byte) []byte {
	if d == nil {
		return nil
	}
	return d[:]
}

func proveVectors(t testing.TB, f *vectorFile) {
	f.comment("The message of the prove command. chain, anchors, rework, root: SHA-256 digests,",
		"absent in the block where absent on the board (32 zero bytes in the message).",
		"prot and state: one byte each. message: what the device key signs.")
	nonce := digestOf("prove nonce")
	chain, anchors, rework, root := digestOf("chain"), digestOf("anchors"), digestOf("rework"), digestOf("root")
	for _, c := range []struct {
		name                         string
		chain, anchors, rework, root *[32]byte
		prot, state                  byte
		uid                          []byte
	}{
		{"installed, chain only", chain, nil, nil, nil, 0, 2, []byte{0x11}},
		{"installed, everything", chain, anchors, rework, root, 0x0f, 2, []byte("uid-of-12-by")},
		{"locked, everything", chain, anchors, rework, root, 0x0f, 3, []byte("uid-of-12-by")},
		{"locked, no rework key", chain, anchors, nil, root, 0x07, 3, []byte{0, 0, 0, 0}},
		{"locked, no anchors, no root", chain, nil, rework, nil, 0x01, 3, []byte("a uid of thirty-two bytes, full.")},
	} {
		m := proveMessage(*nonce, c.chain, c.anchors, c.rework, c.root, c.prot, c.state, c.uid)
		f.block(c.name, "nonce", nonce[:], "chain", optional(c.chain), "anchors", optional(c.anchors), "rework", optional(c.rework),
			"root", optional(c.root), "prot", []byte{c.prot}, "state", []byte{c.state}, "uid", c.uid, "message", m)
	}
}

func reworkVectors(t testing.TB, f *vectorFile) {
	f.comment("The rework command. d: private scalar of the device key (P-256), spki: SHA-256 of its SubjectPublicKeyInfo,",
		"uid: of the board, nonce: what challenge answered,",
		"message: what the rework key signs. rework: the stored rework object, key: the number in the request,",
		"sig: the signature in the request, rc: the answer (00 = state 0).")
	nonce, spki := digestOf("rework nonce"), sha256.Sum256(mustSPKI(t, p256(t, "rework device").Public()))
	uid := []byte("uid-of-12-by")
	first, second, other := p256(t, "rework 0"), p256(t, "rework 1"), p256(t, "rework other")
	one, two := mustSPKI(t, first.Public()), append(mustSPKI(t, first.Public()), mustSPKI(t, second.Public())...)
	good := reworkMessage(*nonce, spki, uid)
	sign := func(key crypto.Signer, message []byte) []byte {
		d := sha256.Sum256(message)
		sig, err := repeatable{key}.Sign(nil, d[:], crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	flipped := sign(first, good)
	flipped[len(flipped)-1] ^= 1
	for _, c := range []struct {
		name   string
		rework []byte
		key    byte
		sig    []byte
		rc     byte
	}{
		{"one key stored", one, 0, sign(first, good), 0},
		{"two keys stored, first", two, 0, sign(first, good), 0},
		{"two keys stored, second", two, 1, sign(second, good), 0},
		{"key that is not stored", one, 1, sign(second, good), rcNotAuthorised},
		{"signature by the other stored key", two, 1, sign(first, good), rcNotAuthorised},
		{"signature by a stranger", two, 0, sign(other, good), rcNotAuthorised},
		{"signature with one bit flipped", one, 0, flipped, rcNotAuthorised},
		{"signature with a byte behind it", one, 0, append(sign(first, good), 0), rcNotAuthorised},
		{"empty signature", one, 0, []byte{}, rcNotAuthorised},
		{"signature over another nonce", one, 0, sign(first, reworkMessage(*digestOf("stale"), spki, uid)), rcNotAuthorised},
		{"signature over another board's key", one, 0, sign(first, reworkMessage(*nonce, *digestOf("foreign"), uid)), rcNotAuthorised},
		{"signature over another uid", one, 0, sign(first, reworkMessage(*nonce, spki, []byte("uid-of-12-bz"))), rcNotAuthorised},
		{"signature over a proof", one, 0, sign(first, proveMessage(*nonce, &spki, nil, nil, nil, 0, 3, uid)), rcNotAuthorised},
		{"no rework object", nil, 0, sign(first, good), rcNotAuthorised},
	} {
		f.block(c.name, "d", scalarOf("rework device"), "spki", spki[:], "uid", uid, "nonce", nonce[:], "message", good,
			"rework", c.rework, "key", []byte{c.key}, "sig", c.sig, "rc", []byte{c.rc})
	}
}

func tlsVectors(t testing.TB, f *vectorFile) {
	f.comment("What tls-sign takes: the exact content of a TLS 1.3 client CertificateVerify (RFC 8446, 4.4.3).",
		"rc 00: signed, 01: refused.")
	hash32, hash48 := bytes.Repeat([]byte{0xa5}, 32), bytes.Repeat([]byte{0x5a}, 48)
	good := append(bytes.Clone(tlsPrefix), hash32...)
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	server := append(bytes.Repeat([]byte{0x20}, 64), "TLS 1.3, server CertificateVerify\x00"...)
	for _, c := range []struct {
		name string
		tbs  []byte
		rc   byte
	}{
		{"SHA-256 transcript", good, 0},
		{"SHA-384 transcript", append(bytes.Clone(tlsPrefix), hash48...), 0},
		{"transcript of zeros", append(bytes.Clone(tlsPrefix), make([]byte, 32)...), 0},
		{"transcript that looks like the prefix", append(bytes.Clone(tlsPrefix), tlsPrefix[:48]...), 0},
		{"empty", []byte{}, 1},
		{"prefix without a transcript", tlsPrefix, 1},
		{"31 bytes of transcript", append(bytes.Clone(tlsPrefix), hash32[:31]...), 1},
		{"33 bytes of transcript", append(bytes.Clone(tlsPrefix), hash48[:33]...), 1},
		{"47 bytes of transcript", append(bytes.Clone(tlsPrefix), hash48[:47]...), 1},
		{"49 bytes of transcript", append(append(bytes.Clone(tlsPrefix), hash48...), 0), 1},
		{"64 bytes of transcript", append(bytes.Clone(tlsPrefix), make([]byte, 64)...), 1},
		{"63 spaces", good[1:], 1},
		{"65 spaces", append([]byte{0x20}, good...), 1},
		{"first byte is no space", change(0, 0), 1},
		{"last padding byte is no space", change(63, 0x21), 1},
		{"context of the server", append(server, hash32...), 1},
		{"context in another case", change(64, 't'), 1},
		{"another version", change(len("TLS 1.")+64, '2'), 1},
		{"separator is not zero", change(len(tlsPrefix)-1, 1), 1},
		{"separator left out", append(bytes.Clone(tlsPrefix[:len(tlsPrefix)-1]), hash32...), 1},
		{"a proof", proveMessage(*digestOf("n"), digestOf("c"), nil, nil, nil, 0, 2, []byte{1}), 1},
	} {
		f.block(c.name, "tbs", c.tbs, "rc", []byte{c.rc})
	}
}

func mustSPKI(t testing.TB, pub crypto.PublicKey) []byte {
	t.Helper()
	spki, err := spkiOf(pub)
	if err != nil {
		t.Fatal(err)
	}
	return spki
}
