// SPDX-License-Identifier: Apache-2.0

// Package provision is the procedure: it takes a board from the moment
// somebody says "provision" to a recorded end, for every slot of the bench at
// once, and tells observers what happens.
//
// GUI and batch are two equal observers of one [Station]. A station acts only
// through what its Config holds; the Config is unexported, so whoever holds a
// Station can start runs and look on, but cannot sign, open a port or write
// the ledger.
package provision

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"provisioning.example/station/internal/filter"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/order"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/smp"
)

// Config is what a station is wired from.
type Config struct {
	Ledger  *ledger.Ledger
	Reader  *reader.Reader
	Issuer  *issuer.Issuer
	Profile *issuer.Profile
	Product *Product
	// Open opens a slot's port as the product's line wants it.
	Open func(ctx context.Context, port string) (smp.Stream, error)

	Operator     string // who is at the bench
	Role         string
	Software     string        // name and version, on every entry
	ConfigDigest string        // SHA-256 in hex of the station's configuration
	Order        *order.Order  // what is built first, see [Station.Take]; nil: no order
	ReworkKeys   []byte        // DER SubjectPublicKeyInfo of one or two rework keys, concatenated; nil: boards are locked for good
	Units        *Units        // serials given by a list, for the order or without one; nil: none
	Elsewhere    []*filter.Set // what other stations have used

	Auto      bool      // start in auto mode, see [Station.SetAuto]
	Stop      StopRules // zero: no rule
	Slots     int       // places on the bench
	Jobs      int       // runs at the same time, 0: as many as slots
	Simulated bool
	Demo      bool
	Training  bool            // nothing that is made is meant to leave
	Health    func() []Health // asked for each snapshot; must not block
	Fit       func() error    // asked before each run, nil: always; an error stops the line (disk)

	Observe func(Event) // called from the runs' goroutines; must not block
	Log     *slog.Logger
}

// Event tells an observer that a slot changed. End is set once a run's last
// word is on record.
type Event struct {
	Slot SlotView
	End  *Result
}

// Result is how a run ended.
type Result struct {
	Slot        int
	Port        string
	Serial, UID string
	Outcome     string // record.Passed and so on
	Fault       *Fault
	Step        string // the step that failed
	Entry       int64
	CertSHA256  string
	CertSerial  string
	Duration    time.Duration
	Attempt     int
	Retries     int
}

// Station is one bench.
type Station struct {
	cfg     Config
	roots   *x509.CertPool
	began   time.Time // for clockSane: wall and monotonic reading
	changed chan struct{}
	jobs    chan struct{}  // a token for each run that may go on
	wg      sync.WaitGroup // of the runs
	healers sync.WaitGroup // started by runs
	quit    chan struct{}  // closed by Stop

	wall              func() time.Time   // the wall clock: time.Now, but in tests
	testOnlyCommitted func(point string) // see hook.go
	testOnlyRecord    func(context.Context, ledger.Batch) ([]int64, error)

	mu       sync.Mutex // guards everything below
	slots    []*slot
	live     map[string]*run // boards that a run holds, by its key
	brought  map[string]*run // names and random numbers that a run brought
	work     *work
	auto     bool
	ends     []ending // for the stop rules, oldest first
	counters Counters
	done     int       // units of the order that passed
	counted  time.Time // when the counters were read
	stopped  *Fault
	closing  bool
}

type slot struct {
	view    SlotView
	present bool
	scanned string
	work    *work // of the run that goes on
	started time.Time
	cancel  context.CancelFunc
}

// New wires a station. It refuses to start when the ledger's last entry is
// later than the clock.
func New(ctx context.Context, cfg Config) (*Station, error) {
	st := &Station{
		cfg: cfg, roots: x509.NewCertPool(), began: time.Now(), wall: time.Now,
		auto:    cfg.Auto,
		changed: make(chan struct{}, 1), live: map[string]*run{}, brought: map[string]*run{}, quit: make(chan struct{}),
	}
	var err error
	if st.work, err = newWork(cfg.Product, cfg.Order, cfg.Units); err != nil {
		return nil, err
	}
	st.cfg.Jobs = cmp.Or(cfg.Jobs, cfg.Slots)
	if cfg.Observe == nil {
		st.cfg.Observe = func(Event) {}
	}
	if cfg.Log == nil {
		st.cfg.Log = slog.New(slog.DiscardHandler)
	}
	st.jobs = make(chan struct{}, st.cfg.Jobs)
	st.roots.AddCert(cfg.Issuer.Root())
	for i := range cfg.Slots {
		st.slots = append(st.slots, &slot{view: SlotView{Slot: i + 1, Step: -1}})
	}
	if err := notBehind(ctx, cfg.Reader); err != nil {
		return nil, err
	}
	if err := st.endDeadRuns(ctx); err != nil {
		return nil, err
	}
	if st.done, err = st.unitsDone(ctx, st.work); err != nil {
		return nil, err
	}
	st.recount(ctx)
	return st, nil
}

