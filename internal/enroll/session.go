// SPDX-License-Identifier: Apache-2.0

package enroll

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"provisioning.example/station/internal/smp"
)

// Commands of the enrollment group.
const (
	cmdInfo = iota
	cmdKeygen
	cmdCSR
	cmdGet
	cmdPut
	cmdCommit
	cmdProve
	cmdTLSSign
	cmdLock
	cmdChallenge
	cmdRework
)

// Commands of MCUmgr's OS group.
const (
	groupOS   = 0
	cmdReset  = 5
	cmdParams = 6
)

// Timeouts of one try, and the pace of asking again.
const (
	infoTimeout  = 500 * time.Millisecond
	putTimeout   = 5 * time.Second
	keyTimeout   = 10 * time.Second // keygen, csr, commit, prove, tls-sign, lock, rework
	otherTimeout = 2 * time.Second

	askAgain  = 250 * time.Millisecond // of info while a board boots, and of a busy board
	bootTime  = 10 * time.Second       // that a board may take to answer after it was opened or reset
	busyLimit = 120 * time.Second
)

// Config is what a Session works with.
type Config struct {
	Client *smp.Client
	Group  uint16       // of enrollment; 0: 64
	Log    *slog.Logger // nil: no log
}

// A Session is the conversation with one board. Its methods must not be called
// at the same time.
type Session struct {
	client *smp.Client
	group  uint16
	log    *slog.Logger

	uid  []byte    // the board expected, nil: any
	spki *[32]byte // its key, nil: any
	// unsure is set by a silence: before anything else is asked the board must
	// show that it is still the one expected.
	unsure bool

	info Info              // as last read; zero before
	read time.Time         // when
	buf  int               // the board's MCUmgr buffer in bytes, 0: not asked yet
	sent map[string][]byte // objects put, for a commit that wants them again
}

// New returns a session over cfg.Client. The first thing to ask is WaitInfo.
func New(cfg Config) *Session {
	s := &Session{client: cfg.Client, group: cfg.Group, log: cfg.Log, sent: map[string][]byte{}}
	if s.group == 0 {
		s.group = 64
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// Expect says which board this is: from now on every info must show this uid
// and, unless spki is nil, this key (SHA-256 of its SubjectPublicKeyInfo). After
// a series of timeouts or a reset info is read again before anything else.
// Another board makes ErrOtherBoard. Keygen and Rework change the key expected.
func (s *Session) Expect(uid []byte, spki *[32]byte) {
	s.uid, s.spki = bytes.Clone(uid), nil
	if spki != nil {
		key := *spki
		s.spki = &key
	}
}

// WaitInfo asks for info every 250 ms until the board has booted and answers,
// for up to 10 s. Errors: ErrNoAgent, ErrOtherBoard, ErrAnswer, smp's.
func (s *Session) WaitInfo(ctx context.Context) (Info, error) {
	return s.askInfo(ctx, askAgain, int(bootTime/askAgain))
}

// Info asks for info with the three tries of any command.
func (s *Session) Info(ctx context.Context) (Info, error) {
	return s.askInfo(ctx, infoTimeout, 0)
}

// askInfo reads info and compares it with the board expected.
func (s *Session) askInfo(ctx context.Context, timeout time.Duration, tries int) (Info, error) {
	var answer raw
	r := smp.Request{Group: s.group, Cmd: cmdInfo, Timeout: timeout, Tries: tries}
	if err := s.client.Do(ctx, r, &answer); err != nil {
		var refused *smp.RCError
		if errors.As(err, &refused) && refused.Group < 0 && refused.RC == rcUnknown {
			return Info{}, fmt.Errorf("%w (%w)", ErrNoAgent, err)
		}
		return Info{}, fmt.Errorf("read info: %w", err)
	}
	info, err := parseInfo(answer.payload)
	if err != nil {
		return Info{}, err
	}
	if err := s.same(info); err != nil {
		return Info{}, err
	}
	s.unsure = false
	s.info, s.read = info, time.Now()
	return info, nil
}

// same compares info with the board expected.
func (s *Session) same(info Info) error {
	switch {
	case s.uid == nil:
		return nil
	case !bytes.Equal(info.UID, s.uid):
		return fmt.Errorf("%w: uid %x, expected %x", ErrOtherBoard, info.UID, s.uid)
	case s.spki != nil && info.SPKI == nil:
		return fmt.Errorf("%w: its key is gone", ErrOtherBoard)
	case s.spki != nil && *info.SPKI != *s.spki:
		return fmt.Errorf("%w: key %x, expected %x", ErrOtherBoard, info.SPKI[:8], s.spki[:8])
	}
	return nil
}

// do asks one command of the enrollment group. A busy board is asked again
// every 250 ms for up to 120 s. After a silence the board is identified first.
func (s *Session) do(ctx context.Context, cmd uint8, write bool, timeout time.Duration, body, out any) error {
	if s.unsure {
		s.log.Debug("asking who is there after a silence")
		if _, err := s.WaitInfo(ctx); err != nil {
			return err
		}
	}
	r := smp.Request{Write: write, Group: s.group, Cmd: cmd, Body: body, Timeout: timeout}
	patience, cancel := context.WithTimeoutCause(ctx, busyLimit, ErrBusy)
	defer cancel()
	for {
		// A board that was busy to the last moment still gets its tries.
		err := s.client.Do(ctx, r, out)
		if errors.Is(err, smp.ErrTimeout) {
			s.unsure = true
		}
		if s.rc(err) != RCBusy {
			return err
		}
		if waitErr := pause(patience, askAgain); waitErr != nil {
			if ctx.Err() != nil {
				return waitErr
			}
			return fmt.Errorf("%w: still after %v: %w", ErrBusy, busyLimit, err)
		}
	}
}

// pause waits for d, or for the end of ctx, whose cause it returns.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// known makes sure that info was read at least once.
func (s *Session) known(ctx context.Context) error {
	if s.info.Agent != "" {
		return nil
	}
	_, err := s.WaitInfo(ctx)
	return err
}
