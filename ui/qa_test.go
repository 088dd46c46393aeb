// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fyne.io/fyne/v2"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/operator"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

const qaPIN = "770215"

// staff is a register with one person of each role; anna is qa.
func staff(t *testing.T) *operator.Register {
	t.Helper()
	r, err := operator.Open(filepath.Join(t.TempDir(), "operators.toml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []struct {
		who operator.Person
		pin string
	}{
		{operator.Person{ID: "otto", Role: operator.Admin}, "482913"},
		{operator.Person{ID: "anna", Role: operator.QA, Badge: "B-0017"}, qaPIN},
		{operator.Person{ID: "tim", Role: operator.Technician}, ""},
	} {
		var pin []byte
		if p.pin != "" {
			pin = []byte(p.pin)
		}
		if err := r.Add(p.who, pin); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// desk lets qa sit down at the bench, and shows the ledger.
func (b *bench) desk(people *operator.Register) {
	b.t.Helper()
	b.ui.cfg.Desk = Desk{
		QA:     provision.NewQA(provision.Desk{Ledger: b.ledger, Operator: "os:test", Software: "station test"}, people),
		Person: "anna", Verify: b.verify,
	}
	b.ui.build()
	b.ui.choose(1)
	b.until("the ledger screen", func(d description) bool { return d.Ledger != nil && d.Ledger.Rows > 0 })
}

// verify is a real audit without anchors.
func (b *bench) verify(ctx context.Context, tell func(Progress)) (Verdict, error) {
	tell(Progress{"Judging", 1, 2})
	moment, err := b.ledger.Reader().Snapshot(ctx)
	if err != nil {
		return Verdict{}, err
	}
	defer moment.Close() //nolint:errcheck // read only
	report, err := audit.Verify(ctx, moment, audit.Anchors{})
	if err != nil {
		return Verdict{}, err
	}
	return Verdict{Valid: report.OK(), Proven: report.Proven, Line: report.Verdict(), Summary: []string{fmt.Sprintf("%d entries", report.Entries)}}, nil
}

// made provisions boards to the end.
func (b *bench) made(n int) {
	b.t.Helper()
	b.click("provision")
	b.until("the boards to pass", func(d description) bool { return len(d.inState("PASS")) == n })
}

// key presses a key the way the driver does: at the focused object alone.
func (b *bench) key(names ...fyne.KeyName) {
	b.t.Helper()
	for _, name := range names {
		b.ui.window.Canvas().Focused().TypedKey(&fyne.KeyEvent{Name: name})
	}
}

// types writes into whatever has the keyboard.
func (b *bench) types(text string) {
	b.t.Helper()
	for _, r := range text {
		b.ui.window.Canvas().Focused().TypedRune(r)
	}
}

func (b *bench) ledgerSays(what string, met func(describedLedger) bool) describedLedger {
	b.t.Helper()
	d := b.until(what, func(d description) bool { return d.Ledger != nil && met(*d.Ledger) })
	return *d.Ledger
}

// after is the last entry of a kind in the order of the ledger.
func (b *bench) after(kind string) (last record.Body) {
	b.t.Helper()
	for e, err := range b.ledger.Reader().Raw(b.t.Context(), 1, 1) {
		if err != nil {
			b.t.Fatal(err)
		}
		if body, err := record.Decode(e.Raw); err == nil && body.Kind == kind {
			last = body
		}
	}
	return last
}

// A label that is scanned on the ledger screen shows its unit, and the next one
// shows the next; all pages of the unit are turned by keyboard.
func TestScanShowsUnit(t *testing.T) {
	b := newBench(t, 2)
	b.made(2)
	b.desk(staff(t))
	for _, e := range b.ends() {
		b.scanner(e.Body.Serial, fyne.KeyReturn)
		d := b.ledgerSays("the unit", func(d describedLedger) bool { return d.Pane == e.Body.Serial })
		if d.Note != "Passed" || d.Page != "unit-overview" || !slices.Equal(d.Filters, []string{"serial " + e.Body.Serial + ellipsis}) {
			t.Errorf("a scanned unit shows %+v", d)
		}
	}
	u := b.ui.ledger.unit
	if !u.proof.covered || !u.proof.included || u.proof.sealed || len(u.certs) != 1 || u.certs[0].x509 == nil {
		t.Errorf("the unit's evidence: %+v, %d certificates", u.proof, len(u.certs))
	}
	for _, page := range []string{"unit-certificate", "unit-attempts", "unit-timeline", "unit-entry"} {
		b.key(fyne.KeyRight)
		b.ledgerSays(page, func(d describedLedger) bool { return d.Page == page })
	}
	b.key(fyne.KeyEscape)
	b.ledgerSays("the help", func(d describedLedger) bool { return d.Page == "help" })
	if b.ui.ledger.search.content() == "" {
		t.Error("the first Escape emptied the search")
	}
	b.key(fyne.KeyEscape)
	b.ledgerSays("everything", func(d describedLedger) bool { return len(d.Filters) == 0 && d.Rows == 2 })
}

// factsText is everything that a page tells.
func (q *pane) factsText() string {
	var out []string
	for _, p := range q.sheet.pages {
		for _, f := range p.facts {
			out = append(out, f.heading, f.label, f.text)
		}
	}
	return strings.Join(out, "\n")
}

// A correction is made by keyboard alone: who signs is found out by a PIN,
// which is gone from the form after each try.
func TestCorrectByKeyboard(t *testing.T) {
	b := newBench(t, 1)
	b.made(1)
	b.desk(staff(t))
	serial := b.ends()[0].Body.Serial
	b.scanner(serial, fyne.KeyReturn)
	b.ledgerSays("the unit", func(d describedLedger) bool { return d.Pane == serial })
	b.key(fyne.KeyF2)
	b.ledgerSays("the form", func(d describedLedger) bool { return strings.HasPrefix(d.Form, "Correct entry") })
	f := b.ui.prompt.(*form)
	pick := slices.IndexFunc(f.rows[0].options, func(o option) bool { return o.value == "order" })
	b.key(fyne.KeyUp)
	for range pick {
		b.key(fyne.KeyRight)
	}
	b.key(fyne.KeyTab)
	b.types("4712")
	b.press(fyne.KeyReturn, fyne.KeyModifierControl)
	b.ledgerSays("the reason to be asked for", func(d describedLedger) bool { return d.Refused == "Fill in every field." })
	b.types("label of another order")
	b.key(fyne.KeyTab, fyne.KeyTab) // anna is offered
	b.types("770214")
	b.key(fyne.KeyReturn)
	b.ledgerSays("the wrong PIN", func(d describedLedger) bool { return strings.HasSuffix(d.Refused, "wrong PIN, 4 tries left") })
	if pin := f.rows[len(f.rows)-1].field; len(pin.text) != 0 || slices.ContainsFunc(pin.text[:cap(pin.text)], func(r rune) bool { return r != 0 }) || !pin.focused {
		t.Errorf("after a wrong PIN its field holds %d letters, focused %v", len(pin.text), pin.focused)
	}
	b.types(qaPIN)
	b.press(fyne.KeyReturn, fyne.KeyModifierControl)
	b.ledgerSays("the correction", func(d describedLedger) bool {
		return d.Form == "" && strings.HasPrefix(d.Status, "The correction is on record")
	})
	c := b.after(record.KindCorrection)
	if c.What != "order" || c.New != "4712" || c.Old != "" || c.Operator != "anna" || c.Reason != "label of another order" || c.Serial != serial {
		t.Errorf("recorded: %+v", c)
	}
	b.until("the unit to tell it", func(description) bool {
		return strings.Contains(b.ui.ledger.pane.factsText(), "order is 4712")
	})
}

// A technician's id is refused with who may, and Escape leaves the form with
// nothing recorded.
func TestCorrectionIsForQA(t *testing.T) {
	b := newBench(t, 1)
	b.made(1)
	b.desk(staff(t))
	b.ui.cfg.Desk.Person = ""
	b.key(fyne.KeyDown)
	b.ledgerSays("the unit", func(d describedLedger) bool { return d.Page == "unit-overview" })
	b.click("correct")
	b.ledgerSays("the form", func(d describedLedger) bool { return d.Form != "" })
	b.types("SN-9")
	b.key(fyne.KeyTab)
	b.types("typed wrong")
	b.key(fyne.KeyTab)
	b.types("tim")
	b.key(fyne.KeyTab)
	b.types("1")
	b.click("form-send")
	b.ledgerSays("the refusal", func(d describedLedger) bool {
		return d.Refused == "tim is technician and may not correct an entry: this is for qa"
	})
	b.key(fyne.KeyEscape)
	b.ledgerSays("the form to go", func(d describedLedger) bool { return d.Form == "" })
	if c := b.after(record.KindCorrection); c.Kind != "" {
		t.Errorf("recorded: %+v", c)
	}
}

func TestSignOff(t *testing.T) {
	b := newBench(t, 2)
	b.made(2)
	b.desk(staff(t))
	b.key(fyne.KeyF4)
	b.ledgerSays("the form", func(d describedLedger) bool { return d.Form == "Sign off" })
	f := b.ui.prompt.(*form)
	if text := strings.Join(f.text.text, " "); !strings.Contains(text, "2 attempts") || !strings.Contains(text, "2 passed, 0 failed") {
		t.Errorf("signed for is %q", text)
	}
	b.types("shift reviewed")
	b.key(fyne.KeyTab)
	f.rows[f.at].field.clear()
	b.types("B-0017") // a badge
	b.key(fyne.KeyReturn)
	b.types(qaPIN)
	b.key(fyne.KeyReturn)
	b.ledgerSays("the sign-off", func(d describedLedger) bool { return strings.HasPrefix(d.Status, "Signed off") })
	s := b.after(record.KindSignoff)
	if s.Operator != "anna" || s.Role != "qa" || s.Meaning != "reviewed" || s.Count != 2 || s.RunsPassed != 2 || s.From != 1 {
		t.Errorf("recorded: %+v", s)
	}
	b.click("sign-off")
	b.ledgerSays("nothing more to sign for", func(d describedLedger) bool { return strings.HasPrefix(d.Status, "There is nothing to sign for") })
}

// Who may only look has no buttons that write.
func TestTechnicianOnlyLooks(t *testing.T) {
	b := newBench(t, 1)
	b.made(1)
	b.desk(staff(t))
	b.ui.cfg.Desk.QA = nil
	b.ui.build()
	b.ui.choose(0)
	b.ui.choose(1)
	b.until("the list", func(description) bool { return len(b.ui.ledger.entries) > 0 })
	b.key(fyne.KeyDown, fyne.KeyF2, fyne.KeyF4)
	d := b.until("the unit", func(d description) bool { return d.Ledger != nil && d.Ledger.Page == "unit-overview" })
	for _, name := range []string{"correct", "sign-off"} {
		if _, there := d.button(name); there {
			t.Errorf("a technician sees the button %s", name)
		}
	}
	if b.ui.prompt != nil {
		t.Error("a technician is asked for a signature")
	}
}

// The verdict comes while the screen is used for something else.
func TestVerify(t *testing.T) {
	b := newBench(t, 1)
	b.made(1)
	b.desk(staff(t))
	goOn := make(chan struct{})
	b.ui.ledger.audit.run = func(ctx context.Context, tell func(Progress)) (Verdict, error) {
		tell(Progress{"Judging", 30, 60})
		select {
		case <-goOn:
			return b.verify(ctx, tell)
		case <-ctx.Done():
			return Verdict{}, ctx.Err()
		}
	}
	b.key(fyne.KeyF6)
	b.ledgerSays("the progress", func(d describedLedger) bool { return d.Page == "verify-progress" && d.Note == "Judging" })
	b.click("verify-cancel")
	b.ledgerSays("the end of it", func(d describedLedger) bool { return d.Note == "There is no verdict" })
	b.click("verify-again")
	b.ledgerSays("the progress", func(d describedLedger) bool { return d.Page == "verify-progress" && d.Note == "Judging" })
	b.key(fyne.KeyDown)
	b.ledgerSays("the unit meanwhile", func(d describedLedger) bool { return d.Page == "unit-overview" })
	close(goOn)
	b.until("the verdict on the button", func(description) bool { return b.ui.ledger.audit.button.label.full == "Unproven" })
	b.click("verify")
	d := b.ledgerSays("the verdict", func(d describedLedger) bool { return d.Page == "verify-verdict" })
	if d.Note != "Nothing is wrong, but not all is proven" || !strings.Contains(b.ui.ledger.pane.factsText(), "self-consistent, origin not proven") {
		t.Errorf("the verdict is %+v", d)
	}
}
