// SPDX-License-Identifier: Apache-2.0

//go:build !nogui

package main

import (
	"context"
	"fmt"
	"strings"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/operator"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/ui"
)

// windowDesk is what the ledger screen may do for who is signed in. Technicians
// look; while nobody is registered there are no roles.
func (b *bench) windowDesk() (ui.Desk, error) {
	d := ui.Desk{Verify: b.verifyForWindow}
	people, err := b.home.operators()
	if err != nil {
		return d, usage(err, "mend the register, or bring it back from a backup")
	}
	if err := missingOperators(b.home.ledgerPath(), people); err != nil {
		return d, err // it was there when this person signed in
	}
	if people.Empty() || b.role != operator.Technician {
		d.QA = provision.NewQA(b.desk(), people)
	}
	if b.role.May(operator.Correct) {
		d.Person = b.who
	}
	return d, nil
}

// verifyForWindow judges the ledger as it is now by the root in the home.
func (b *bench) verifyForWindow(ctx context.Context, tell func(ui.Progress)) (ui.Verdict, error) {
	a, err := b.home.anchors("")
	if err != nil {
		return ui.Verdict{}, fmt.Errorf("the ledger cannot be judged: %w", err)
	}
	report, err := auditLedger(ctx, b.home, a, nil, func(doing string, done, all int64) {
		tell(ui.Progress{Doing: doing, Done: done, All: all})
	})
	if err != nil {
		return ui.Verdict{}, fmt.Errorf("the ledger cannot be judged: %w", err)
	}
	return windowVerdict(report), nil
}

// windowVerdict puts a report into words for a person who did not ask for more
// than whether it is right.
func windowVerdict(r *audit.Report) ui.Verdict {
	v := ui.Verdict{Valid: r.OK(), Proven: r.Grade() == audit.Valid}
	switch r.Grade() {
	case audit.Invalid:
		v.Line = fmt.Sprintf("This is not what was written: %s. Stop here and show it to who keeps the root.", plural(r.Wrong, "finding"))
	case audit.Unproven:
		v.Line = "It fits together in itself, but nothing here shows who wrote it."
	case audit.Revoked:
		v.Line = "It is what was written, but an authority of this station was revoked."
	default:
		v.Line = "It is what this station wrote, every entry in its place."
	}
	v.Summary = []string{
		plural(r.Entries, "entry") + ", " + plural(r.Checkpoints, "signed checkpoint"),
		plural(r.Certificates, "certificate") + ", " + plural(r.Receipts, "receipt") + " of boards",
		fmt.Sprintf("%s passed, %d still open", plural(r.Passed, "attempt"), r.Open),
		sealWords(r),
		"Judged by the root certificate in this station's home. An auditor brings their own: station ledger verify --root FILE.",
	}
	findings, more := r.Found()
	for _, f := range findings {
		v.Details = append(v.Details, f.String())
	}
	if more > 0 {
		v.Details = append(v.Details, fmt.Sprintf("and %d more", more))
	}
	v.Details = append(v.Details, r.Verdict())
	v.Details = append(v.Details, r.Details()...)
	return v
}

// sealWords tells how far the TPM's counter holds the ledger.
func sealWords(r *audit.Report) string {
	if r.Seals == 0 {
		return "never sealed: without a counter nobody can tell an older copy from the newest"
	}
	return plural(r.Seals, "seal") + " by the TPM's counter, " + plural(r.Unsealed, "entry") + " after the last"
}

// plural is a number of things.
func plural(n int64, thing string) string {
	switch {
	case n == 1:
		return "1 " + thing
	case strings.HasSuffix(thing, "y"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(thing, "y"))
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
