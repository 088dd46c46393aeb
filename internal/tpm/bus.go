// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/go-tpm/tpm2"
)

const (
	// commandLimit ends the wait for one answer. Making an elliptic curve key
	// takes a slow chip some seconds; nothing we ask for takes longer.
	commandLimit = 30 * time.Second
	// quickLimit is the same for the commands of connect and close.
	quickLimit = 5 * time.Second
	// busyLimit ends the resending of a command that the TPM puts off.
	busyLimit = 20 * time.Second
)

// bus is the owner's view of the TPM: the link, if there is one, with all that
// dies with it. Only the owner goroutine touches it.
type bus struct {
	src  source
	log  *slog.Logger
	life context.Context // of the whole TPM
	ctx  context.Context // of the job being served

	link       link   // nil while the TPM is gone
	generation uint64 // counts links: what was checked on an older one is checked again
	session    *session
	broken     error // why the last link was given up
	limit      time.Duration

	failures  int // to get or keep a link, in a row
	lostSince time.Time
}

// connect opens a link and brings the TPM behind it into a known state.
func (b *bus) connect(ctx context.Context, failures int) error {
	l, err := b.src.open(ctx, failures)
	if err != nil {
		return err
	}
	b.link, b.session, b.broken, b.limit = l, nil, nil, quickLimit
	b.generation++
	err = b.flushLeftovers()
	if errors.Is(err, tpm2.TPMRCInitialize) {
		// A raw socket whose TPM was powered but never started.
		if _, err = (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(b); err == nil {
			err = b.flushLeftovers()
		}
	}
	b.limit = commandLimit
	if err != nil {
		b.drop(err)
	}
	return err
}

// close ends the session, shuts an owned TPM down in order and lets go of
// everything. With talk unset nothing is said to the TPM any more.
func (b *bus) close(talk bool) error {
	b.ctx, b.limit = context.Background(), quickLimit
	var errs []error
	if b.link != nil && talk {
		b.endSession()
		if b.src.owned() && b.link != nil {
			if _, err := (tpm2.Shutdown{ShutdownType: tpm2.TPMSUClear}).Execute(b); err != nil {
				errs = append(errs, fmt.Errorf("shut the TPM down in order: %w", err))
			}
		}
	}
	if b.link != nil {
		errs = append(errs, b.link.Close())
		b.link = nil
	}
	return errors.Join(append(errs, b.src.close())...)
}

// drop gives the link up. Sessions and transient objects count as lost with it.
func (b *bus) drop(cause error) {
	if b.link == nil {
		return
	}
	if err := b.link.Close(); err != nil {
		b.log.Debug("close a broken link to the TPM", "err", err)
	}
	b.link, b.session, b.broken = nil, nil, cause
}

// Send carries one command for go-tpm. A command that the TPM puts off is sent
// again as it is: the nonces of its sessions have not moved. Any failure of the
// link ends the link.
func (b *bus) Send(command []byte) ([]byte, error) {
	wait, end := time.Millisecond, time.Now().Add(busyLimit)
	for {
		if b.link == nil {
			return nil, ErrLost
		}
		answer, err := b.link.Send(command, b.limit)
		if err != nil {
			b.drop(err)
			return nil, err
		}
		if !putOff(responseCode(answer)) || time.Now().After(end) || !b.pause(wait) {
			return answer, nil
		}
		wait = min(2*wait, 250*time.Millisecond)
	}
}

// putOff tells whether rc means "not now, send it again" (Part 2, section
// 6.6.3). Refused authorisations are not among them.
func putOff(rc tpm2.TPMRC) bool {
	switch rc {
	case tpm2.TPMRCYielded, tpm2.TPMRCTesting, tpm2.TPMRCNVRate, tpm2.TPMRCRetry:
		return true
	}
	return false
}

// pause waits for d and reports whether the job is still wanted.
func (b *bus) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-b.ctx.Done():
		return false
	case <-b.life.Done():
		return false
	}
}

// fault wraps the error of a command. An error that is neither an answer of the
// TPM nor a lost link is an answer that makes no sense (cut short, forged, of
// another command): the link is out of step and is given up.
func (b *bus) fault(op string, err error) error {
	var rc tpm2.TPMRC
	if b.link != nil && !errors.As(err, &rc) {
		b.drop(fmt.Errorf("an answer of the TPM makes no sense: %w", err))
	}
	return fmt.Errorf("%s: %w", op, err)
}

// handles lists up to a page of handles from first on, of first's kind.
func (b *bus) handles(first uint32) ([]tpm2.TPMHandle, error) {
	const page = 64
	rsp, err := tpm2.GetCapability{
		Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: page,
	}.Execute(b)
	if err != nil {
		return nil, b.fault("list handles", err)
	}
	list, err := rsp.CapabilityData.Data.Handles()
	if err != nil {
		return nil, b.fault("list handles", err)
	}
	return list.Handle, nil
}

// flushLeftovers throws out what a dead client left behind: a TPM without a
// resource manager has three places for objects and as many for sessions.
func (b *bus) flushLeftovers() error {
	const transient, loadedSession = 0x80000000, 0x02000000
	for _, first := range []uint32{transient, loadedSession} {
		list, err := b.handles(first)
		if err != nil {
			return err
		}
		for _, h := range list {
			if _, err := (tpm2.FlushContext{FlushHandle: h}).Execute(b); err != nil {
				return b.fault(fmt.Sprintf("flush handle %#x", uint32(h)), err)
			}
		}
	}
	return nil
}
