// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/json"
	"fmt"

	"provisioning.example/station/internal/record"
)

// Grade is a verdict in one word. Programs may rely on the words.
type Grade string

// The grades, best first.
const (
	// Valid: nothing is wrong, and the anchors vouch for all that was to be proven.
	Valid Grade = "valid"
	// Revoked: as Valid, but somebody above has taken back an authority of the station, or in a unit's file the unit's certificate.
	Revoked Grade = "revoked"
	// Unproven: nothing is wrong, but who wrote it, or whose TPM answered, is not shown: an anchor is missing.
	Unproven Grade = "unproven"
	// Invalid: something is wrong.
	Invalid Grade = "invalid"
)

// Verdict is a report of any kind.
type Verdict interface {
	OK() bool        // nothing is wrong
	Verdict() string // in one line
	Grade() Grade
	Details() []string // for people, a line each
	Found() (findings []Finding, more int64)
}

// Grade tells how the report is to be taken.
func (r *Report) Grade() Grade {
	switch {
	case !r.OK():
		return Invalid
	case !r.Proven, r.trusting && !r.TPMProven, r.challenged && (r.Challenge == nil || !r.Challenge.Proven):
		return Unproven
	case len(r.RevokedAuthorities) > 0:
		return Revoked
	}
	return Valid
}

// Grade tells how the report is to be taken.
func (r *UnitReport) Grade() Grade {
	if g := r.Report.Grade(); g != Valid || r.Revocations == 0 {
		return g
	}
	return Revoked
}

// prefix begins the verdict of what has its origin proven. The first words are the ones that are read.
func prefix(word string, g Grade) string {
	switch g {
	case Revoked:
		return word + ", origin proven, but REVOKED: "
	case Unproven:
		return word + ", origin proven, but not all that was asked for: "
	}
	return word + ", origin proven: "
}

// Extent is how much of an epoch there is: all its entries from the first on, as far as it was exported.
type Extent struct {
	Origin    string `json:"origin"`
	Entries   int64  `json:"entries"`    // complete: 1 to this one
	Covered   int64  `json:"covered"`    // of these, under the newest signed checkpoint
	LastSeal  int64  `json:"last_seal"`  // entry of the last seal; 0: there is none
	Counter   int64  `json:"counter"`    // what it stands for
	Certified bool   `json:"certified"`  // the TPM's word for it is in the entry after it
	AfterSeal int64  `json:"after_seal"` // entries after it, the TPM's word left out
	Begins    string `json:"begins"`     // kind of the entry it begins with; "": it has none yet
}

func (w *walker) extent() Extent {
	s := w.seals
	e := Extent{
		Origin: w.origin.String(), Entries: w.seq, Covered: w.covered, LastSeal: s.seq, Counter: s.nv, Certified: s.certified,
		AfterSeal: w.seq - s.seq, Begins: w.begins,
	}
	if s.certified {
		e.AfterSeal--
	}
	return e
}

// Details are what the report knows beyond its verdict, a line each.
func (r *UnitReport) Details() (lines []string) {
	return append(r.Report.Details(), fmt.Sprintf("revocations: %d of the unit's certificates", r.Revocations))
}

// String is for people.
func (e Extent) String() string {
	text := fmt.Sprintf("complete: %s, entries 1 to %d, of these %d under the newest signed checkpoint", e.Origin, e.Entries, e.Covered)
	if e.Begins == record.KindHandover || e.Begins == record.KindRestored {
		text += "; begins with a " + e.Begins + " entry"
	}
	if e.LastSeal == 0 {
		return text + "; never sealed: without a counter nobody can tell an older copy from the newest"
	}
	word := "without the TPM's word for it"
	if e.Certified {
		word = "with the TPM's word for it"
	}
	return fmt.Sprintf("%s; last seal: entry %d at counter %d, %s; %d entries after it", text, e.LastSeal, e.Counter, word, e.AfterSeal)
}

// words are for the verdict.
func (a *Answered) words() string {
	if a == nil {
		return ""
	}
	text := fmt.Sprintf("; a challenge is answered (nonce %s): the TPM's counter was at %d, as the last seal says", a.Nonce, a.Counter)
	if a.Asked {
		text = fmt.Sprintf("; your challenge is answered: the TPM's counter is at %d, as the last seal says", a.Counter)
	}
	if !a.Proven {
		text += " (by a TPM that no root vouches for)"
	}
	return text
}

// Details are what the report knows beyond its verdict, a line each.
func (r *Report) Details() (lines []string) {
	add := func(format string, args ...any) {
		lines = append(lines, record.Plain(fmt.Sprintf(format, args...), maxSaid))
	}
	for _, e := range r.Epochs {
		add("%s", e)
	}
	for _, what := range r.Included {
		add("only included: %s", what)
	}
	if n := len(r.Epochs); n > 0 && r.Epochs[n-1].LastSeal > 0 {
		add("after the last seal: %d entries%s", r.Unsealed, say(r.Unsealed > 0, "; a copy put back that lacks only some of them would not show by seals", ""))
	}
	add("origin: %s", say(r.Proven, "every checkpoint is signed by a key that your anchor vouches for", "not proven: give your own copy of the root certificate, or the ledger's key"))
	add("certificates: %d, %s", r.Certificates, say(r.ChainsProven, "all chain to the given root", "chains not proven: no root was given, or one does not chain"))
	for _, t := range r.TPM {
		add("tpm: %s", t)
	}
	if r.trusting {
		add("endorsement key: %s", say(r.TPMChecked, "leads to what you trust", "not shown to be one that you trust"))
	}
	if t := r.Challenge.words(); t != "" {
		add("challenge: %s", t[2:])
	}
	if len(r.Epochs) > 0 {
		add("revocations: %d of units, %d lists, %d on no list yet", r.Revocations, r.Lists, r.Unlisted)
	}
	for _, c := range r.RevokedAuthorities {
		add("REVOKED: %s", c)
	}
	return lines
}

func say(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

// JSON is a report for machines: its fields, and verdict, ok and grade.
func JSON(v Verdict) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	for name, value := range map[string]any{"verdict": v.Verdict(), "ok": v.OK(), "grade": v.Grade()} {
		if fields[name], err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	return json.Marshal(fields)
}

// Damaged is the report on what cannot even be read as what it claims to be.
func Damaged(damage error) Verdict { return damaged{fmt.Sprintf("NOT VALID: %v", damage)} }

type damaged struct{ said string }

func (damaged) OK() bool                             { return false }
func (d damaged) Verdict() string                    { return record.Plain(d.said, maxSaid) }
func (damaged) Grade() Grade                         { return Invalid }
func (damaged) Details() []string                    { return nil }
func (damaged) Found() (findings []Finding, n int64) { return nil, 0 }
