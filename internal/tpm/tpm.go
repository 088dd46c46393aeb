// SPDX-License-Identifier: Apache-2.0

// Package tpm holds signing keys in a TPM 2.0 and lends them out as
// [crypto.Signer]. It knows nothing of X.509.
//
// [Open] connects to a TPM named by a spec (a device, a socket, a swtpm child
// process, an in-process simulator), [TPM.CreateKey] makes a persistent key and
// [TPM.Key] finds it again by its [KeyRef]. One goroutine owns the TPM; calls
// from any number of goroutines queue for it. A TPM that goes away is reopened
// by the next command: callers see [ErrLost] only when it stays away for longer
// than their context or [Config.Patience] allows.
//
// A key's PIN never crosses the bus: every use of a key runs in an HMAC session
// salted with the storage root key (SRK) and encrypted with AES, and the SRK's
// Name is pinned in the KeyRef and compared before salting (TPM 2.0 Library,
// Part 1, sections 19 and 21).
package tpm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// DefaultPatience is how long a call waits for a TPM that went away, unless its
// context ends first.
const DefaultPatience = 30 * time.Second

var (
	// ErrLost tells that the TPM is gone and did not come back in time. Later
	// calls reconnect by themselves.
	ErrLost = errors.New("the TPM is gone")
	// ErrClosed is the answer of every call after Close.
	ErrClosed = errors.New("the TPM was closed")
	// ErrPIN tells that the TPM refused the PIN. It is never tried again.
	ErrPIN = errors.New("the TPM refused the PIN")
	// ErrNotFound tells that the key of a KeyRef is not in this TPM.
	ErrNotFound = errors.New("the key is not in this TPM")
	// ErrOtherTPM tells that the storage root key is not the pinned one: this
	// is another TPM, it was cleared, or something sits on the bus.
	ErrOtherTPM = errors.New("this is not the TPM that the key was made in")
	// ErrCreation tells that a key's Creation is missing or not this TPM's.
	ErrCreation = errors.New("the TPM cannot prove how the key was made")
	// ErrCredential tells that a challenge is not for this TPM or not for its
	// attestation key.
	ErrCredential = errors.New("the challenge was made for another TPM or another attestation key")
)

// LockoutError tells that the TPM refuses every PIN, right or wrong, because
// too many wrong ones were tried or the TPM lost power too often while a key
// was in use (Part 1, section 19.8).
type LockoutError struct {
	// Heals is the longest time until the TPM takes one more try. It runs only
	// while the TPM has power. 0 means that it does not heal by itself.
	Heals time.Duration
}

func (e *LockoutError) Error() string {
	if e.Heals == 0 {
		return "the TPM is locked after too many wrong PINs and does not heal by itself: reset it with the lockout authorisation"
	}
	return fmt.Sprintf("the TPM is locked after too many wrong PINs: the next try is possible in at most %s, leave it powered", e.Heals)
}

// Config says which TPM to open.
type Config struct {
	// Spec is one of
	//
	//	sim              in-process simulator, forgotten at Close
	//	sim:FILE         the same with its state kept in FILE
	//	swtpm:DIR        a swtpm child process with its state in DIR, made when DIR is empty
	//	unix:PATH        raw TPM commands over a Unix socket
	//	tcp:HOST:PORT    raw TPM commands over TCP
	//	dev:PATH         a TPM device, for example /dev/tpmrm0
	//	tbs              the TPM base services of Windows
	Spec string
	// Log gets losses and recoveries; nil is silent.
	Log *slog.Logger
	// Patience is how long a call waits for a TPM that went away; 0 means
	// DefaultPatience. A context that ends earlier wins.
	Patience time.Duration
}

// Info tells what was opened.
type Info struct {
	Spec string
	// Kind is the part of the spec before the colon.
	Kind string
	// Simulated is set for every TPM made of software, a swtpm behind a
	// device or a socket included.
	Simulated bool
	// Manufacturer is the vendor's id and string, for example "IFX SLB9672".
	Manufacturer string
	// Firmware is the firmware version, major.minor.
	Firmware string
}

// TPM is an open TPM. Its methods are safe for concurrent use.
type TPM struct {
	info     Info
	patience time.Duration
	bus      *bus // owned by the goroutine of own
	jobs     chan *job
	life     context.Context // ended by Close
	end      context.CancelFunc
	done     chan struct{} // closed when own has ended
	closeErr error         // set before done is closed
	away     atomic.Pointer[error]
}

// Open connects to the TPM of cfg.Spec, throws out what a dead client left
// behind in it (transient objects and loaded sessions) and reads who it is. It
// tries once: a TPM that is not there is an error, not a wait.
func Open(ctx context.Context, cfg Config) (*TPM, error) {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	kind, src, err := parseSpec(cfg.Spec, log)
	if err != nil {
		return nil, err
	}
	t := newTPM(cfg.Patience, src, log.With("tpm", cfg.Spec))
	t.info = Info{Spec: cfg.Spec, Kind: kind}
	if err := t.first(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open TPM %s: %w", cfg.Spec, err), t.bus.close(false))
	}
	go t.own()
	return t, nil
}

// newTPM is a TPM without a link and without its owner goroutine.
func newTPM(patience time.Duration, src source, log *slog.Logger) *TPM {
	if patience <= 0 {
		patience = DefaultPatience
	}
	t := &TPM{patience: patience, jobs: make(chan *job), done: make(chan struct{})}
	t.life, t.end = context.WithCancel(context.Background())
	t.bus = &bus{src: src, log: log, life: t.life}
	return t
}

// first opens the link and reads who answers.
func (t *TPM) first(ctx context.Context) error {
	b := t.bus
	b.ctx = ctx
	if err := b.connect(ctx, 0); err != nil {
		return err
	}
	if b.src.fresh() {
		if err := b.setDA(lineDA); err != nil {
			return err
		}
	}
	return b.identify(&t.info)
}

// Info tells what was opened.
func (t *TPM) Info() Info { return t.info }

// Close lets the running command end, refuses the waiting ones, tells a TPM
// that is ours to shut down in order (so that the stop does not count as a
// wrong PIN) and ends its process.
func (t *TPM) Close() error {
	t.end()
	<-t.done
	return t.closeErr
}
