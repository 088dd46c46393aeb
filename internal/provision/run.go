// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/smp"
)

// run is one pass over one unit: an attempt. It is owned by its goroutine;
// what others may see of it is in the slot's view.
type run struct {
	st   *Station
	slot int
	port string
	usb  string
	id   string // 32 hex digits, on every entry of the attempt
	log  *slog.Logger

	client  *smp.Client
	session *enroll.Session
	info    enroll.Info
	relinks int
	retries int // of clients that were replaced after a lost link

	work    *work
	serial  string // given by a scan or a list, chosen in connect
	vars    map[string]string
	history history
	attempt int
	boardID string       // in Station.live, "" before it is entered
	came    enroll.State // the board's state when the run met it
	boot    *[16]byte    // the boot that the restart is to end
	begun   bool         // the begun entry is on record
	claimed bool         // serial, board ID and key are this unit's
	keep    bool         // the board's key is known to the ledger: go on with it
	token   [32]byte
	nonce   [32]byte
	spki    [32]byte
	cn, sn  string
	req     *issuer.Request
	tbs     []byte

	cert       []byte // DER
	certSerial string
	chain      []byte // DER, leaf first, concatenated
	links      [][]byte
	readBack   [32]byte
	rehearsal  string // SHA-256 in hex
	signed     *record.Receipt

	flashing bool   // the product's image was to be on the board
	running  string // digest of the image that runs, as the boot loader reports it, in hex
	swapping bool   // the board restarts into another image: its port may be away for long
	swaps    int    // such restarts so far

	started time.Time
	steps   []record.StepRecord
}

// maxRelinks is how often in one run a link that was lost may come back.
const maxRelinks = 2

// recordLimit bounds the last words of a run: end entry and checkpoint.
const recordLimit = 30 * time.Second

func newRun(st *Station, slot int, port, usb, serial string) *run {
	var id [16]byte
	rand.Read(id[:])
	r := &run{st: st, slot: slot, port: port, usb: usb, serial: serial, id: hex.EncodeToString(id[:]), started: time.Now()}
	rand.Read(r.token[:])
	r.log = st.cfg.Log.With("run", r.id, "slot", slot, "port", port)
	return r
}

// do runs the procedure in a straight line and records how it ended.
func (r *run) do(ctx context.Context) {
	var failed *Fault
	for i, s := range procedure() {
		r.st.showStep(r, i, s.Name)
		began, tries := time.Now(), r.tries()
		err := r.guarded(ctx, s)
		r.steps = append(r.steps, record.StepRecord{
			Name: s.Code, Ms: time.Since(began).Milliseconds(), Retries: r.tries() - tries,
		})
		if err != nil {
			failed = classify(s.Code, r.whoStopped(ctx, err))
			break
		}
	}
	r.finish(context.WithoutCancel(ctx), failed)
}

// whoStopped tells a run that was stopped from one that ran out of time.
func (r *run) whoStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", context.Canceled, err)
	}
	return err
}

// guarded turns a panic in a step into the run's failure: whatever a board
// provokes costs its own slot one attempt, never the station.
func (r *run) guarded(ctx context.Context, s step) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("panic in a step", "step", s.Code, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return r.step(ctx, s)
}

// step runs one step under its deadline. When the link to the board is lost it
// waits for the same board to come back and runs the step again; when the
// board says it is in another state than the step left it in (it restarted and
// lost its RAM), the step is run once more from what info shows.
func (r *run) step(ctx context.Context, s step) error {
	ctx, cancel := context.WithTimeout(ctx, s.deadline)
	defer cancel()
	for restarted := false; ; {
		err := s.do(r, ctx)
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case isA[*smp.LinkError](err) && (r.swapping && r.swaps <= maxSwaps || r.relinks < maxRelinks):
			if !r.swapping {
				r.relinks++
			}
			r.log.Info("link lost, waiting for the board", "step", s.Code, "err", err)
			if e := r.relink(ctx); e != nil {
				return errors.Join(e, err)
			}
		case isRC(enroll.RCWrongState)(err) && !restarted:
			restarted = true
			r.log.Info("the board is in another state, reading it again", "step", s.Code, "err", err)
			if e := r.reread(ctx); e != nil {
				return errors.Join(e, err)
			}
		default:
			return err
		}
	}
}

// reread asks the same board once more who it is.
func (r *run) reread(ctx context.Context) error {
	info, err := r.session.Info(ctx)
	if err == nil {
		r.info = info
	}
	return err
}

// dial opens the port and waits until the board there tells who it is. The run
// takes that over only once it is known to be its board.
func (r *run) dial(ctx context.Context) (enroll.Info, error) {
	r.hangUp()
	stream, err := r.st.cfg.Open(ctx, r.port)
	if err != nil {
		return enroll.Info{}, &fault{"F-CONNECT-01", fmt.Errorf("open %s: %w", r.port, err)}
	}
	baud, _, _ := r.st.cfg.Product.Line()
	r.client = smp.NewClient(smp.ClientConfig{Stream: stream, Baud: baud, Log: r.log})
	r.session = enroll.New(enroll.Config{Client: r.client, Log: r.log})
	info, err := r.session.WaitInfo(ctx)
	if err == nil {
		r.session.Expect(info.UID, info.SPKI)
	}
	return info, err
}

// relinkEvery is the pause between two attempts to open a port that went away.
const relinkEvery = 250 * time.Millisecond

// relinkLimit is how long a lost board may stay away.
const relinkLimit = 15 * time.Second

