// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"slices"
	"time"

	"provisioning.example/station/internal/label"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// LabelConfig is what labels are printed with.
type LabelConfig struct {
	Ledger    *ledger.Ledger
	Templates LabelTemplates
	Printer   *label.Printer
	Copies    int           // of each label, 0: 1
	Timeout   time.Duration // for one label, 0: DefaultLabelTimeout
	Software  string
	Log       *slog.Logger
}

// DefaultLabelTimeout bounds the wait for a printer to take one label.
const DefaultLabelTimeout = 10 * time.Second

// labelPause is how long a printer that failed is left alone.
const labelPause = 10 * time.Second

// Labels prints the labels of a station, each after its unit's end is in the
// ledger under a checkpoint, and records what became of it. No run waits for it,
// and nothing that happens to the printer changes how a run ends.
type Labels struct {
	cfg   LabelConfig
	r     *reader.Reader
	queue *label.Queue
}

// NewLabels checks nothing and starts nothing yet.
func NewLabels(cfg LabelConfig) *Labels {
	cfg.Copies, cfg.Timeout = cmp.Or(cfg.Copies, 1), cmp.Or(cfg.Timeout, DefaultLabelTimeout)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Labels{cfg: cfg, r: cfg.Ledger.Reader()}
}

// Start lets the queue work: from then on it owns the printer. Close ends it,
// before the ledger is closed.
func (l *Labels) Start() {
	l.queue = label.NewQueue(label.QueueConfig{Print: l.print, Tell: l.tell, Look: l.cfg.Printer.Look, Timeout: l.cfg.Timeout, Pause: labelPause})
}

// Observe takes a station's events and puts the labels of runs that passed or
// failed into the queue. It never blocks.
func (l *Labels) Observe(e Event) {
	if e.End == nil || e.End.Entry == 0 {
		return
	}
	_, covered := l.cfg.Ledger.Size()
	wanted := e.End.Outcome == record.Passed && l.cfg.Templates.Pass != nil || e.End.Outcome == record.Failed && l.cfg.Templates.Fail != nil
	if !wanted || e.End.Entry > covered {
		return
	}
	j := label.Job{Epoch: l.cfg.Ledger.Origin().Epoch, Seq: e.End.Entry, Copies: l.cfg.Copies}
	if err := l.queue.Add(j); err != nil {
		l.cfg.Log.Warn("a label is not printed", "entry", j.Seq, "err", err)
	}
}

// Preview is the picture of a unit's label, and what it is made of.
func (l *Labels) Preview(ctx context.Context, unit string) (image.Image, UnitLabel, error) {
	e, err := EndOf(ctx, l.r, unit)
	if err != nil {
		return nil, UnitLabel{}, err
	}
	u, err := LabelOf(ctx, l.r, l.cfg.Templates, e.Epoch, e.Seq)
	if err != nil {
		return nil, UnitLabel{}, err
	}
	return u.Image(), u, nil
}

// Reprint puts a unit's label into the queue once more, for who asks for it. It
// is recorded so, with the reason ("" for none). An error says that there is no
// such label, or no room.
func (l *Labels) Reprint(ctx context.Context, unit, who, reason string, copies int) error {
	_, u, err := l.Preview(ctx, unit)
	if err != nil {
		return err
	}
	if _, err := u.ZPL(copies); err != nil {
		return err
	}
	return l.queue.Add(label.Job{Epoch: u.End.Epoch, Seq: u.End.Seq, Copies: copies, Again: true, Operator: who, Word: reason})
}

// Waiting is how many labels wait, and why the printer did not take the last one.
func (l *Labels) Waiting() (n int, trouble error) { return l.queue.State() }

// Health is the printer's line in the header: a warning at most, since no unit
// depends on it.
func (l *Labels) Health() Health {
	n, trouble := l.queue.State()
	switch {
	case trouble != nil && n > 0:
		return Health{"Printer: off", Warn, fmt.Sprintf("%d labels wait: %v", n, trouble)}
	case trouble != nil:
		return Health{"Printer: off", Warn, trouble.Error()}
	}
	return Health{"Printer", OK, l.cfg.Printer.String()}
}

// Close takes no more labels, prints what waits unless the printer fails or ctx
// ends, records which labels were left, and tells how many.
func (l *Labels) Close(ctx context.Context) (left int) { return l.queue.Close(ctx) }

