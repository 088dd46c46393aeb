// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"provisioning.example/station/internal/label"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// LabelTemplates are what labels are made from. A nil one: such units get no label.
type LabelTemplates struct{ Pass, Fail *label.Template }

// UnitLabel is one unit's label, made from its end entry and nothing else.
type UnitLabel struct {
	*label.Label
	Template *label.Template
	End      record.Entry
	Witness  record.Witness
}

// errNoLabel is why there is no label for an end.
func errNoLabel(format string, a ...any) error {
	return &label.RefusedError{Err: fmt.Errorf(format, a...)}
}

// EndOf finds the end entry that a unit's label tells of: its newest. It takes
// the unit's serial, or its board's ID in hex.
func EndOf(ctx context.Context, r *reader.Reader, unit string) (record.Entry, error) {
	kinds := []string{record.KindEnd}
	ends, err := r.EntriesOf(ctx, reader.Query{Serial: unit, Kinds: kinds})
	if err == nil && len(ends) == 0 {
		ends, err = r.EntriesOf(ctx, reader.Query{UID: unit, Kinds: kinds})
	}
	if err != nil {
		return record.Entry{}, fmt.Errorf("look for unit %s: %w", unit, err)
	}
	if len(ends) == 0 {
		return record.Entry{}, errNoLabel("the ledger has no end of a run of unit %q", unit)
	}
	return ends[len(ends)-1], nil
}

// LabelOf makes the label for an end entry: the pass template when the ledger says that the
// unit passed, the fail template when it failed. A *label.RefusedError says that
// there is none to print: the run was stopped, no checkpoint covers its end, or
// something was recorded since that makes the label untrue.
func LabelOf(ctx context.Context, r *reader.Reader, t LabelTemplates, epoch int, seq int64) (UnitLabel, error) {
	e, err := r.Entry(ctx, epoch, seq)
	if err != nil {
		return UnitLabel{}, err
	}
	u := UnitLabel{End: e}
	if u.Template, err = t.of(e.Body); err != nil {
		return UnitLabel{}, err
	}
	if err := StillTrue(ctx, r, e); err != nil {
		return UnitLabel{}, err
	}
	if u.Witness, err = witnessOf(ctx, r, e); err != nil {
		return UnitLabel{}, err
	}
	v, err := labelValues(ctx, r, e, u.Witness)
	if err != nil {
		return UnitLabel{}, err
	}
	if u.Label, err = u.Template.Fill(v); err != nil {
		return UnitLabel{}, &label.RefusedError{Err: err}
	}
	return u, nil
}

// of chooses the template by what the ledger says.
func (t LabelTemplates) of(b record.Body) (*label.Template, error) {
	var chosen *label.Template
	switch {
	case b.Kind != record.KindEnd:
		return nil, errNoLabel("the %s entry of unit %q is not the end of a run", b.Kind, b.Serial)
	case b.Outcome == record.Passed:
		chosen = t.Pass
	case b.Outcome == record.Failed || b.Outcome == record.Error:
		chosen = t.Fail
	default:
		return nil, errNoLabel("the run of unit %q was stopped: it neither passed nor failed", b.Serial)
	}
	if chosen == nil {
		return nil, errNoLabel("units that %s get no labels here", b.Outcome)
	}
	return chosen, nil
}

// StillTrue refuses, with a *label.RefusedError, an end after which the ledger says
// something else of the same board.
func StillTrue(ctx context.Context, r *reader.Reader, e record.Entry) error {
	if e.Body.UID == "" {
		return nil // the board never said who it is
	}
	later, err := r.EntriesOf(ctx, reader.Query{
		Model: e.Body.Model, UID: e.Body.UID,
		Kinds: []string{record.KindEnd, record.KindRework, record.KindScrap, record.KindRevoked},
	})
	if err != nil {
		return fmt.Errorf("read the history of board %s: %w", e.Body.UID, err)
	}
	for _, l := range later {
		if reader.ID(l.Epoch, l.Seq) <= reader.ID(e.Epoch, e.Seq) {
			continue
		}
		switch l.Body.Kind {
		case record.KindEnd:
			return errNoLabel("unit %q had another run since, entry %d", e.Body.Serial, l.Seq)
		case record.KindRework:
			return errNoLabel("unit %q went to rework since, entry %d", e.Body.Serial, l.Seq)
		case record.KindScrap:
			return errNoLabel("unit %q was scrapped since, entry %d", e.Body.Serial, l.Seq)
		}
		if e.Body.Outcome == record.Passed && l.Body.Cert == e.Body.Cert {
			return errNoLabel("the certificate of unit %q was revoked since, entry %d", e.Body.Serial, l.Seq)
		}
	}
	return nil
}

