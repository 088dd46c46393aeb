// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

func handover(reason string) record.Body {
	b := body(record.KindHandover)
	b.Reason, b.Approver = reason, "qa-2"
	return b
}

// next is the configuration of the epoch after c's, with a key of its own.
func next(t testing.TB, c ledger.Config) ledger.Config {
	t.Helper()
	o, err := record.ParseOrigin(c.Origin)
	if err != nil {
		t.Fatal(err)
	}
	o.Epoch++
	return ledger.Config{Path: c.Path, Origin: o.String(), Signer: newKey(t)}
}

func shut(t testing.TB, l *ledger.Ledger) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestEpochs goes through three epochs: what units hold, and what is known of them, goes over all of them.
func TestEpochs(t *testing.T) {
	c := create(t)
	first := c
	for epoch := 1; epoch <= 3; epoch++ {
		if epoch > 1 {
			n := next(t, c)
			if err := ledger.NextEpoch(t.Context(), n, handover("new TPM")); err != nil {
				t.Fatal(err)
			}
			c = n
		}
		l := open(t, c)
		if _, covered := l.Size(); epoch > 1 && covered != 1 {
			t.Errorf("epoch %d begins with %d covered entries", epoch, covered)
		}
		u := newUnit(epoch)
		appendTo(t, l, bodies(u.body(record.KindBegun), claiming(u.key(), u.claims()...)))
		if epoch > 1 {
			thief := newUnit(10 + epoch)
			thief.serial = newUnit(1).serial
			_, err := l.Append(t.Context(), bodies(thief.body(record.KindBegun), claiming(thief.key(), thief.claims()...)))
			var claim *ledger.ClaimError
			if !errors.As(err, &claim) || claim.Epoch != 1 {
				t.Errorf("epoch %d gives a serial of epoch 1 away: %v", epoch, err)
			}
			found, err := l.Reader().EntriesOf(t.Context(), reader.Query{Serial: newUnit(1).serial})
			if err != nil || len(found) == 0 || found[0].Epoch != 1 {
				t.Errorf("epoch %d does not find the unit of epoch 1: %v, %v", epoch, found, err)
			}
			open, err := l.Reader().OpenRuns(t.Context())
			if err != nil || len(open) != epoch {
				t.Errorf("epoch %d finds %d open runs, %v", epoch, len(open), err)
			}
		}
		size, _ := l.Size()
		if err := l.Cover(t.Context(), size); err != nil {
			t.Fatal(err)
		}
		proof, err := l.Reader().Proof(t.Context(), 1, 1)
		if err != nil || len(proof.Checkpoint) == 0 {
			t.Errorf("epoch %d: no proof of an entry of epoch 1: %v", epoch, err)
		}
		shut(t, l)
	}
	if _, err := ledger.Open(t.Context(), first); err == nil || !strings.Contains(err.Error(), "is the ledger of ulm/st-07/3, not of ulm/st-07/1") {
		t.Errorf("an epoch that has ended is opened: %v", err)
	}
}

// TestHandoverNamesWhatWentBefore binds also the entries that the old key did not come to sign for.
func TestHandoverNamesWhatWentBefore(t *testing.T) {
	c := create(t)
	l := open(t, c)
	appendTo(t, l, bodies(stop("covered")))
	if err := l.Cover(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	appendTo(t, l, bodies(stop("not covered"), stop("nor this")))
	newest, _, err := l.Reader().NewestCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	root, err := l.Reader().Root(t.Context(), 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	shut(t, l)
	n := next(t, c)
	if err := ledger.NextEpoch(t.Context(), n, handover("the TPM is dead")); err != nil {
		t.Fatal(err)
	}
	l = open(t, n)
	e, err := l.Reader().Entry(t.Context(), 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	b := e.Body
	if b.Origin != testOrigin || b.Size != 1 || b.Count != 3 || b.Tree != fmt.Sprintf("%x", root[:]) || b.Station != "ulm/st-07" || b.Time == "" {
		t.Errorf("the handover says %+v", b)
	}
	if note, err := l.Reader().Blob(t.Context(), b.Checkpoint); err != nil || string(note) != string(newest.Note) {
		t.Errorf("the handover names checkpoint %q, %v, the last was %q", note, err, newest.Note)
	}
}

// TestNextEpochAgain is the start after a power cut: what was begun is left as it is.
func TestNextEpochAgain(t *testing.T) {
	c := create(t)
	l := open(t, c)
	appendTo(t, l, bodies(stop("x")))
	if err := l.Cover(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	shut(t, l)
	n := next(t, c)
	for range 2 {
		if err := ledger.NextEpoch(t.Context(), n, handover("new TPM")); err != nil {
			t.Fatal(err)
		}
	}
	l = open(t, n)
	if size, _ := l.Size(); size != 1 {
		t.Errorf("the new epoch has %d entries, want the handover", size)
	}
	shut(t, l)
	n.Signer = newKey(t)
	if err := ledger.NextEpoch(t.Context(), n, handover("new TPM")); err == nil || !strings.Contains(err.Error(), "begun with another key") {
		t.Errorf("begun with one key, gone on with another: %v", err)
	}
}

// TestNextEpochRefuses tells why, and leaves the file as it is.
func TestNextEpochRefuses(t *testing.T) {
	c := create(t)
	l := open(t, c)
	appendTo(t, l, bodies(stop("x")))
	if err := l.Cover(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	shut(t, l)
	before, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	unapproved := handover("new TPM")
	unapproved.Approver = ""
	for name, try := range map[string]struct {
		origin string
		body   record.Body
		want   string
	}{
		"an epoch left out": {"ulm/st-07/3", handover("x"), "which ulm/st-07/3 does not follow"},
		"another station":   {"ulm/st-08/2", handover("x"), "which ulm/st-08/2 does not follow"},
		"another kind":      {"ulm/st-07/2", stop("x"), "begins with a handover or restored entry"},
		"no approval":       {"ulm/st-07/2", unapproved, "lacks approver"},
		"the same epoch":    {"ulm/st-07/1", handover("x"), "begun with another key"},
	} {
		n := next(t, c)
		n.Origin = try.origin
		if err := ledger.NextEpoch(t.Context(), n, try.body); err == nil || !strings.Contains(err.Error(), try.want) {
			t.Errorf("%s: %v, want %q", name, err, try.want)
		}
	}
	if after, err := os.ReadFile(c.Path); err != nil || string(after) != string(before) {
		t.Errorf("the file was changed, %v", err)
	}
	empty := create(t)
	if err := ledger.NextEpoch(t.Context(), next(t, empty), handover("x")); err == nil || !strings.Contains(err.Error(), "nothing to go on from") {
		t.Errorf("a ledger without entries: %v", err)
	}
}
