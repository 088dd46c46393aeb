// SPDX-License-Identifier: Apache-2.0

package record_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	formatsnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"provisioning.example/station/internal/record"
)

// TestCosignatureOpensInAnotherImplementation: another reader takes ours, and we take what another signer makes.
func TestCosignatureOpensInAnotherImplementation(t *testing.T) {
	station := newKey(t)
	c := record.Checkpoint{Origin: origin, Size: 4711, Root: record.Leaf([]byte("root"))}
	signed := sign(t, station, c)
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1700000000, 0)
	cosigned, err := record.Cosign("ulm.example/plant", key, signed, at)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := record.NewCosigner("ulm.example/plant", pub)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := formatsnote.NewVerifier(ours.String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(cosigned, note.VerifierList(theirs, verifier(t, station)))
	if err != nil || len(n.Sigs) != 2 {
		t.Fatalf("another implementation: %v, %+v", err, n)
	}
	if point, when, err := ours.Open(cosigned); err != nil || point != c || !when.Equal(at) {
		t.Errorf("opened %+v of %s, %v", point, when, err)
	}
	if point, err := verifier(t, station).Open(cosigned); err != nil || point != c {
		t.Errorf("the station's own signature on it: %+v, %v", point, err)
	}
	for what, bad := range map[string][]byte{
		"not cosigned": signed,
		"edited":       bytes.Replace(cosigned, []byte("\n4711\n"), []byte("\n4712\n"), 1),
		"too long":     append(bytes.Clone(cosigned), make([]byte, record.MaxNote)...),
	} {
		if point, _, err := ours.Open(bad); err == nil {
			t.Errorf("%s: opened as %+v", what, point)
		}
	}
	back, err := record.ParseCosigner(ours.String())
	if err != nil || back.String() != ours.String() {
		t.Errorf("read back %v, %v", back, err)
	}
	for _, bad := range []string{"", "a+b", strings.Replace(ours.String(), "ulm", "bonn", 1), verifier(t, station).String()} {
		if c, err := record.ParseCosigner(bad); err == nil {
			t.Errorf("%q was taken as %s", bad, c)
		}
	}
	if _, err := record.Cosign("with space", key, signed, at); err == nil {
		t.Error("a name with a space was taken")
	}
}

func FuzzCosigner(f *testing.F) {
	pub := ed25519.PublicKey(make([]byte, ed25519.PublicKeySize))
	c, err := record.NewCosigner("ulm.example/plant", pub)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.String(), []byte("ulm/st-07/1\n4711\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u2014 ulm.example/plant AAAAAAA=\n"))
	f.Fuzz(func(t *testing.T, vkey string, signed []byte) {
		c, err := record.ParseCosigner(vkey)
		if err != nil {
			return
		}
		if c.String() != vkey {
			t.Errorf("parsed %q from %q", c, vkey)
		}
		if point, _, err := c.Open(signed); err == nil && !bytes.HasPrefix(signed, []byte(point.Text())) {
			t.Errorf("opened %+v from %q", point, signed)
		}
	})
}
