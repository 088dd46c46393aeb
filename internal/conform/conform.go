// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/smp"
)

// A Config says which board is tested, and how.
type Config struct {
	Stream smp.Stream
	Baud   int    // bits per second; 0: no line time
	Group  uint16 // of enrollment; 0: 64
	Model  string // that info must show; "": any

	// Authority is a test root with its key. A board whose firmware pins a root
	// accepts nothing else; nil: a throw-away root.
	Authority *Authority
	// Rework is the key of the rework object, on P-256. A board that a broken
	// run left locked is unlocked by it. nil: a key for this run alone, after
	// whose break the board stays locked.
	Rework *ecdsa.PrivateKey

	// Wipe is asked before a board that is not blank loses its key and objects.
	// nil: never.
	Wipe   func(Board) bool
	Report func(Result) // told after each check; nil: nobody
	Log    *slog.Logger // nil: no log
}

// A Board is what a board said of itself before the first check.
type Board struct {
	UID   []byte
	Model string
	State enroll.State
}

// A Verdict is what came out of a check.
type Verdict string

// Verdicts. Not checked is no pass.
const (
	OK         Verdict = "ok"
	Wrong      Verdict = "WRONG"
	NotChecked Verdict = "not checked"
)

// A Result is what one check found.
type Result struct {
	ID      string // stable, for scripts: "csr/nonce"
	Section string // of docs/protocol.md: "2, csr"
	What    string // that the board must do, one line
	Verdict Verdict

	Step, Expected, Got string  // of a wrong check
	Reason              string  // why it was not checked
	Outside             bool    // not checked, for it is about something this board or run does not have
	Frames              []Frame // what passed on the line, at most 64 KiB
}

// A Summary counts the results.
type Summary struct {
	OK, Wrong  int
	NotChecked int     // without those that are outside
	Outside    int     // not checked, for there is nothing to check
	First      *Result // the first that is wrong, nil when none is
	Blank      bool    // the board was blank at the end
}

// Passed tells whether everything that the protocol asks of this board was
// checked and is right.
func (s Summary) Passed() bool { return s.OK > 0 && s.Wrong == 0 && s.NotChecked == 0 }

// Errors of Run before the first check.
var (
	// ErrNotBlank: the board holds a key, and Wipe did not allow to take it.
	ErrNotBlank = errors.New("the board is not blank, and the test would wipe it")
	// ErrLocked: the board is locked, and not for the key in Config.Rework.
	ErrLocked = errors.New("the board is locked; only its rework key makes it blank")
	// ErrAuthority: the given root is not one to test this board with.
	ErrAuthority = errors.New("the test root does not fit")
)

// Run makes all checks over a board. What the board does wrong is in the
// results, not an error. Errors: those of this package, a *smp.LinkError when
// the line fails, and the cause of ctx.
func Run(ctx context.Context, cfg Config) (Summary, error) {
	b, err := newBench(cfg)
	if err != nil {
		return Summary{}, err
	}
	var sum Summary
	for _, c := range checks {
		r, err := b.check(ctx, c)
		if err != nil {
			return sum, fmt.Errorf("%s: %w", c.id, err)
		}
		sum.count(r)
		if cfg.Report != nil {
			cfg.Report(r)
		}
	}
	sum.Blank = b.dead == "" && b.facts.State != nil && enroll.State(*b.facts.State) == enroll.Blank
	return sum, nil
}

func (s *Summary) count(r Result) {
	switch r.Verdict {
	case OK:
		s.OK++
	case NotChecked:
		if r.Outside {
			s.Outside++
		} else {
			s.NotChecked++
		}
	case Wrong:
		s.Wrong++
		if s.First == nil {
			s.First = &r
		}
	}
}

// check brings the board into the state a check begins in, and makes it. The
// error is one after which no check can be made.
func (b *bench) check(ctx context.Context, c check) (Result, error) {
	r := Result{ID: c.id, Section: c.section, What: c.what, Verdict: OK}
	b.wire.tap.forget()
	if b.dead != "" {
		r.Verdict, r.Reason = NotChecked, b.dead
		return r, nil
	}
	err := b.begin(ctx, c)
	if err == nil {
		b.wire.tap.forget()
		err = c.run(b, ctx)
	}
	r.Frames = b.wire.tap.frames
	var bad *wrongError
	var not *uncheckedError
	switch {
	case err == nil:
	case errors.As(err, &not):
		r.Verdict, r.Reason, r.Outside = NotChecked, not.reason, not.outside
	case errors.As(err, &bad):
		r.Verdict, r.Step, r.Expected, r.Got = Wrong, bad.step, bad.expected, bad.got
	default:
		return r, err
	}
	return r, b.survives(ctx, r.Verdict)
}

// begin brings the board into the state that c needs. A board that cannot be
// brought there is not wrong in c.
func (b *bench) begin(ctx context.Context, c check) error {
	if c.state == anyState {
		return nil
	}
	if why := b.stuck[c.state]; why != "" {
		if err := b.look(ctx); err != nil {
			return told("info", "success", err)
		}
		if b.state() != c.state || !b.ours() {
			return unchecked("%s", why)
		}
		return nil
	}
	err := b.bring(ctx, c.state)
	var bad *wrongError
	var not *uncheckedError
	switch {
	case errors.As(err, &bad):
		b.stuck[c.state] = fmt.Sprintf("the board does not become %v: %v", c.state, bad)
	case errors.As(err, &not):
		b.stuck[c.state] = not.reason
	default:
		return err
	}
	return unchecked("%s", b.stuck[c.state])
}

// survives finds out whether a board that did wrong still answers. One that
// does not is asked nothing more: every further check would wait in vain.
func (b *bench) survives(ctx context.Context, v Verdict) error {
	if v == OK {
		return nil
	}
	err := b.connect(ctx)
	var bad *wrongError
	if errors.As(err, &bad) {
		b.dead = "info cannot be read any more: " + bad.got
		return nil
	}
	return err
}