// relink opens the port again once it is there and goes on only when the same
// board with the same key answers.
func (r *run) relink(ctx context.Context) error {
	limit, swapping := relinkLimit, r.swapping
	if r.swapping = false; swapping {
		limit = swapLimit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(relinkEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		info, err := r.dial(ctx)
		switch {
		case isA[*fault](err) || isA[*smp.LinkError](err):
			continue // the port is not there yet
		case swapping && errors.Is(err, smp.ErrTimeout):
			continue // it is, but the boot loader is not done
		case err != nil:
			return err
		case r.info.UID == nil: // the link was lost before the board told who it is
		case !slices.Equal(r.info.UID, info.UID) || r.info.Model != info.Model:
			return enroll.ErrOtherBoard
		case r.spki != ([32]byte{}) && (info.SPKI == nil || *info.SPKI != r.spki):
			return enroll.ErrOtherBoard
		}
		r.info = info
		return nil
	}
}

func (r *run) hangUp() {
	if r.client != nil {
		r.retries += r.client.Retries()
		r.client.Close()
		r.client = nil
	}
}

// tries counts everything that had to be done twice: repeated sends and links
// that came back.
func (r *run) tries() int {
	n := r.retries + r.relinks
	if r.client != nil {
		n += r.client.Retries()
	}
	return n
}

// finish records the end and shows it. PASS is shown only when a signed
// checkpoint covers the end entry.
//
// Commit point: before the end entry the unit is open and its next run
// resumes it; after it the attempt is history.
func (r *run) finish(ctx context.Context, failed *Fault) {
	ctx, cancel := context.WithTimeout(ctx, recordLimit)
	defer cancel()
	b := r.body(record.KindEnd)
	r.describeEnd(&b, failed)
	seq, err := r.appendSeq(ctx, ledger.Batch{Bodies: []record.Body{b}})
	if err == nil {
		r.st.committed("end")
		err = r.st.cfg.Ledger.Cover(ctx, seq)
	}
	if err != nil {
		failed = classify("RECORD", err)
	}
	if failed != nil {
		r.log.Warn("run ended", "serial", r.serial, "fault", failed.Code, "err", failed.Err)
	} else {
		r.log.Info("run passed", "serial", r.serial, "entry", seq)
	}
	r.st.recount(ctx)
	// The board and its port are free before anybody can press RETRY.
	r.hangUp()
	r.st.leave(r)
	r.st.showEnd(r, failed, seq)
}

func (r *run) describeEnd(b *record.Body, failed *Fault) {
	b.Outcome, b.Steps, b.Attempt = Outcome(failed), r.steps, r.attempt
	b.Cert, b.CertSerial = digestHex(r.cert), r.certSerial
	if r.readBack != ([32]byte{}) {
		b.ChainReadBack = hexOf(r.readBack[:])
	}
	b.Rehearsal, b.Receipt, b.Duration = r.rehearsal, r.signed, time.Since(r.started).Milliseconds()
	if failed != nil {
		if r.claimed && r.tbs == nil && !r.history.toBeSigned() {
			b.Releases = r.claims() // nothing was to be signed: the label may go on another board
		}
		b.Fault, b.FaultStep = failed.Code, failed.Step
		b.Detail = record.Plain(failed.Error(), 500)
	}
}

// ofStation are the faults that are not the unit's, besides those that stop
// the station.
var ofStation = []string{"F-CONNECT-01", "F-ISSUE-01", "F-ISSUE-03", "F-REHEARSE-02", "F-RECORD-02"}

// Outcome is the word the ledger keeps for a run that ended so: passed,
// failed (the unit's fault), error (the station's) or aborted.
func Outcome(f *Fault) string {
	switch {
	case f == nil:
		return record.Passed
	case isErr(context.Canceled)(f):
		return record.Aborted
	case f.Action == StopStation || slices.Contains(ofStation, f.Code):
		return record.Error
	}
	return record.Failed
}

// proof has the board sign a fresh nonce over what its storage holds and
// checks the signature under the certificate's key.
func (r *run) proof(ctx context.Context, state enroll.State) (*record.Receipt, error) {
	p := enroll.Proof{Chain: sha256.Sum256(r.chain), Prot: r.info.Prot, State: state, UID: r.info.UID}
	rand.Read(p.Nonce[:])
	if d := r.st.cfg.Product.anchors; len(d) > 0 {
		p.Anchors = sha256.Sum256(d)
	}
	if d := r.st.cfg.ReworkKeys; len(d) > 0 {
		p.Rework = sha256.Sum256(d)
	}
	if r.info.Root != nil {
		p.Root = *r.info.Root
	}
	sig, err := r.session.Prove(ctx, p.Nonce)
	if err != nil {
		return nil, err
	}
	alg := r.st.cfg.Product.cfg.Algorithm
	if err := p.Verify(r.publicKey(), alg, sig); err != nil {
		return nil, err
	}
	return &record.Receipt{
		Alg: alg, Nonce: hexOf(p.Nonce[:]), Chain: present(p.Chain), Anchors: present(p.Anchors),
		Rework: present(p.Rework), Root: present(p.Root), Prot: int(p.Prot), State: int(p.State),
		UID: r.uid(), Sig: hexOf(sig),
	}, nil
}

func (r *run) uid() string { return hex.EncodeToString(r.info.UID) }

func (r *run) unit() issuer.Unit {
	return issuer.Unit{Serial: r.serial, UID: r.uid(), Model: r.info.Model, Vars: r.vars}
}

// present is a digest in hex, "" for one of something that is not there.
func present(d [32]byte) string {
	if d == ([32]byte{}) {
		return ""
	}
	return hexOf(d[:])
}
