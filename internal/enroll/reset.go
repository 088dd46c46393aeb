// SPDX-License-Identifier: Apache-2.0

package enroll

import (
	"context"
	"errors"
	"fmt"
	"time"

	"provisioning.example/station/internal/smp"
)

// resetPatience is how long a board may still show its old boot after it was
// asked to reset (Zephyr answers first and resets 250 ms later).
const resetPatience = 2 * time.Second

// justRead is how old info may be and still be what the board showed before its
// reset. Nothing was asked in between that takes longer, and a board that
// restarted by itself in that moment has restarted, too.
const justRead = 250 * time.Millisecond

// Reset restarts the board and waits until it is back. It is believed only
// when info, always read again, shows another boot than before. A reset is not
// repeated because its answer is lost; only when the old boot still shows after
// 2 s. The error is ErrNotReset when the old boot never ends.
func (s *Session) Reset(ctx context.Context) (Info, error) {
	before := s.info
	if s.unsure || before.Agent == "" || time.Since(s.read) > justRead {
		var err error
		if before, err = s.Info(ctx); err != nil {
			return Info{}, err
		}
	}
	const sends = 3
	for range sends {
		asked := time.Now()
		if err := s.askReset(ctx); err != nil {
			return Info{}, err
		}
		info, err := s.newBoot(ctx, before.Boot, asked)
		if err != nil || info.Boot != before.Boot {
			return info, err
		}
	}
	return Info{}, ErrNotReset
}

// askReset sends one OS reset. That its answer is lost means nothing: the board
// may be restarting already.
func (s *Session) askReset(ctx context.Context) error {
	err := s.client.Do(ctx, smp.Request{Write: true, Group: groupOS, Cmd: cmdReset, Timeout: otherTimeout, Tries: 1}, nil)
	if err != nil && !errors.Is(err, smp.ErrTimeout) {
		return fmt.Errorf("restart the board: %w", err)
	}
	return nil
}

// newBoot asks for info every 250 ms until it shows another boot than old. It
// returns info with the old one when that still shows 2 s after the reset was
// asked, and an error when the board does not come back within 10 s.
//
// The 250 ms run from question to question: the time that the answer of a board
// takes, which is still to restart, is not added to them.
func (s *Session) newBoot(ctx context.Context, old [16]byte, asked time.Time) (Info, error) {
	for {
		next := time.Now().Add(askAgain)
		info, err := s.askInfo(ctx, askAgain, int(bootTime/askAgain))
		switch {
		case err != nil:
			return Info{}, err
		case info.Boot != old:
			s.log.Debug("the board has restarted", "boot", fmt.Sprintf("%x", info.Boot))
			return info, nil
		case time.Since(asked) >= resetPatience:
			return info, nil
		}
		if err := pause(ctx, time.Until(next)); err != nil {
			return Info{}, fmt.Errorf("wait for the board to restart: %w", err)
		}
	}
}
