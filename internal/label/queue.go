// SPDX-License-Identifier: Apache-2.0

package label

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Job is a label that waits for the printer: of an end entry of the ledger.
type Job struct {
	Epoch  int
	Seq    int64
	Copies int
	// Again says that somebody asked for it: who, and why.
	Again          bool
	Operator, Word string
}

// QueueConfig is what a queue prints with. All its functions are called from the
// queue's one goroutine.
type QueueConfig struct {
	// Print makes a label and gives it to the printer. It must end with its context.
	Print func(context.Context, Job) error
	// Tell is told what became of a job: each that was printed, the first failure of
	// each that waits, what Print refuses with a *RefusedError, and with ErrLeft what
	// was never tried.
	Tell func(Job, error)
	// Look asks whether the printer can be reached, at the start and while it could
	// not and nothing waits. It must end with its context.
	Look    func(context.Context) error
	Timeout time.Duration // for one label
	Pause   time.Duration // after a failure, before the printer is tried again
}

// RefusedError says that a label is not to be printed at all: trying again would
// not help.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap gives the reason.
func (e *RefusedError) Unwrap() error { return e.Err }

// The reasons for which a queue itself does not print.
var (
	ErrLeft = errors.New("the station stopped before the printer took it")
	ErrFull = errors.New("too many labels wait for the printer")
)

// maxWaiting bounds the labels that wait for a printer; a shift has fewer.
const maxWaiting = 20000

// Queue gives labels to a printer, one after the other, in the order in which
// they came. Whoever adds one never waits.
type Queue struct {
	cfg    QueueConfig
	wake   chan struct{}
	cancel context.CancelFunc
	ended  sync.WaitGroup
	left   int // jobs not printed; nobody reads it before run has ended

	mu      sync.Mutex // guards everything below
	waiting []waiting
	trouble error // of the last try
	closing bool
}

type waiting struct {
	Job
	told bool // its first failure
}

// NewQueue starts a queue. Close ends it.
func NewQueue(cfg QueueConfig) *Queue {
	ctx, cancel := context.WithCancel(context.Background())
	q := &Queue{cfg: cfg, wake: make(chan struct{}, 1), cancel: cancel}
	q.ended.Go(func() { q.run(ctx) })
	return q
}

// Add puts a job behind the others. ErrFull and ErrLeft: it is not taken.
func (q *Queue) Add(j Job) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closing:
		return ErrLeft
	case len(q.waiting) >= maxWaiting:
		return ErrFull
	}
	q.waiting = append(q.waiting, waiting{Job: j})
	q.signal()
	return nil
}

// State is how many labels wait, and why the last one was not printed; nil when it was.
func (q *Queue) State() (waits int, trouble error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting), q.trouble
}

// Close takes nothing more, prints what waits unless the printer fails or ctx
// ends, tells of the rest and returns how many they were.
func (q *Queue) Close(ctx context.Context) (left int) {
	q.mu.Lock()
	q.closing = true
	q.signal()
	q.mu.Unlock()
	stop := context.AfterFunc(ctx, q.cancel)
	q.ended.Wait()
	stop()
	q.cancel()
	return q.left
}

func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run owns the printer.
func (q *Queue) run(ctx context.Context) {
	q.look(ctx)
	for {
		next, some, closing := q.next()
		if ctx.Err() != nil || closing && !some {
			break
		}
		if !some {
			q.idle(ctx)
			continue
		}
		if err := q.print(ctx, next); err != nil && !q.rest(ctx) {
			break
		}
	}
	for next, some, _ := q.next(); some; next, some, _ = q.next() {
		if !next.told {
			q.cfg.Tell(next.Job, ErrLeft)
		}
		q.drop()
		q.left++
	}
}

func (q *Queue) next() (next waiting, some, closing bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return next, false, q.closing
	}
	return q.waiting[0], true, q.closing
}

// drop takes the first job away; only run does.
func (q *Queue) drop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = q.waiting[1:]
}

// print tries the first job once and returns what is wrong with the printer.
func (q *Queue) print(ctx context.Context, w waiting) error {
	ctx, cancel := context.WithTimeout(ctx, q.cfg.Timeout)
	defer cancel()
	err := q.cfg.Print(ctx, w.Job)
	refused := (*RefusedError)(nil)
	if err == nil || errors.As(err, &refused) {
		q.drop()
		q.cfg.Tell(w.Job, err)
		if err == nil {
			q.setTrouble(nil)
		}
		return nil
	}
	if !w.told {
		q.cfg.Tell(w.Job, err)
		q.mu.Lock()
		q.waiting[0].told = true
		q.mu.Unlock()
	}
	q.setTrouble(err)
	return err
}

func (q *Queue) setTrouble(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.trouble = err
}

func (q *Queue) look(ctx context.Context) {
	if q.cfg.Look == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, q.cfg.Timeout)
	defer cancel()
	q.setTrouble(q.cfg.Look(ctx))
}

// idle waits for a label, or looks after a printer that is off.
func (q *Queue) idle(ctx context.Context) {
	var again <-chan time.Time
	if _, trouble := q.State(); trouble != nil && q.cfg.Look != nil {
		pause := time.NewTimer(q.cfg.Pause)
		defer pause.Stop()
		again = pause.C
	}
	select {
	case <-q.wake:
	case <-again:
		q.look(ctx)
	case <-ctx.Done():
	}
}

// rest waits before the printer is tried again; false: it is not.
func (q *Queue) rest(ctx context.Context) bool {
	pause := time.NewTimer(q.cfg.Pause)
	defer pause.Stop()
	for {
		if _, _, closing := q.next(); closing {
			return false
		}
		select {
		case <-pause.C:
			return true
		case <-q.wake: // another label, or the end
		case <-ctx.Done():
			return false
		}
	}
}