// fit asks whether a run may begin.
func (st *Station) fit() error {
	if st.cfg.Fit == nil {
		return nil
	}
	return st.cfg.Fit()
}

// stamp fills what every entry carries.
func (st *Station) stamp(b record.Body) record.Body {
	b.Station, b.Operator, b.Software = st.cfg.Ledger.Origin().Station, st.cfg.Operator, st.cfg.Software
	b.Time = record.Timestamp(time.Now())
	return b
}

// Attach puts a port into a slot: the given one, or with 0 the one the port
// had, or the first free one. It returns the slot, 0 when the bench is full.
func (st *Station) Attach(number int, port, usb string) int {
	st.mu.Lock()
	defer st.mu.Unlock()
	s := st.free(number, port, usb)
	if s == nil {
		return 0
	}
	s.present = true
	if s.view.State == Busy {
		s.view.Port, s.view.USB = port, usb
	} else {
		s.view = SlotView{Slot: s.view.Slot, Port: port, USB: usb, Step: -1, Advice: s.view.Advice}
		st.settle(s)
	}
	st.notify(s, nil)
	st.kick()
	return s.view.Slot
}

// free finds the slot for a port: the one of its USB location, the one of its
// name where there is no location, one that never held a port, one whose board
// is gone.
func (st *Station) free(number int, port, usb string) *slot {
	if number > 0 {
		if number > len(st.slots) {
			return nil
		}
		return st.slots[number-1]
	}
	for _, fits := range []func(*slot) bool{
		func(s *slot) bool { return usb != "" && s.view.USB == usb },
		func(s *slot) bool { return usb == "" && s.view.USB == "" && s.view.Port == port },
		func(s *slot) bool { return s.view.Port == "" },
		func(s *slot) bool { return !s.present && s.view.State != Busy },
	} {
		if i := slices.IndexFunc(st.slots, fits); i >= 0 {
			return st.slots[i]
		}
	}
	return nil
}

// Detach takes a port away. A run on it notices by itself.
func (st *Station) Detach(port string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, s := range st.slots {
		if s.view.Port != port {
			continue
		}
		s.present, s.scanned = false, ""
		if s.view.State != Busy {
			s.view = SlotView{Slot: s.view.Slot, Port: port, USB: s.view.USB, Step: -1, Advice: s.view.Advice}
		}
		st.notify(s, nil)
	}
}

// settle gives an idle slot with a board the state it waits in.
func (st *Station) settle(s *slot) {
	s.view.State, s.view.Serial = Ready, s.scanned
	s.view.Note = st.cfg.Product.Name()
	if s.scanned == "" && st.work.source == SerialScan {
		s.view.State, s.view.Note = Scan, "Board found. Scan its label."
	}
	if s.view.Advice != nil {
		s.view.Note = s.view.Advice.Remedy
	}
}

// Provision starts runs on the given slots, or on every READY one, but no more
// than the order wants, and returns how many were started. A slot that is held is
// started only where it is named. It never blocks.
func (st *Station) Provision(numbers ...int) int {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.mayStart() {
		return 0
	}
	n := 0
	for _, s := range st.slots {
		named := slices.Contains(numbers, s.view.Slot)
		if s.view.State == Ready && (named || len(numbers) == 0 && s.view.Advice == nil) && st.places() > 0 {
			st.start(s, n)
			n++
		}
	}
	return n
}

// Retry starts the slot's board once more after a fault that a retry may
// mend. It resumes: a certificate on record is never issued twice. Where serials
// are scanned and the slot's label is not known any more, since its port went away
// meanwhile or the order was changed, the label is asked for first: the slot waits
// for its scan.
func (st *Station) Retry(number int) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if number < 1 || number > len(st.slots) {
		return fmt.Errorf("there is no slot %d", number)
	}
	s := st.slots[number-1]
	if s.view.State != Fail || s.view.Fault == nil || s.view.Fault.Action == RejectUnit || !s.present {
		return fmt.Errorf("slot %d has nothing to retry", number)
	}
	st.stopped = nil // a person asked: the next run shows whether it is mended
	st.forgive()
	if !st.mayStart() {
		return errors.New("the station is closing")
	}
	if st.places() == 0 {
		return fmt.Errorf("order %s is complete with its %d units", st.work.name(), st.work.quantity())
	}
	if s.scanned == "" && st.work.source == SerialScan {
		s.view = SlotView{Slot: s.view.Slot, Port: s.view.Port, USB: s.view.USB, Step: -1}
		st.settle(s)
		st.notify(s, nil)
		return nil
	}
	st.start(s, 0)
	return nil
}