// witnessOf is the same for an entry at all times: of the first checkpoint that
// covers it.
func witnessOf(ctx context.Context, r *reader.Reader, e record.Entry) (record.Witness, error) {
	c, found, err := r.Covering(ctx, e.Epoch, e.Seq)
	if err != nil {
		return record.Witness{}, err
	}
	if !found {
		return record.Witness{}, &label.RefusedError{Err: fmt.Errorf("entry %d: %w", e.Seq, reader.ErrUncovered)}
	}
	checkpoint, err := record.ReadCheckpoint(c.Note)
	if err != nil {
		return record.Witness{}, fmt.Errorf("checkpoint of entry %d: %w", e.Seq, err)
	}
	return record.WitnessOf(checkpoint, e.Seq)
}

func labelValues(ctx context.Context, r *reader.Reader, e record.Entry, w record.Witness) (label.Values, error) {
	b := e.Body
	at, err := record.ParseTime(b.Time)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", e.Seq, err)
	}
	simulated, err := simulatedAt(ctx, r, e)
	if err != nil {
		return nil, err
	}
	v := label.Values{
		"serial": cmp.Or(b.Serial, b.UID), "outcome": Fail.String(), "model": b.Model, "uid": b.UID, "hw": b.Hardware, "firmware": b.FirmwareVersion,
		"product": b.Product, "order": b.Order, "station": b.Station, "entry": strconv.FormatInt(e.Seq, 10), "operator": b.Operator,
		"date": at.Format(time.DateOnly), "time": at.Format("2006-01-02 15:04"), "attempt": strconv.Itoa(b.Attempt),
		"cert_serial": b.CertSerial, "cert_sha256": b.Cert, "witness": w.String(), "fault": b.Fault,
	}
	if b.Outcome == record.Passed {
		v["outcome"] = Pass.String()
	}
	if b.Fault != "" {
		f := faultOf(b.Fault, b.FaultStep)
		v["sentence"], v["remedy"] = f.Sentence, f.Remedy
	}
	if simulated {
		v["mark"] = "SIMULATED TPM"
	}
	return v, nil
}

// simulatedAt tells whether the TPM of the program that wrote an entry was
// simulated: the start entry before it says so.
func simulatedAt(ctx context.Context, r *reader.Reader, e record.Entry) (bool, error) {
	before, _, _, err := r.Page(ctx, reader.Filter{Kinds: []string{record.KindStart}}, reader.Cursor{Epoch: e.Epoch, Seq: e.Seq}, 1)
	if err != nil {
		return false, err
	}
	return len(before) == 1 && before[0].Body.Simulated, nil
}

// faultOf is what the catalogue says of a code on record; codes from 90 are the
// same at each step.
func faultOf(code, step string) Fault {
	if f := fromCatalogue(code, nil); f.Step != "" {
		return *f
	}
	for _, c := range common {
		if code == "F-"+step+"-"+c.nn {
			return Fault{Code: code, Step: step, Sentence: c.sentence, Remedy: c.remedy, Action: c.action}
		}
	}
	return Fault{Code: code, Step: step, Sentence: "See the ledger.", Remedy: "Call the line's engineer."}
}

// isRefused tells a label that is not to be from a printer that is not there.
func isRefused(err error) bool {
	var refused *label.RefusedError
	return errors.As(err, &refused)
}
