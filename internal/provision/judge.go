// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// Correction says what an entry should have said.
type Correction struct {
	Epoch  int // 0: the newest
	Seq    int64
	Field  string // one of [record.Correctable]
	Old    string // what who corrects saw there; empty: not compared with what stands there
	New    string
	Reason string
}

// Corrected is what Correct put on record.
type Corrected struct {
	Seq    int64 // the correction's own entry
	Epoch  int   // of the entry it is about
	Old    string
	Serial string // of that entry, may be empty
}

// Correct records a correction of an entry. The entry itself stays as it is, and so does everything that follows from it: what a unit
// holds, its certificate, what was counted.
//
// Errors wrap [ErrRefused] where the correction cannot be; nothing is recorded then.
func (d Desk) Correct(ctx context.Context, c Correction) (*Corrected, error) {
	if c.Epoch == 0 {
		c.Epoch = d.Ledger.Origin().Epoch
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	e, err := d.entry(ctx, c.Epoch, c.Seq)
	if err != nil {
		return nil, err
	}
	if !record.Corrects(e.Body.Kind, c.Field) {
		return nil, refused("entry %d is of kind %s: its %s is nothing that a person could have got wrong; what can be corrected is %s",
			c.Seq, e.Body.Kind, c.Field, strings.Join(correctableIn(e.Body.Kind), ", "))
	}
	before, err := d.Corrections(ctx)
	if err != nil {
		return nil, err
	}
	stood := before.Apply(e)
	old := stood.Value(c.Field)
	if c.Old != "" && c.Old != old {
		return nil, refused("%s of entry %d is %q, not %q: it was corrected meanwhile, look again", c.Field, c.Seq, old, c.Old)
	}
	if old == c.New {
		return nil, refused("%s of entry %d is %q already", c.Field, c.Seq, old)
	}
	body := d.stamp(record.Body{
		Kind: record.KindCorrection, EntryEpoch: c.Epoch, EntrySeq: c.Seq, What: c.Field, Old: old, New: c.New, Reason: c.Reason, Role: d.Role,
		Serial: e.Body.Serial, Model: e.Body.Model, UID: e.Body.UID,
	})
	if err := body.Validate(); err != nil {
		return nil, refused("%v", err)
	}
	seq, err := d.append(ctx, body)
	return &Corrected{Seq: seq, Epoch: c.Epoch, Old: old, Serial: e.Body.Serial}, err
}

// check refuses what a person typed wrong. What begins like a formula would be one in somebody's sheet.
func (c Correction) check() error {
	switch {
	case !slices.Contains(record.Correctable(), c.Field):
		return refused("%q can not be corrected; what can be is %s", c.Field, strings.Join(record.Correctable(), ", "))
	case strings.TrimSpace(c.New) != c.New || c.New == "":
		return refused("the new %s is empty, or begins or ends with a space", c.Field)
	case strings.ContainsAny(c.New[:1], "=+-@"):
		return refused("the new %s begins with %.1s, which a sheet takes for a formula", c.Field, c.New)
	}
	if c.Field == "serial" {
		if err := CheckSerial(c.New); err != nil {
			return refused("%v", err)
		}
	}
	return checkReason(c.Reason)
}

// checkReason wants a reason in words.
func checkReason(reason string) error {
	switch {
	case strings.TrimSpace(reason) == "":
		return refused("there is no reason: say why, in your own words")
	case strings.ContainsAny(reason[:1], "=+-@ "):
		return refused("the reason begins with %q: begin with a word", reason[:1])
	}
	return nil
}

func correctableIn(kind string) []string {
	names := slices.DeleteFunc(record.Correctable(), func(field string) bool { return !record.Corrects(kind, field) })
	if len(names) == 0 {
		return []string{"nothing"}
	}
	return names
}

// Corrections reads all corrections of the ledger.
func (d Desk) Corrections(ctx context.Context) (*record.Corrections, error) {
	return CorrectionsIn(ctx, d.Ledger.Reader())
}

// CorrectionsIn reads all corrections of a ledger.
func CorrectionsIn(ctx context.Context, r *reader.Reader) (*record.Corrections, error) {
	entries, err := r.EntriesOf(ctx, reader.Query{Kinds: []string{record.KindCorrection}})
	if err != nil {
		return nil, err
	}
	var all record.Corrections
	for _, e := range entries {
		all.Add(e)
	}
	return &all, nil
}

// Scope is what a sign-off is about: an order, a period, or both; or entries of the newest epoch by their numbers; or nothing of that: all
// since the last sign-off that was not of an order.
type Scope struct {
	Order        string
	Since, Until time.Time // half-open
	From, To     int64     // both included; only with Order
}

// Span is what is signed for in one epoch: the entries, and how the runs in them ended.
type Span struct {
	Epoch                 int
	From, To              int64
	Order                 string // empty: all
	Count, Passed, Failed int64  // runs that ended; those besides passed and failed were spoiled by the station, or stopped
}

// Spans finds what a sign-off of a scope would be about, for who is to sign: one span for each epoch. There is none where no run ended.
func (d Desk) Spans(ctx context.Context, s Scope) ([]Span, error) {
	found, err := d.stretches(ctx, s)
	if err != nil {
		return nil, err
	}
	spans, runs := make([]Span, 0, len(found)), int64(0)
	for _, at := range found {
		span := Span{Epoch: at.Epoch, From: at.From, To: at.To, Order: s.Order}
		if err := d.count(ctx, &span); err != nil {
			return nil, err
		}
		spans = append(spans, span)
		runs += span.Count
	}
	if runs == 0 {
		return nil, nil
	}
	return spans, nil
}

// stretches finds a scope's entries.
func (d Desk) stretches(ctx context.Context, s Scope) ([]reader.Stretch, error) {
	switch {
	case s.From != 0 || s.To != 0:
		epoch := d.Ledger.Origin().Epoch
		size, err := d.Ledger.Reader().Size(ctx, epoch)
		if err == nil && (s.From < 1 || s.To < s.From || s.To > size || !s.Since.IsZero() || !s.Until.IsZero()) {
			err = refused("entries %d to %d: the newest epoch has entries 1 to %d, and a period is not named besides", s.From, s.To, size)
		}
		return []reader.Stretch{{Epoch: epoch, From: s.From, To: s.To}}, err
	case s == (Scope{}):
		return d.unsigned(ctx)
	}
	return d.Ledger.Reader().Stretches(ctx, s.Order, s.Since, s.Until)
}

// count counts the runs of a span.
func (d Desk) count(ctx context.Context, s *Span) error {
	c, err := d.Ledger.Reader().CountsOf(ctx, reader.Stretch{Epoch: s.Epoch, From: s.From, To: s.To}, s.Order)
	s.Count, s.Passed, s.Failed = int64(c.Passed+c.Failed+c.Error+c.Aborted), int64(c.Passed), int64(c.Failed)
	return err
}

// unsigned are the entries after the last one that was signed for, whatever its order.
func (d Desk) unsigned(ctx context.Context) ([]reader.Stretch, error) {
	r := d.Ledger.Reader()
	signed, err := r.EntriesOf(ctx, reader.Query{Kinds: []string{record.KindSignoff}})
	if err != nil {
		return nil, err
	}
	last := reader.Stretch{Epoch: 1}
	for _, e := range signed {
		if b := e.Body; b.Order == "" && (b.EntryEpoch > last.Epoch || b.EntryEpoch == last.Epoch && b.To > last.To) {
			last = reader.Stretch{Epoch: b.EntryEpoch, To: b.To}
		}
	}
	var found []reader.Stretch
	for epoch := last.Epoch; epoch <= d.Ledger.Origin().Epoch; epoch++ {
		size, err := r.Size(ctx, epoch)
		if err != nil {
			return nil, err
		}
		from := int64(1)
		if epoch == last.Epoch {
			from = last.To + 1
		}
		if from <= size {
			found = append(found, reader.Stretch{Epoch: epoch, From: from, To: size})
		}
	}
	return found, nil
}

// Statement is what somebody says with a sign-off.
type Statement struct {
	Meaning string // "reviewed", "released" (21 CFR 11.50)
	Reason  string // in their own words
}

// SignOff records that the operator signs for spans, as [Desk.Spans] showed them; they are counted again, so that what is signed is what
// was seen. It returns the numbers of the entries.
//
// Errors wrap [ErrRefused] where the sign-off cannot be; nothing is recorded then.
func (d Desk) SignOff(ctx context.Context, spans []Span, s Statement) ([]int64, error) {
	if len(spans) == 0 {
		return nil, refused("there is nothing to sign for: no run has ended since the last sign-off, of this order or in this time")
	}
	if err := checkReason(s.Reason); err != nil {
		return nil, err
	}
	if len(spans) > maxSigned {
		return nil, refused("%d epochs in one sign-off, at most %d are possible: narrow it with a period", len(spans), maxSigned)
	}
	var bodies []record.Body
	for _, span := range spans {
		again := span
		if err := d.count(ctx, &again); err != nil {
			return nil, err
		}
		if size, err := d.Ledger.Reader().Size(ctx, span.Epoch); err != nil || again != span || span.To > size {
			return nil, joined(err, refused("entries %d to %d of epoch %d are not what was shown: look again", span.From, span.To, span.Epoch))
		}
		body := d.stamp(record.Body{
			Kind: record.KindSignoff, EntryEpoch: span.Epoch, From: span.From, To: span.To, Order: span.Order,
			Count: span.Count, RunsPassed: span.Passed, RunsFailed: span.Failed, Meaning: s.Meaning, Reason: s.Reason, Role: d.Role,
		})
		if err := body.Validate(); err != nil {
			return nil, refused("%v", err)
		}
		bodies = append(bodies, body)
	}
	seqs, err := d.Ledger.Append(ctx, ledger.Batch{Bodies: bodies})
	if err != nil {
		return nil, err
	}
	return seqs, d.Ledger.Cover(ctx, seqs[len(seqs)-1])
}

// maxSigned is how many epochs one sign-off may span: a batch of the ledger has room for as many entries.
const maxSigned = 32

// joined is the first of two errors that is one.
func joined(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// entry reads one entry, or refuses where there is none.
func (d Desk) entry(ctx context.Context, epoch int, seq int64) (record.Entry, error) {
	size, err := d.Ledger.Reader().Size(ctx, epoch)
	if err != nil {
		return record.Entry{}, err
	}
	if seq < 1 || seq > size {
		return record.Entry{}, refused("there is no entry %d in epoch %d, which has %d", seq, epoch, size)
	}
	return d.Ledger.Reader().Entry(ctx, epoch, seq)
}

// append records one entry and waits until a checkpoint covers it.
func (d Desk) append(ctx context.Context, body record.Body) (int64, error) {
	seqs, err := d.Ledger.Append(ctx, ledger.Batch{Bodies: []record.Body{body}})
	if err != nil {
		return 0, fmt.Errorf("record a %s: %w", body.Kind, err)
	}
	return seqs[0], d.Ledger.Cover(ctx, seqs[0])
}
