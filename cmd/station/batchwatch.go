// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

// stopConfig is [stop] of station.toml: when failures speak of the line.
type stopConfig struct {
	InARow    int `toml:"in_a_row"`
	SameFault int `toml:"same_fault"`
	SameSlot  int `toml:"same_slot"`
}

// defaultStop holds where station.toml says nothing and nobody looks on at each
// board.
var defaultStop = stopConfig{InARow: 5, SameFault: 3, SameSlot: 3}

func (c *homeConfig) stopRules() provision.StopRules {
	s := defaultStop
	if c.Stop != nil {
		s = *c.Stop
	}
	return provision.StopRules(s)
}

func (s *stopConfig) ok() bool {
	return s == nil || !slices.ContainsFunc([]int{s.InARow, s.SameFault, s.SameSlot}, func(n int) bool { return n < 0 || n > provision.MaxStopRule })
}

// watchBatch provisions boards as they are plugged in, until it is interrupted,
// the order is complete, or the line is stopped by something that needs a person.
// Where labels are scanned, each line of standard input is one.
func watchBatch(ctx context.Context, c *cobra.Command, g *globals, b *bench, f batchFlags, work *orderFile, cfg provision.Config) error {
	cfg.Slots = max(b.home.cfg.Slots, len(f.ports))
	if err := onThisBench(cfg.Units, cfg.Slots); err != nil {
		return err
	}
	show := newReporter(c.OutOrStdout(), c.ErrOrStderr(), g.json)
	cfg.Observe, cfg.Auto, cfg.Stop = show.event, true, b.home.cfg.stopRules()
	st, err := b.station(ctx, cfg)
	if err != nil {
		return err
	}
	defer b.keepBackups(ctx)()
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var with sync.WaitGroup
	with.Go(func() { watch(inner, st, g.lookout(f.ports, b.product), newSeats(b.home.cfg.bound(), cfg.Slots)) })
	if work != nil {
		with.Go(func() {
			b.followOrder(inner, st, work, func(err error) { fmt.Fprintln(c.ErrOrStderr(), oneLine(err.Error())) })
		})
	}
	if provision.SerialSource(b.product, cfg.Order) == provision.SerialScan && cfg.Units == nil {
		go scanLines(inner, c.InOrStdin(), st, c.ErrOrStderr()) // ends with its input
	}
	why := untilDone(inner, st)
	cancel()
	with.Wait()
	if err := st.Stop(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	sum := show.close()
	if why != nil {
		return why
	}
	return sum.verdict(ctx)
}

// untilDone waits until ctx ends or nothing more can be started without a person.
func untilDone(ctx context.Context, st *provision.Station) error {
	for {
		s := st.Snapshot()
		busy := slices.ContainsFunc(s.Slots, func(v provision.SlotView) bool { return v.State == provision.Busy })
		switch {
		case busy:
		case s.Quantity > 0 && s.Done >= s.Quantity:
			return nil
		case s.Stopped != nil && !provision.Heals(s.Stopped):
			return unfit(s.Stopped, s.Stopped.Remedy)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-st.Changed():
		}
	}
}

// maxLabelLine bounds a line of labels, in bytes.
const maxLabelLine = 4096

// scanLines takes each line as a scanned label; what is refused is told, and the
// next line is waited for.
func scanLines(ctx context.Context, in io.Reader, st *provision.Station, people io.Writer) {
	lines := bufio.NewReaderSize(in, maxLabelLine)
	for ctx.Err() == nil {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = lines.ReadSlice('\n')
			}
			fmt.Fprintf(people, "refused: a line of more than %d bytes is no label\n", maxLabelLine)
		} else if label := strings.TrimSpace(string(line)); label != "" {
			scanLine(label, st, people)
		}
		if err != nil {
			return // the input ended
		}
	}
}

func scanLine(label string, st *provision.Station, people io.Writer) {
	slot, err := st.Scan(label)
	if err != nil {
		fmt.Fprintf(people, "refused: %s\n", oneLine(err.Error()))
		return
	}
	fmt.Fprintf(people, "slot %d has its label\n", slot)
}

// reporter tells each result as it comes, for as long as it takes: a reader that
// stalls must not hold the line, so that what it has not read yet is kept.
type reporter struct {
	out, people io.Writer
	json        bool
	more        chan struct{} // has a token when there is something to write
	written     chan struct{} // closed when all is

	mu      sync.Mutex // guards what follows
	waiting []provision.Result
	closed  bool
	sum     summary
}

func newReporter(out, people io.Writer, asJSON bool) *reporter {
	r := &reporter{out: out, people: people, json: asJSON, more: make(chan struct{}, 1), written: make(chan struct{})}
	go r.write()
	return r
}

// event takes what a station tells; it never blocks.
func (r *reporter) event(e provision.Event) {
	if e.End == nil {
		return
	}
	r.mu.Lock()
	r.waiting = append(r.waiting, *e.End)
	r.sum.add(e.End.Outcome)
	r.mu.Unlock()
	r.wake()
}

func (r *reporter) wake() {
	select {
	case r.more <- struct{}{}:
	default:
	}
}

func (r *reporter) write() {
	defer close(r.written)
	for range r.more {
		r.mu.Lock()
		results, closed := r.waiting, r.closed
		r.waiting = nil
		r.mu.Unlock()
		for _, e := range results {
			if r.json {
				_ = json.NewEncoder(r.out).Encode(unitObject(e)) // a closed pipe must not stop the line
				fmt.Fprintln(r.people, unitLine(e))
				continue
			}
			fmt.Fprintln(r.out, unitLine(e))
		}
		if closed {
			return
		}
	}
}

// close writes what is left, and the summary. No run may be going on.
func (r *reporter) close() summary {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.wake()
	<-r.written
	s := r.sum
	if r.json {
		_ = json.NewEncoder(r.out).Encode(s.object())
		return s
	}
	fmt.Fprintln(r.out, s.text())
	return s
}

func (s *summary) add(outcome string) {
	switch outcome {
	case record.Passed:
		s.passed++
	case record.Failed:
		s.failed++
	case record.Aborted:
		s.aborted++
	default:
		s.errors++
	}
}

func (s summary) object() map[string]any {
	return map[string]any{"event": "summary", "passed": s.passed, "failed": s.failed, "error": s.errors, "aborted": s.aborted}
}

func (s summary) text() string {
	return fmt.Sprintf("%d passed, %d failed, %d errors of the station, %d aborted", s.passed, s.failed, s.errors, s.aborted)
}

var errWatchCount = errors.New("--count does not go with --watch")
