// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/ledger"
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
	if !r.OK() || r.Seals != 3 || r.Certified != 3 || r.Unvouched != 0 || r.Unsealed != 0 || r.Uncovered != 0 {
		t.Fatalf("%s\n%v", r.Verdict(), r.Findings)
	}
	if r := c.verify(audit.Anchors{}); r.Unvouched != 3 { // nobody is believed
		t.Fatal(r.Verdict())
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

// TestAnotherCounter seals with a counter that the root never saw, and puts it on record as if the root had, before or after what it
// did see. Who has the checkpoint key and the TPM can do that.
func TestAnotherCounter(t *testing.T) {
	for name, first := range map[string]bool{"before": true, "after": false} {
		t.Run(name, func(t *testing.T) {
			c := newCeremonial(t)
			other := newCounter(t, c.chip)
			shown := c.request
			forged := naming(t, c.request, c.counter.Ref().Name, other.Ref().Name)
			c.config.Counter, c.config.Path = other, filepath.Join(t.TempDir(), "other.db")
			if err := ledger.Create(t.Context(), c.config); err != nil {
				t.Fatal(err)
			}
			for _, forgery := range []bool{first, !first} {
				if c.request = shown; forgery {
					c.request = forged
				}
				c.archive(c.challenge, c.answer)
			}
			c.request = shown
			c.sign(c.answer)
			r := c.verify(c.anchors())
			if r.OK() || !strings.Contains(fmt.Sprint(r.Findings), "another TPM, or another counter") {
				t.Fatalf("%s\n%v", r.Verdict(), r.Findings)
			}
		})
	}
}

// naming is a request that names another counter.
func naming(t *testing.T, r *ceremony.Request, was, is [34]byte) *ceremony.Request {
	t.Helper()
	blocks, err := ceremony.Blocks(r.Encode())
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for _, b := range blocks {
		b.Bytes = bytes.ReplaceAll(b.Bytes, []byte(hex.EncodeToString(was[:])), []byte(hex.EncodeToString(is[:])))
		text = append(text, pem.EncodeToMemory(b)...)
	}
	forged, err := ceremony.ParseRequest(text)
	if err != nil {
		t.Fatal(err)
	}
	return forged
}

// TestUnvouchedTPM: words of a TPM that the root does not vouch for are told apart.
func TestUnvouchedTPM(t *testing.T) {
	c := newCeremonial(t)
	c.archive(c.challenge, c.answer)
	c.sign(nil)
	const want = "2 seals, 2 certified by the TPM (2 of these by one that no root vouches for), "
	if r := c.verify(c.anchors()); !r.OK() || r.Unvouched != 2 || !strings.Contains(r.Verdict(), want) {
		t.Fatalf("%s\n%v", r.Verdict(), r.Findings)
	}
}

// TestUnsealedEpoch begins an epoch without a counter after one that was sealed.
func TestUnsealedEpoch(t *testing.T) {
	c := sealed(t)
	c.shut()
	c.config.Origin, c.config.Signer, c.config.Counter = "ulm/st-07/2", newKey(t), nil
	err := ledger.NextEpoch(t.Context(), c.config, record.Body{
		Kind: record.KindHandover, Operator: "op-17", Software: "test", Reason: "new TPM", Approver: "qa-2",
	})
	if err != nil {
		t.Fatal(err)
	}
	c.record(true, nil, []record.Body{{Kind: record.KindStop}, {Kind: record.KindStop}})
	r := c.verify(c.anchors())
	if r.OK() || r.Unsealed != 3 || !strings.Contains(fmt.Sprint(r.Findings), "epoch 2 has no seal") {
		t.Fatalf("%d unsealed: %s", r.Unsealed, r.Verdict())
	}
}
