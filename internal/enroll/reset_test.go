// SPDX-License-Identifier: Apache-2.0

package enroll_test

import (
	"slices"
	"testing"
	"time"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/virtual"
)

// slowLine is a line on which everything a board says takes its time. It notes
// what the board is asked, and when.
type slowLine struct {
	smp.Stream
	dec   smp.Decoder
	asked []question
}

type question struct {
	group uint16
	cmd   uint8
	at    time.Time
}

const answerTime = 40 * time.Millisecond // of info at 115200 baud

func (l *slowLine) Write(p []byte) (int, error) {
	l.dec.Feed(p, func(b []byte) {
		if m, err := smp.ParseMessage(b); err == nil {
			l.asked = append(l.asked, question{m.Group, m.Cmd, time.Now()})
		}
	}, func([]byte) {})
	return l.Stream.Write(p)
}

func (l *slowLine) Read(p []byte) (int, error) {
	n, err := l.Stream.Read(p)
	if n > 0 {
		<-time.After(answerTime)
	}
	return n, err
}

func slow(b *bench) *slowLine {
	b.client.Close()
	l := &slowLine{Stream: b.board.Dial()}
	b.client = smp.NewClient(smp.ClientConfig{Stream: l})
	b.session = enroll.New(enroll.Config{Client: b.client})
	return l
}

// TestResetIsNotLate: a board that is back 250 ms after its answer is asked
// then, not once more after what the first answer took on the line; and what it
// showed a moment ago is not asked for again.
func TestResetIsNotLate(t *testing.T) {
	inBubble(t, virtual.Config{}, func(t *testing.T, b *bench) {
		l := slow(b)
		before := must[enroll.Info](t)(b.session.WaitInfo(t.Context()))
		l.asked = nil
		after := must[enroll.Info](t)(b.session.Reset(t.Context()))
		if before.Boot == after.Boot {
			t.Error("the boot has not changed")
		}
		const info, reset = 0, 5
		var cmds []uint8
		for _, q := range l.asked {
			cmds = append(cmds, q.cmd)
		}
		if !slices.Equal(cmds, []uint8{reset, info, info}) {
			t.Fatalf("asked %v, want a reset and then info twice", cmds)
		}
		if gap := l.asked[2].at.Sub(l.asked[1].at); gap != 250*time.Millisecond {
			t.Errorf("info was asked for again after %v", gap)
		}
	})
}

// TestResetOfAnotherBoot: info that is not of just now is not what the board
// showed before its reset.
func TestResetOfAnotherBoot(t *testing.T) {
	inBubble(t, virtual.Config{}, func(t *testing.T, b *bench) {
		before := must[enroll.Info](t)(b.session.WaitInfo(t.Context()))
		<-time.After(time.Second)
		b.board.PowerCut()
		between := must[enroll.Info](t)(b.session.Reset(t.Context()))
		now := must[enroll.Info](t)(b.session.Info(t.Context()))
		if between.Boot == before.Boot || between.Boot != now.Boot {
			t.Error("the board's own restart was taken for the reset that was asked for")
		}
		<-time.After(time.Second)
		if later := must[enroll.Info](t)(b.session.Info(t.Context())); later.Boot != now.Boot {
			t.Error("the board restarted after its reset was believed")
		}
	})
}
