// SPDX-License-Identifier: Apache-2.0

package record_test

import (
	"slices"
	"strings"
	"testing"

	"provisioning.example/station/internal/record"
)

// TestClaimSet tells stories of entries and what is held, and wrong, at their end.
// An entry is: kind board serial [+claims] [-releases] [=certificate].
func TestClaimSet(t *testing.T) {
	for _, story := range []struct{ name, entries, held, wrong string }{
		{"one unit", "begun A 1 +serial,uid", "run@1 serial:1@1 uid:m/A@1", ""},
		{"it ends", "begun A 1 +serial,uid;end A 1", "serial:1@1 uid:m/A@1", ""},
		{"the same unit again keeps its first entry", "begun A 1 +serial;end A 1;begun A 1 +serial", "run@3 serial:1@1", ""},
		{"another unit", "begun A 1 +serial;begun B 1 +serial", "run@1 run@2 serial:1@1", "takes serial 1, which board m/A holds since entry 1"},
		{"given back without a certificate", "begun A 1 +serial;end A 1 -serial;begun B 1 +serial", "run@3 serial:1@3", ""},
		{"given back with a certificate", "begun A 1 +serial;issued A 1 =c;end A 1 -serial", "serial:1@1", "although certificate c was issued"},
		{"given back after revocation", "begun A 1 +serial;issued A 1 =c;revoked A 1 =c;end A 1 -serial", "", ""},
		{"given back by another", "begun A 1 +serial;begun B 1;end B 1 -serial", "run@1 serial:1@1", "releases serial 1 of board m/A"},
		{"what nobody holds", "begun A 1;end A 1 -serial", "", ""},
		{"rework", "begun A 1 +serial,uid;issued A 1 =c;end A 1;rework A 1 -serial,uid;begun B 1 +serial", "run@5 serial:1@5", ""},
		{"after a rework the next attempt may fail", "begun A 1 +serial;issued A 1 =c;rework A 1 -serial;begun A 1 +serial;end A 1 -serial", "", ""},
		{"scrap", "begun A 1 +uid;issued A 1 =c;end A 1;scrap A 1 -uid", "", ""},
		{"only begun opens a run", "key A 1;issuing A 1", "", ""},
	} {
		var set record.ClaimSet
		var wrong []string
		for i, text := range strings.Split(story.entries, ";") {
			wrong = append(wrong, set.Apply(record.Entry{Epoch: 1, Seq: int64(i + 1), Body: storyBody(text)})...)
		}
		var held []string
		for _, c := range set.Held() {
			name := c.Kind + ":" + c.Value
			if c.Kind == record.ClaimRun {
				name = c.Kind
			}
			held = append(held, name+"@"+string(rune('0'+c.Seq)))
		}
		slices.Sort(held)
		if got := strings.Join(held, " "); got != story.held {
			t.Errorf("%s: held %q, want %q", story.name, got, story.held)
		}
		if got := strings.Join(wrong, "; "); (story.wrong == "") != (got == "") || !strings.Contains(got, story.wrong) {
			t.Errorf("%s: wrong is %q, want %q", story.name, got, story.wrong)
		}
	}
}

func storyBody(text string) record.Body {
	words := strings.Fields(text)
	b := record.Body{Kind: words[0], Model: "m", UID: words[1], Serial: words[2], Run: "run of " + words[1]}
	for _, w := range words[3:] {
		var claims []record.Claim
		for kind := range strings.SplitSeq(w[1:], ",") {
			claims = append(claims, record.Claim{Kind: kind, Value: b.Says(kind)})
		}
		switch w[0] {
		case '+':
			b.Claims = claims
		case '-':
			b.Releases = claims
		case '=':
			b.Cert, b.CertSerial = w[1:], w[1:]
		}
	}
	return b
}
