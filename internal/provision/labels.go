// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"log/slog"
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
	Operator  string        // who is at the bench
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

// NewLabels starts to print. Close ends it, before the ledger is closed.
func NewLabels(cfg LabelConfig) *Labels {
	cfg.Copies, cfg.Timeout = cmp.Or(cfg.Copies, 1), cmp.Or(cfg.Timeout, DefaultLabelTimeout)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l := &Labels{cfg: cfg, r: cfg.Ledger.Reader()}
	l.queue = label.NewQueue(label.QueueConfig{Print: l.print, Tell: l.tell, Look: cfg.Printer.Look, Timeout: cfg.Timeout, Pause: labelPause})
	return l
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
	l.add(label.Job{Epoch: l.cfg.Ledger.Origin().Epoch, Seq: e.End.Entry, Copies: l.cfg.Copies, Operator: l.cfg.Operator})
}

func (l *Labels) add(j label.Job) error {
	err := l.queue.Add(j)
	if err != nil {
		l.cfg.Log.Warn("a label is not printed", "entry", j.Seq, "err", err)
	}
	return err
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
	if copies < 1 || copies > label.MaxCopies {
		return fmt.Errorf("%d labels; allowed: 1 to %d at once", copies, label.MaxCopies)
	}
	return l.add(label.Job{Epoch: u.End.Epoch, Seq: u.End.Seq, Copies: copies, Again: true, Operator: who, Word: reason})
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
// ends, and records which labels were left.
func (l *Labels) Close(ctx context.Context) { l.queue.Close(ctx) }

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
	if result != nil {
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
		Kind: record.KindLabel, Action: "printed", Operator: j.Operator, Software: l.cfg.Software,
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

// PrintNow prints a label without the queue and waits for it: for a command
// that does nothing else. The printer's error is returned, and on record.
func (l *Labels) PrintNow(ctx context.Context, j label.Job) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	err := l.print(ctx, j)
	if errors.Is(err, context.Canceled) {
		return err
	}
	l.tell(j, err)
	return err
}
