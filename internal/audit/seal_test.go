// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/tpm"
)

// counter is a TPM's counter as a ledger wants it.
type counter struct{ *tpm.Counter }

func (c counter) Certify(ctx context.Context, qualifying [32]byte) (uint64, []byte, []byte, error) {
	v, said, err := c.Counter.Certify(ctx, qualifying)
	return v, said.Attest, said.Signature, err
}

func newCounter(t *testing.T, chip *tpm.TPM) counter {
	t.Helper()
	auth := []byte("secret")
	ref, err := chip.DefineCounter(t.Context(), auth)
	if err != nil {
		t.Fatal(err)
	}
	c, err := chip.Counter(t.Context(), ref, func() ([]byte, error) { return auth, nil })
	if err != nil {
		t.Fatal(err)
	}
	return counter{c}
}

// sealed is a ledger with seals before and after the station's TPM was made known to its root.
func sealed(t *testing.T) *ceremonial {
	c := newCeremonial(t)
	c.record(true, nil, []record.Body{{Kind: record.KindStop}})
	c.archive(c.challenge, c.answer)
	c.sign(c.answer)
	c.record(true, nil, []record.Body{{Kind: record.KindStop}})
	if err := c.ledger.Seal(t.Context(), "shift"); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSealsAreFollowed(t *testing.T) {
	c := sealed(t)
	r := c.verify(c.anchors())
	if !r.OK() || r.Seals != 3 || r.Certified != 3 || r.Unsealed != 0 || r.Uncovered != 0 {
		t.Fatalf("%s\n%v", r.Verdict(), r.Findings)
	}
	c.record(true, nil, []record.Body{{Kind: record.KindStop}, {Kind: record.KindStop}})
	if r := c.verify(c.anchors()); !r.OK() || r.Unsealed != 2 || !strings.Contains(r.Verdict(), "3 seals, 3 certified by the TPM, 2 entries after the last") {
		t.Fatalf("%s\n%v", r.Verdict(), r.Findings)
	}
}

// TestForgedSeals writes what somebody with the checkpoint key, but not the TPM, could.
func TestForgedSeals(t *testing.T) {
	for name, try := range map[string]struct {
		forge func(c *ceremonial, last, word record.Body) []record.Body
		wrong string
	}{
		"a value left out": {func(_ *ceremonial, last, _ record.Body) []record.Body {
			last.NV += 2
			return []record.Body{last}
		}, "seals are missing"},
		"a value again": {func(_ *ceremonial, last, _ record.Body) []record.Body {
			return []record.Body{last}
		}, "seals are missing"},
		"the last word for the next value": {func(_ *ceremonial, last, word record.Body) []record.Body {
			last.NV++
			word.NV++
			return []record.Body{last, word}
		}, "is the TPM's word over checkpoint"},
		"a word twice": {func(_ *ceremonial, _, word record.Body) []record.Body {
			return []record.Body{word}
		}, "does not follow the seal of that"},
	} {
		t.Run(name, func(t *testing.T) {
			c := sealed(t)
			last, word := c.seals()
			c.record(true, nil, try.forge(c, last, word))
			if r := c.verify(c.anchors()); r.OK() || !strings.Contains(fmt.Sprint(r.Findings), try.wrong) {
				t.Fatalf("%s\n%v", r.Verdict(), r.Findings)
			}
		})
	}
}

// TestForgedWord has another TPM's key, or nobody's, vouch for a seal.
func TestForgedWord(t *testing.T) {
	c := newCeremonial(t)
	c.archive(c.challenge, c.answer)
	c.sign(c.answer)
	c.shut()
	real := c.counter
	c.config.Counter = lying{real}
	c.open() // a seal is made at each opening
	if r := c.verify(c.anchors()); r.OK() || !strings.Contains(fmt.Sprint(r.Findings), "is not the TPM's word") {
		t.Fatalf("%s\n%v", r.Verdict(), r.Findings)
	}
}

// lying is a counter whose TPM signs for something else.
type lying struct{ counter }

func (c lying) Certify(ctx context.Context, qualifying [32]byte) (uint64, []byte, []byte, error) {
	qualifying[0] ^= 1
	return c.counter.Certify(ctx, qualifying)
}

// seals returns the newest seal and the TPM's word for it.
func (c *ceremonial) seals() (last, word record.Body) {
	c.t.Helper()
	err := c.ledger.Reader().Scan(c.t.Context(), 1, 1, func(e record.Entry) error {
		if e.Body.Kind != record.KindSeal {
			return nil
		}
		if _, err := hex.DecodeString(e.Body.Attest); err != nil || e.Body.Attest == "" {
			last = e.Body
		} else {
			word = e.Body
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	last.Time, word.Time = "", ""
	return last, word
}
