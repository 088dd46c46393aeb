// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// challenged is a ledger with an answer to a challenge.
type challenged struct {
	*reader.Reader
	answer *record.Challenge
}

func (c challenged) Challenge() *record.Challenge { return c.answer }

// answers asks the TPM.
func (c *ceremonial) answers(nonce []byte) *record.Challenge {
	c.t.Helper()
	a, err := ledger.Answer(c.t.Context(), c.moment(), 1, c.counter, nonce)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

func (c *ceremonial) moment() *reader.Reader {
	c.t.Helper()
	m, err := c.reader().Snapshot(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { m.Close() }) //nolint:errcheck // test
	return m
}

func (c *ceremonial) judge(anchors audit.Anchors, answer *record.Challenge) *audit.Report {
	c.t.Helper()
	r, err := audit.Verify(c.t.Context(), challenged{c.moment(), answer}, anchors)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func TestChallengeIsAnswered(t *testing.T) {
	c := sealed(t)
	nonce := []byte("sixteen bytes, and then some")
	answer := c.answers(nonce)
	asking := c.anchors()
	asking.Nonce = nonce
	r := c.judge(asking, answer)
	if !r.OK() || r.Grade() != audit.Valid || r.Challenge == nil || !r.Challenge.Asked || !r.Challenge.Proven || r.Challenge.Counter != answer.NV {
		t.Fatalf("%s: %+v\n%v", r.Verdict(), r.Challenge, r.Findings)
	}
	if want := fmt.Sprintf("; your challenge is answered: the TPM's counter is at %d, as the last seal says", answer.NV); !strings.HasSuffix(r.Verdict(), want) {
		t.Errorf("%s\nends with something else than %s", r.Verdict(), want)
	}
	// Who asked nothing is told, and who has no root learns that nobody vouches for the TPM.
	if r := c.judge(c.anchors(), answer); r.Grade() != audit.Valid || r.Challenge == nil || r.Challenge.Asked || !strings.Contains(r.Verdict(), "a challenge is answered (nonce "+answer.Nonce) {
		t.Errorf("%s: %+v", r.Verdict(), r.Challenge)
	}
	if r := c.judge(audit.Anchors{Nonce: nonce}, answer); !r.OK() || r.Grade() != audit.Unproven || r.Challenge.Proven || !strings.Contains(r.Verdict(), "by a TPM that no root vouches for") {
		t.Errorf("%s: %+v", r.Verdict(), r.Challenge)
	}
}

func TestChallengeIsRefused(t *testing.T) {
	c := sealed(t)
	nonce, other := []byte("sixteen bytes, and then some"), []byte("sixteen bytes of another day")
	asking := c.anchors()
	asking.Nonce = nonce
	before := c.answers(nonce)
	yesterday := c.answers(other)
	refused := func(name string, anchors audit.Anchors, answer *record.Challenge, want string) {
		t.Helper()
		if r := c.judge(anchors, answer); r.OK() || r.Challenge != nil || r.Grade() != audit.Invalid || !strings.Contains(fmt.Sprint(r.Findings), want) {
			t.Errorf("%s: %s\n%v", name, r.Verdict(), r.Findings)
		}
	}
	refused("none", asking, nil, "came without the TPM's answer")
	refused("to another nonce", asking, yesterday, "it answers the challenge "+yesterday.Nonce)
	forged := *yesterday
	forged.Nonce = hex.EncodeToString(nonce)
	refused("renamed", asking, &forged, "it is not the TPM's answer")
	refused("renamed, for who did not ask", c.anchors(), &forged, "it is not the TPM's answer")
	raised := *before
	raised.NV++
	refused("another value", asking, &raised, fmt.Sprintf("the TPM's counter was at %d", raised.NV))

	// The TPM went on: an answer from before is of an older state, one from now does not fit the older copy.
	c.record(true, nil, []record.Body{{Kind: record.KindStop}})
	refused("before the last entries", asking, before, "it is about checkpoint")
	moment := c.moment()
	if err := c.ledger.Seal(t.Context(), "shift"); err != nil {
		t.Fatal(err)
	}
	var wrong *ledger.SealError
	if _, err := ledger.Answer(t.Context(), moment, 1, c.counter, nonce); !errors.As(err, &wrong) || wrong.Counter != wrong.Sealed+1 {
		t.Errorf("an older moment: %v", err)
	}
	newest, _, err := moment.NewestCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	note := sha256.Sum256(newest.Note)
	value, attested, sig, err := c.counter.Certify(t.Context(), record.ChallengeQualifying(nonce, note))
	if err != nil {
		t.Fatal(err)
	}
	late := &record.Challenge{Nonce: hex.EncodeToString(nonce), Checkpoint: digest(newest.Note), NV: int64(value), Attest: hex.EncodeToString(attested), AttestSig: hex.EncodeToString(sig)}
	r, err := audit.Verify(t.Context(), challenged{moment, late}, asking)
	if err != nil || r.OK() || !strings.Contains(fmt.Sprint(r.Findings), "this is an older copy") {
		t.Errorf("an older copy with today's answer: %v, %v", r, err)
	}
	// A seal's own word is no answer.
	_, word := c.seals()
	refused("a seal's word", asking, &record.Challenge{
		Nonce: hex.EncodeToString(nonce), Checkpoint: c.answers(nonce).Checkpoint, NV: word.NV, Attest: word.Attest, AttestSig: word.AttestSig,
	}, "it is not the TPM's answer")
}

// TestChallengeWithoutEvidence: a ledger that does not say which TPM it is of cannot have a challenge answered.
func TestChallengeWithoutEvidence(t *testing.T) {
	c := newCeremonial(t)
	c.record(true, nil, []record.Body{{Kind: record.KindStop}})
	if err := c.ledger.Seal(t.Context(), "shift"); err != nil {
		t.Fatal(err)
	}
	nonce := []byte("sixteen bytes, and then some")
	answer := c.answers(nonce)
	if r := c.judge(audit.Anchors{}, answer); !r.OK() || r.Challenge != nil {
		t.Errorf("nobody asked: %s: %+v", r.Verdict(), r.Challenge)
	}
	if r := c.judge(audit.Anchors{Nonce: nonce}, answer); r.OK() || !strings.Contains(fmt.Sprint(r.Findings), "cannot be checked") {
		t.Errorf("somebody asked: %s", r.Verdict())
	}
}

// TestGrades: the words that programs rely on, and what the JSON holds.
func TestGrades(t *testing.T) {
	c := sealed(t)
	for name, try := range map[string]struct {
		anchors func() audit.Anchors
		want    audit.Grade
		begins  string
	}{
		"a root":                  {c.anchors, audit.Valid, "valid, origin proven: "},
		"nobody":                  {func() audit.Anchors { return audit.Anchors{} }, audit.Unproven, "self-consistent, origin not proven: "},
		"a root, and another TPM": {func() audit.Anchors { a := c.anchors(); a.Trust.Pins = [][32]byte{{1}}; return a }, audit.Invalid, "NOT VALID: "},
	} {
		r := c.verify(try.anchors())
		if r.Grade() != try.want || !strings.HasPrefix(r.Verdict(), try.begins) {
			t.Errorf("%s: %s, %s", name, r.Grade(), r.Verdict())
		}
		text, err := audit.JSON(r)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if got["grade"] != string(try.want) || got["ok"] != (try.want != audit.Invalid) || got["verdict"] != r.Verdict() || got["entries"] != float64(r.Entries) {
			t.Errorf("%s: %s", name, text)
		}
	}
	r := c.verify(c.anchors())
	want := fmt.Sprintf("complete: ulm/st-07/1, entries 1 to %d, of these %d under the newest signed checkpoint; last seal: entry %d at counter %d, with the TPM's word for it; 0 entries after it",
		r.Entries, r.Entries-1, r.Entries-1, r.Epochs[0].Counter)
	if lines := r.Details(); len(lines) == 0 || lines[0] != want {
		t.Errorf("%q\nwant %q", lines, want)
	}
}
