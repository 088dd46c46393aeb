// SPDX-License-Identifier: Apache-2.0

package record_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"provisioning.example/station/internal/record"
)

func TestParseNonce(t *testing.T) {
	nonce := bytes.Repeat([]byte{0xfb, 0xef, 0x11, 0x20}, 8)
	for _, text := range []string{
		hex.EncodeToString(nonce), strings.ToUpper(hex.EncodeToString(nonce)),
		base64.RawURLEncoding.EncodeToString(nonce), base64.URLEncoding.EncodeToString(nonce),
	} {
		if got, err := record.ParseNonce(text); err != nil || !bytes.Equal(got, nonce) {
			t.Errorf("%q: %x, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "1", "00112233445566778899aabbccddee", hex.EncodeToString(make([]byte, 65)), "not a nonce but it is long enough",
		base64.StdEncoding.EncodeToString(nonce), hex.EncodeToString(nonce) + "\n",
	} {
		if got, err := record.ParseNonce(text); err == nil {
			t.Errorf("%q is taken as %x", text, got)
		}
	}
}

func challenge() record.Challenge {
	return record.Challenge{
		Nonce: strings.Repeat("0f", 16), Checkpoint: strings.Repeat("a5", 32), NV: 7,
		Attest: "ff54434780148018", AttestSig: "0018000b",
	}
}

func TestParseChallenge(t *testing.T) {
	c := challenge()
	text, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := record.ParseChallenge(text); err != nil || *got != c {
		t.Fatalf("%+v, %v", got, err)
	}
	for name, change := range map[string]func(*record.Challenge){
		"a short nonce":     func(c *record.Challenge) { c.Nonce = "00" },
		"upper case":        func(c *record.Challenge) { c.Nonce = strings.ToUpper(c.Nonce) },
		"a long nonce":      func(c *record.Challenge) { c.Nonce = strings.Repeat("00", 65) },
		"half a checkpoint": func(c *record.Challenge) { c.Checkpoint = c.Checkpoint[:32] },
		"no statement":      func(c *record.Challenge) { c.Attest = "" },
		"a long statement":  func(c *record.Challenge) { c.Attest = strings.Repeat("00", 1025) },
		"no signature":      func(c *record.Challenge) { c.AttestSig = "" },
		"no value":          func(c *record.Challenge) { c.NV = 0 },
	} {
		c := challenge()
		change(&c)
		text, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := record.ParseChallenge(text); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for _, bad := range []string{"", "{}", " " + string(text), string(text) + "\n", string(text) + "{}", strings.Replace(string(text), "{", `{"a":1,`, 1)} {
		if _, err := record.ParseChallenge([]byte(bad)); err == nil {
			t.Errorf("%q: taken", bad)
		}
	}
}

func TestChallengeQualifying(t *testing.T) {
	nonce, at := make([]byte, 32), [32]byte{}
	first := record.ChallengeQualifying(nonce, at)
	nonce[0] = 1
	if record.ChallengeQualifying(nonce, at) == first {
		t.Error("another nonce, the same value")
	}
	nonce[0], at[0] = 0, 1
	if record.ChallengeQualifying(nonce, at) == first {
		t.Error("another checkpoint, the same value")
	}
}

func FuzzChallenge(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := record.ParseChallenge(text)
		if err != nil {
			return
		}
		if again, err := c.Encode(); err != nil || !bytes.Equal(again, text) {
			t.Fatalf("read %q, wrote %q: %v", text, again, err)
		}
	})
}
