// SPDX-License-Identifier: Apache-2.0

package record_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	formatslog "github.com/transparency-dev/formats/log"
	formatsnote "github.com/transparency-dev/formats/note"
	formatsproof "github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"provisioning.example/station/internal/record"
)

var origin = record.Origin{Station: "ulm/st-07", Epoch: 1}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func verifier(t testing.TB, key *ecdsa.PrivateKey) *record.Verifier {
	t.Helper()
	v, err := record.NewVerifier(origin, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func sign(t testing.TB, key *ecdsa.PrivateKey, c record.Checkpoint) []byte {
	t.Helper()
	signed, err := c.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestCheckpointOpensInAnotherImplementation(t *testing.T) {
	key := newKey(t)
	c := record.Checkpoint{Origin: origin, Size: 4711, Root: record.Leaf([]byte("root"))}
	signed := sign(t, key, c)
	theirs, err := formatsnote.NewVerifier(verifier(t, key).String())
	if err != nil {
		t.Fatal(err)
	}
	opened, rest, _, err := formatslog.ParseCheckpoint(signed, origin.String(), theirs)
	if err != nil {
		t.Fatal(err)
	}
	if len(rest) != 0 || opened.Origin != "ulm/st-07/1" || opened.Size != 4711 || !bytes.Equal(opened.Hash, c.Root[:]) {
		t.Errorf("opened %+v, rest %q", opened, rest)
	}
	ours, err := verifier(t, key).Open(signed)
	if err != nil || ours != c {
		t.Errorf("opened %+v, %v; want %+v", ours, err, c)
	}
	read, err := record.ReadCheckpoint(signed)
	if err != nil || read != c {
		t.Errorf("read %+v, %v; want %+v", read, err, c)
	}
}

func TestCheckpointRefusals(t *testing.T) {
	key := newKey(t)
	c := record.Checkpoint{Origin: origin, Size: 7, Root: record.Leaf(nil)}
	good := string(sign(t, key, c))
	other := c
	other.Origin.Epoch = 2
	resign := func(text string) string {
		signed, err := note.Sign(&note.Note{Text: text}, rawSigner{verifier(t, key), key})
		if err != nil {
			t.Fatal(err)
		}
		return string(signed)
	}
	if _, err := verifier(t, key).Open([]byte(resign(c.Text()))); err != nil {
		t.Fatalf("the helper of this test does not sign: %v", err)
	}
	for name, bad := range map[string]string{
		"empty":          "",
		"no signature":   c.Text() + "\n",
		"other key":      string(sign(t, newKey(t), c)),
		"other epoch":    string(sign(t, key, other)),
		"size edited":    strings.Replace(good, "\n7\n", "\n8\n", 1),
		"foreign origin": resign(strings.Replace(c.Text(), "st-07", "st-08", 1)),
		"extension":      resign(c.Text() + "more\n"),
		"leading zero":   resign(strings.Replace(c.Text(), "\n7\n", "\n07\n", 1)),
		"negative":       resign(strings.Replace(c.Text(), "\n7\n", "\n-7\n", 1)),
		"short root":     resign("ulm/st-07/1\n7\nAAAA\n"),
		"too long":       good + strings.Repeat("x", record.MaxNote),
	} {
		if got, err := verifier(t, key).Open([]byte(bad)); err == nil {
			t.Errorf("%s: opened as %+v", name, got)
		}
	}
}

// rawSigner signs any text under the origin's name.
type rawSigner struct {
	*record.Verifier
	key *ecdsa.PrivateKey
}

func (s rawSigner) Sign(msg []byte) ([]byte, error) {
	digest := sha256.Sum256(msg)
	return s.key.Sign(rand.Reader, digest[:], crypto.SHA256)
}

func TestVerifierKeyText(t *testing.T) {
	v := verifier(t, newKey(t))
	back, err := record.ParseVerifier(v.String())
	if err != nil || back.String() != v.String() || back.Origin() != origin {
		t.Fatalf("read back %v, %v", back, err)
	}
	name, rest, _ := strings.Cut(v.String(), "+")
	id, key, _ := strings.Cut(rest, "+")
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := record.NewVerifier(origin, p384.Public()); err == nil {
		t.Error("a P-384 key was taken")
	}
	for what, bad := range map[string]string{
		"empty":        "",
		"no key":       name + "+" + id,
		"wrong id":     name + "+00000000+" + key,
		"id in caps":   name + "+" + strings.ToUpper("0a"+id[2:]) + "+" + key,
		"wrong type":   name + "+" + id + "+" + base64.StdEncoding.EncodeToString([]byte{1, 2, 3}),
		"no origin":    "x+" + id + "+" + key,
		"not a key":    name + "+" + id + "+" + base64.StdEncoding.EncodeToString([]byte{2, 2, 3}),
		"spaced start": " " + v.String(),
	} {
		if _, err := record.ParseVerifier(bad); err == nil {
			t.Errorf("%s: %q was taken", what, bad)
		}
	}
}

func TestOrigin(t *testing.T) {
	for _, bad := range []string{"", "a/b", "a/b/0", "a/b/01", "a/b/-1", "a/b/c", "a//1", "/b/1", "a b/c/1", "a+b/c/1", "a/b/1/2", "ä/b/1", "a/b/1048577", strings.Repeat("a", 128) + "/b/1"} {
		if o, err := record.ParseOrigin(bad); err == nil {
			t.Errorf("%q was taken as %+v", bad, o)
		}
	}
	if o, err := record.ParseOrigin("ulm/st-07/1"); err != nil || o != origin || o.String() != "ulm/st-07/1" {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestProofOfEveryLeaf(t *testing.T) {
	key := newKey(t)
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, n := range at {
			out[i] = hashes[n]
		}
		return out, nil
	})
	const size = 11
	for n := range int64(size) {
		more, err := tlog.StoredHashes(n, []byte{byte(n)}, reader)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, more...)
	}
	root, err := tlog.TreeHash(size, reader)
	if err != nil {
		t.Fatal(err)
	}
	signed := sign(t, key, record.Checkpoint{Origin: origin, Size: size, Root: root})
	for n := range int64(size) {
		path, err := tlog.ProveRecord(size, n, reader)
		if err != nil {
			t.Fatal(err)
		}
		p := record.Proof{Index: n, Hashes: path, Checkpoint: signed}
		back, err := record.ParseProof(p.Marshal())
		if err != nil {
			t.Fatal(err)
		}
		if c, err := back.Verify(verifier(t, key), []byte{byte(n)}); err != nil || c.Size != size {
			t.Errorf("leaf %d: %+v, %v", n, c, err)
		}
		if _, err := back.Verify(verifier(t, key), []byte{byte(n + 1)}); err == nil {
			t.Errorf("leaf %d proves another entry", n)
		}
		var theirs formatsproof.TLogProof
		if err := theirs.Unmarshal(p.Marshal()); err != nil || theirs.Index != uint64(n) || len(theirs.Hashes) != len(path) || !bytes.Equal(theirs.Checkpoint, signed) {
			t.Errorf("leaf %d: another implementation reads %+v, %v", n, theirs, err)
		}
	}
	beyond := record.Proof{Index: size, Checkpoint: signed}
	if _, err := beyond.Verify(verifier(t, key), nil); err == nil {
		t.Error("a leaf beyond the checkpoint was proven")
	}
}

func FuzzCheckpoint(f *testing.F) {
	key := newKey(f)
	v := verifier(f, key)
	f.Add(sign(f, key, record.Checkpoint{Origin: origin, Size: 4711}))
	f.Add([]byte("ulm/st-07/1\n4711\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— ulm/st-07/1 AAAAAAA=\n"))
	f.Fuzz(func(t *testing.T, signed []byte) {
		if c, err := record.ReadCheckpoint(signed); err == nil && !bytes.HasPrefix(signed, []byte(c.Text())) {
			t.Errorf("read %+v from %q", c, signed)
		}
		if c, err := v.Open(signed); err == nil && !bytes.HasPrefix(signed, []byte(c.Text())) {
			t.Errorf("opened %+v from %q", c, signed)
		}
	})
}

func FuzzProof(f *testing.F) {
	f.Add(record.Proof{Index: 3, Hashes: tlog.RecordProof{{1}, {2}}, Checkpoint: []byte("ulm/st-07/1\n4\n\n")}.Marshal())
	f.Add([]byte("c2sp.org/tlog-proof@v1\nindex 0\n\nx\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if p, err := record.ParseProof(file); err == nil && !bytes.Equal(p.Marshal(), file) {
			t.Errorf("parsed %+v from %q", p, file)
		}
	})
}

func FuzzVerifierKey(f *testing.F) {
	f.Add(verifier(f, newKey(f)).String())
	f.Add("ulm/st-07/1+00000000+AjBZ")
	f.Fuzz(func(t *testing.T, vkey string) {
		if v, err := record.ParseVerifier(vkey); err == nil && v.String() != vkey {
			t.Errorf("parsed %q from %q", v, vkey)
		}
	})
}