// print makes one label from the ledger and gives it to the printer.
func (l *Labels) print(ctx context.Context, j label.Job) error {
	u, err := LabelOf(ctx, l.r, l.cfg.Templates, j.Epoch, j.Seq)
	if err != nil {
		return err
	}
	zpl, err := u.ZPL(j.Copies)
	if err != nil {
		return &label.RefusedError{Err: err}
	}
	return l.cfg.Printer.Send(ctx, fmt.Sprintf("label-%d-%d", j.Epoch, j.Seq), zpl)
}

// tell records what became of a label. The printer has it, or not: a ledger that
// cannot be written stops the line by other ways, not by this one.
func (l *Labels) tell(j label.Job, result error) {
	ctx, cancel := context.WithTimeout(context.Background(), recordLimit)
	defer cancel()
	b, err := l.body(ctx, j, result)
	if err == nil {
		_, err = l.cfg.Ledger.Append(ctx, ledger.Batch{Bodies: []record.Body{b}})
	}
	if err != nil {
		l.cfg.Log.Warn("a label is not on record", "entry", j.Seq, "err", err)
	}
	if result != nil && !errors.Is(result, label.ErrLeft) {
		l.cfg.Log.Warn("a label was not printed", "entry", j.Seq, "serial", b.Serial, "err", result)
	}
}

// body is the label's entry.
func (l *Labels) body(ctx context.Context, j label.Job, result error) (record.Body, error) {
	e, err := l.r.Entry(ctx, j.Epoch, j.Seq)
	if err != nil {
		return record.Body{}, err
	}
	t, err := l.cfg.Templates.of(e.Body)
	if err != nil {
		return record.Body{}, err
	}
	b := record.Body{
		Kind: record.KindLabel, Action: "printed", Operator: cmp.Or(j.Operator, e.Body.Operator), Software: l.cfg.Software,
		Run: e.Body.Run, Serial: e.Body.Serial, Model: e.Body.Model, UID: e.Body.UID, Order: e.Body.Order, Cert: e.Body.Cert,
		EntryEpoch: j.Epoch, EntrySeq: j.Seq, Template: t.Name(), FileDigest: t.Digest(),
		Printer: record.Plain(l.cfg.Printer.String(), 128), Count: int64(j.Copies), Reason: record.Plain(j.Word, 512),
	}
	if j.Again {
		b.Action = "reprinted"
	}
	if w, err := witnessOf(ctx, l.r, e); err == nil {
		b.Witness = w.String()
	}
	if result != nil {
		b.Action, b.Detail = "failed", record.Plain(result.Error(), 500)
		if isRefused(result) {
			b.Action = "dropped"
		}
	}
	return b, nil
}

// PrintNow prints a label without the queue, which must not have been started,
// and waits for it. The printer's error is on record when it is returned.
func (l *Labels) PrintNow(ctx context.Context, j label.Job) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	err := l.print(ctx, j)
	l.tell(j, err)
	return err
}

// Missing are the end entries since a time that want a label and have no
// printed one on record, oldest first. Labels that would no longer be true are left out.
func (l *Labels) Missing(ctx context.Context, since time.Time) ([]record.Entry, error) {
	printed, err := l.since(ctx, since, record.KindLabel)
	if err != nil {
		return nil, err
	}
	has := map[int64]bool{}
	for _, e := range printed {
		if e.Body.Action == "printed" || e.Body.Action == "reprinted" {
			has[reader.ID(e.Body.EntryEpoch, e.Body.EntrySeq)] = true
		}
	}
	ends, err := l.since(ctx, since, record.KindEnd)
	if err != nil {
		return nil, err
	}
	var missing []record.Entry
	for _, e := range ends {
		if has[reader.ID(e.Epoch, e.Seq)] || e.Body.Outcome == record.Error {
			continue
		}
		if _, err := LabelOf(ctx, l.r, l.cfg.Templates, e.Epoch, e.Seq); isRefused(err) {
			continue
		} else if err != nil {
			return nil, err
		}
		missing = append(missing, e)
	}
	slices.Reverse(missing)
	return missing, nil
}

// since are the entries of a kind since a time, newest first.
func (l *Labels) since(ctx context.Context, since time.Time, kind string) ([]record.Entry, error) {
	var all []record.Entry
	for at, more := (reader.Cursor{}), true; more; {
		page, next, older, err := l.r.Page(ctx, reader.Filter{Kinds: []string{kind}, From: since}, at, reader.MaxPage)
		if err != nil {
			return nil, err
		}
		all, at, more = append(all, page...), next, older
	}
	return all, nil
}