// mayStart reports whether new runs are allowed. st.mu is held.
func (st *Station) mayStart() bool { return !st.closing && st.stopped == nil }

// apart is how much later the next of several runs begins that are started
// together. Boards, ports and this machine would else have all their work at
// the same moment, and the TPM, which signs for one board after the other, none
// until most of them are done with their keys.
const apart = 4 * time.Millisecond

// turn waits until the n-th of several runs, from 0, may begin, or for ctx.
func turn(ctx context.Context, n int) {
	if n == 0 {
		return
	}
	t := time.NewTimer(time.Duration(n) * apart)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// start begins a run, the n-th of those that are started together. st.mu is held.
func (st *Station) start(s *slot, n int) {
	ctx, cancel := context.WithCancel(context.Background())
	r := newRun(st, s.view.Slot, s.view.Port, s.view.USB, s.scanned)
	r.work = st.work
	s.cancel, s.started, s.work = cancel, time.Now(), st.work
	s.view = SlotView{
		Slot: s.view.Slot, Port: s.view.Port, USB: s.view.USB, State: Busy,
		Serial: s.scanned, Step: -1, Note: "Waiting for its turn", Advice: s.view.Advice,
	}
	st.notify(s, nil)
	st.wg.Go(func() {
		defer cancel()
		turn(ctx, n)
		select {
		case st.jobs <- struct{}{}:
			defer func() { <-st.jobs }()
		case <-ctx.Done():
		}
		if !st.halted(r, ctx) {
			r.do(ctx)
		}
	})
}

// halted gives a run that waited for its turn back to its slot when the line
// was stopped meanwhile: nothing was begun, nothing is recorded.
func (st *Station) halted(r *run, ctx context.Context) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.stopped == nil || ctx.Err() != nil {
		return false
	}
	s := st.slots[r.slot-1]
	s.cancel = nil
	s.view = SlotView{Slot: s.view.Slot, Port: s.view.Port, USB: s.view.USB, Step: -1}
	if s.present {
		st.settle(s)
	}
	st.notify(s, &Result{Slot: r.slot, Port: r.port, Serial: r.serial, Outcome: record.Aborted, Fault: st.stopped, Step: st.stopped.Step})
	return true
}

// Resume lets a stopped line start runs again: a person says that it is
// mended. If it is not, the next run stops it again.
func (st *Station) Resume() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.stopped = nil
	st.forgive()
	st.kick()
	st.signal()
}

// Busy counts the runs going on.
func (st *Station) Busy() int {
	st.mu.Lock()
	defer st.mu.Unlock()
	n := 0
	for _, s := range st.slots {
		if s.view.State == Busy {
			n++
		}
	}
	return n
}

// Stop starts nothing new, lets every run come to its next commit point and
// record its end, and returns when all have and nothing uses the ledger any
// more, or with ctx's error.
func (st *Station) Stop(ctx context.Context) error {
	st.mu.Lock()
	if !st.closing {
		close(st.quit)
	}
	st.closing = true
	for _, s := range st.slots {
		if s.cancel != nil {
			s.cancel()
		}
	}
	st.mu.Unlock()
	return await(ctx, &st.wg, &st.healers)
}

// Wait returns when no run is going on.
func (st *Station) Wait(ctx context.Context) error { return await(ctx, &st.wg) }

// await waits for one group after the other, or for ctx.
func await(ctx context.Context, groups ...*sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, g := range groups {
			g.Wait()
		}
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter reserves the board for the run: two slots that reach one board must
// not both work on it.
func (st *Station) enter(r *run) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	key := r.info.Model + "/" + r.uid()
	if other := st.live[key]; other != nil && other != r {
		return &fault{"F-CONNECT-13", fmt.Errorf("slot %d holds board %s", other.slot, r.uid())}
	}
	st.live[key], r.boardID = r, key
	return nil
}

func (st *Station) leave(r *run) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.live[r.boardID] == r {
		delete(st.live, r.boardID)
	}
	maps.DeleteFunc(st.brought, func(_ string, by *run) bool { return by == r })
}
