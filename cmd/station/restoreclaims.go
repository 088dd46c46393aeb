// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// What import entries call a thing that only lost entries had, as far as a
// witness knew of it.
const (
	lostUnitWhat   = "unit of lost entries"
	lostNumberWhat = "revocation list of lost entries"
)

// held is one thing that a lost entry took, and that stays taken: what a unit
// holds, or the number of an issuer's revocation list.
type held struct {
	Serial    string         `json:"serial,omitempty"`
	Model     string         `json:"model,omitempty"`
	UID       string         `json:"uid,omitempty"`
	SPKI      string         `json:"spki_sha256,omitempty"`
	Claims    []record.Claim `json:"claims,omitempty"`
	IssuerKey string         `json:"issuer_key,omitempty"`
	Number    int64          `json:"number,omitempty"`
}

func (h held) body() record.Body {
	b := record.Body{
		Kind: record.KindImport, What: lostUnitWhat, Serial: h.Serial, Model: h.Model, UID: h.UID, SPKI: h.SPKI, Claims: h.Claims,
		IssuerKey: h.IssuerKey, Number: h.Number,
	}
	if h.IssuerKey != "" {
		b.What = lostNumberWhat
	}
	return b
}

// holdings is what is held at the end of a witness by entries that the copy
// does not have.
type holdings struct {
	set  record.ClaimSet
	lost map[reader.Cursor]record.Body
}

// follow takes the next entry of the witness.
func (h *holdings) follow(e record.Entry, lost bool) {
	b, err := record.Decode(e.Raw)
	if err != nil {
		return // what does not read claims nothing
	}
	e.Body = b
	h.set.Apply(e)
	if lost && len(b.Claims) > 0 {
		if h.lost == nil {
			h.lost = map[reader.Cursor]record.Body{}
		}
		h.lost[reader.Cursor{Epoch: e.Epoch, Seq: e.Seq}] = b
	}
}

// keep adds what lost entries hold to what is known of the loss.
func (l *loss) keep(h *holdings) {
	all := h.set.Held()
	slices.SortFunc(all, func(a, b record.HeldClaim) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Value, b.Value))
	})
	for _, c := range all {
		if b, lost := h.lost[reader.Cursor{Epoch: c.Epoch, Seq: c.Seq}]; lost && c.Kind != record.ClaimRun {
			l.hold(b, c.Claim)
		}
	}
}

// hold remembers one claim, with the others of the same entry.
func (l *loss) hold(b record.Body, c record.Claim) {
	if l.taken[c] {
		return // another witness said so
	}
	l.taken[c] = true
	one := held{Serial: b.Serial, Model: b.Model, UID: b.UID, SPKI: b.SPKI, Claims: []record.Claim{c}}
	if n := len(l.held) - 1; n >= 0 && l.held[n].Model == b.Model && l.held[n].UID == b.UID && l.held[n].Serial == b.Serial && l.held[n].SPKI == b.SPKI {
		l.held[n].Claims = append(l.held[n].Claims, c)
		return
	}
	l.held = append(l.held, one)
}

// number remembers the newest revocation list of each issuer that is lost.
func (l *loss) number(b record.Body) {
	at := slices.IndexFunc(l.held, func(h held) bool { return h.IssuerKey == b.IssuerKey })
	if at < 0 {
		l.held = append(l.held, held{IssuerKey: b.IssuerKey, Number: b.Number})
		return
	}
	l.held[at].Number = max(l.held[at].Number, b.Number)
}

// spare marks what the copy's own units hold: that stays theirs.
func (l *loss) spare(ctx context.Context, r *reader.Reader) error {
	var set record.ClaimSet
	for e, err := range r.Raw(ctx, 0, 0) {
		if err != nil {
			return err
		}
		if e.Body, err = record.Decode(e.Raw); err != nil {
			return err
		}
		set.Apply(e)
	}
	l.taken = map[record.Claim]bool{}
	for _, c := range set.Held() {
		l.taken[c.Claim] = true
	}
	return nil
}

const lostHoldings = "lost-held.jsonl"

func (x *restoring) heldPath() string { return filepath.Join(x.aside(), lostHoldings) }

// lines is what is held, one a line.
func (l *loss) lines() []byte {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	for _, h := range l.held {
		_ = e.Encode(h) // into memory
	}
	return text.Bytes()
}

// heldEntries blocks what lost entries took: the new epoch has it on record, so
// that no other unit gets it, and until its unit is reworked or scrapped.
func (x *restoring) heldEntries() (b ledger.Batch, err error) {
	if x.cfg.Restore.Held == 0 {
		return b, nil
	}
	text, err := os.ReadFile(x.heldPath())
	if err != nil {
		return b, err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, record.MaxBody)
	for lines.Scan() {
		var h held
		if err := json.Unmarshal(lines.Bytes(), &h); err != nil {
			return b, fmt.Errorf("%s: %w", x.heldPath(), err)
		}
		body := h.body()
		body.File, body.FileDigest = lostHoldings, digestOf(text)
		body.Reason, body.Approver, body.Operator, body.Software = x.cfg.Reason, x.cfg.Approver, x.cfg.Operator, software()
		b.Bodies = append(b.Bodies, body)
	}
	return b, lines.Err()
}

// lostNumber is the number of the newest revocation list of an issuer that only
// lost entries had, as far as is on record; 0: none.
func lostNumber(ctx context.Context, r *reader.Reader, issuerKey string) (n int64, err error) {
	for at, more := (reader.Cursor{}), true; more; {
		page, next, older, err := r.Page(ctx, reader.Filter{Kinds: []string{record.KindImport}}, at, reader.MaxPage)
		if err != nil {
			return 0, err
		}
		for _, e := range page {
			if e.Body.What == lostNumberWhat && e.Body.IssuerKey == issuerKey {
				n = max(n, e.Body.Number)
			}
		}
		at, more = next, older
	}
	return n, nil
}
