// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"provisioning.example/station/internal/provision"
)

// progress shows a batch: one live line a slot on a terminal, one plain line a
// unit on a pipe, one JSON object a unit with --json.
type progress struct {
	out, people io.Writer
	json        bool
	bars        *mpb.Progress // nil on a pipe
	// results go to the one goroutine that writes them: a reader that stalls
	// must not hold the line. It holds a result for each slot.
	results chan provision.Result
	written chan struct{} // closed when all are

	mu  sync.Mutex // guards what follows
	bar map[int]*bar
	sum summary
}

type bar struct {
	*mpb.Bar
	text string // shown behind the bar; guarded by progress.mu
}

type summary struct{ passed, failed, errors, aborted int }

func newProgress(out, people io.Writer, asJSON bool, slots []int) *progress {
	p := &progress{
		out: out, people: people, json: asJSON, bar: map[int]*bar{},
		results: make(chan provision.Result, len(slots)), written: make(chan struct{}),
	}
	if f, ok := people.(*os.File); ok && term.IsTerminal(int(f.Fd())) && !asJSON {
		p.bars = mpb.New(mpb.WithOutput(f), mpb.WithWidth(28))
		for _, n := range slots {
			p.addBar(n)
		}
	}
	go p.write()
	return p
}

func (p *progress) addBar(slot int) {
	b := &bar{text: "waiting"}
	b.Bar = p.bars.AddBar(int64(len(provision.Steps())),
		mpb.PrependDecorators(decor.Name(fmt.Sprintf("slot %-3d", slot))),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			p.mu.Lock()
			defer p.mu.Unlock()
			return b.text
		})))
	p.bar[slot] = b
}

// event takes what a station tells; it is called from the runs' goroutines.
func (p *progress) event(e provision.Event) {
	p.mu.Lock()
	b := p.bar[e.Slot.Slot]
	if b != nil {
		b.text = e.Slot.State.String() + " " + e.Slot.Serial + " " + e.Slot.Note
	}
	if e.End != nil {
		p.ended(*e.End)
	}
	p.mu.Unlock()
	if b == nil { // a bar's decorators take the lock: touch it without
		return
	}
	b.SetCurrent(int64(max(e.Slot.Step, 0)))
	if e.End != nil && e.End.Fault != nil {
		b.Abort(false)
	}
}

func (p *progress) ended(r provision.Result) {
	p.sum.add(r.Outcome)
	p.results <- r
}

// write tells each result: one JSON object on standard output and a line for
// people on standard error, or a line. What has a bar is told in full only
// when it failed, below the bars.
func (p *progress) write() {
	defer close(p.written)
	var failed []provision.Result
	for r := range p.results {
		switch {
		case p.json:
			p.object(unitObject(r))
			fmt.Fprintln(p.people, unitLine(r))
		case p.bars == nil:
			fmt.Fprintln(p.out, unitLine(r))
		case r.Fault != nil:
			failed = append(failed, r)
		}
	}
	if p.bars != nil {
		p.bars.Wait()
	}
	for _, r := range failed {
		fmt.Fprintln(p.out, unitLine(r))
	}
}

func unitLine(r provision.Result) string {
	s := fmt.Sprintf("slot %d  %-7s  %s  entry %d  %.1f s", r.Slot, r.Outcome, r.Serial, r.Entry, r.Duration.Seconds())
	if r.Fault != nil {
		s += "  " + oneLine(r.Fault.Error()) + "  " + r.Fault.Remedy
	}
	return s
}

func unitObject(r provision.Result) map[string]any {
	o := map[string]any{
		"event": "unit", "slot": r.Slot, "port": r.Port, "serial": r.Serial, "uid": r.UID, "outcome": r.Outcome,
		"seq": r.Entry, "cert_sha256": r.CertSHA256, "cert_serial": r.CertSerial,
		"duration_ms": r.Duration.Milliseconds(), "attempt": r.Attempt, "retries": r.Retries,
	}
	if r.Fault != nil {
		o["fault"], o["step"], o["detail"] = r.Fault.Code, r.Step, oneLine(r.Fault.Error())
	}
	return o
}

func (p *progress) object(o map[string]any) {
	_ = json.NewEncoder(p.out).Encode(o) // a closed pipe must not stop the line
}

// close ends the display with the summary. No run may be going on.
func (p *progress) close() summary {
	close(p.results)
	<-p.written
	s := p.sum
	if p.json {
		p.object(s.object())
		return s
	}
	fmt.Fprintln(p.out, s.text())
	return s
}

// verdict is the batch's exit code.
func (s summary) verdict(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return &exitError{exitInterrupted, fmt.Errorf("interrupted: %d of the boards were stopped", s.aborted), "everything is on record; the same command goes on"}
	case s.errors > 0:
		return &exitError{exitUnfit, fmt.Errorf("%d boards could not be finished because of the station", s.errors), "see: station doctor"}
	case s.failed+s.aborted > 0:
		return &exitError{exitUnits, fmt.Errorf("%d boards did not pass", s.failed+s.aborted), "see the faults above; a retry is always safe"}
	}
	return nil
}
