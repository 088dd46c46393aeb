// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// memory is a source of links over an in-memory stream. At its other end stands
// a TPM that can do no more than list no handles, until answer says otherwise.
type memory struct {
	mu sync.Mutex // guards what follows
	// answer takes a command and returns the answer, nil for silence.
	answer func(command []byte) []byte
	refuse error // what open says while it is set
}

func (m *memory) set(answer func([]byte) []byte, refuse error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer, m.refuse = answer, refuse
}

func (m *memory) get() (answer func([]byte) []byte, refuse error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.answer, m.refuse
}

func (m *memory) open(context.Context, int) (link, error) {
	if _, refuse := m.get(); refuse != nil {
		return nil, refuse
	}
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		for {
			command, err := readAnswer(far) // a command's header has the same shape
			if err != nil {
				return
			}
			if answer := m.respond(command); answer != nil {
				if _, err := far.Write(answer); err != nil {
					return
				}
			}
		}
	}()
	return socket{near}, nil
}

func (m *memory) respond(command []byte) []byte {
	if binary.BigEndian.Uint32(command[6:]) == uint32(tpm2.TPMCCGetCapability) {
		return noHandles
	}
	answer, _ := m.get()
	return answer(command)
}

func (*memory) owned() bool  { return false }
func (*memory) fresh() bool  { return false }
func (*memory) close() error { return nil }

// noHandles answers TPM2_GetCapability with an empty list of handles.
var noHandles = []byte("\x80\x01\x00\x00\x00\x13\x00\x00\x00\x00" + "\x00" + "\x00\x00\x00\x01" + "\x00\x00\x00\x00")

// only answers every command with a response code.
func only(rc tpm2.TPMRC) func([]byte) []byte {
	return func([]byte) []byte {
		return binary.BigEndian.AppendUint32([]byte("\x80\x01\x00\x00\x00\x0a"), uint32(rc))
	}
}

// start opens a TPM over m for the time of the test.
func start(t *testing.T, m *memory, patience time.Duration) *TPM {
	t.Helper()
	tpm := newTPM(patience, m, slog.New(slog.DiscardHandler))
	if err := tpm.bus.connect(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	go tpm.own()
	t.Cleanup(func() {
		if err := tpm.Close(); err != nil {
			t.Error(err)
		}
	})
	return tpm
}

// TestSilent gives a TPM that answers nothing its time, then the patience, and
// then gives up.
func TestSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{answer: func([]byte) []byte { return nil }}
		tpm := start(t, m, time.Minute)
		begin := time.Now()
		err := tpm.Health(t.Context())
		if !errors.Is(err, ErrLost) || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a silent TPM: %v", err)
		}
		// Three commands in a row: the loss counts from the end of the first.
		if spent := time.Since(begin); spent < commandLimit+time.Minute || spent > 2*commandLimit+time.Minute+time.Second {
			t.Errorf("it took %s", spent)
		}
		m.set(only(tpm2.TPMRCFailure), nil)
		if err := tpm.Health(t.Context()); !errors.Is(err, tpm2.TPMRCFailure) || errors.Is(err, ErrLost) {
			t.Errorf("a failed TPM: %v", err)
		}
	})
}

// TestPatience waits for a TPM that went away as long as it was told to, and
// every waiting call gives up at the same time.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{answer: only(0)}
		tpm := start(t, m, 30*time.Second)
		gone := errors.New("cable cut")
		m.set(func([]byte) []byte { m.set(nil, gone); return []byte("rubbish---") }, nil)
		begin := time.Now()
		const calls = 8
		results := make(chan error, calls)
		for range calls {
			go func() { results <- tpm.Health(t.Context()) }()
		}
		for range calls {
			if err := <-results; !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), gone.Error()) {
				t.Errorf("a TPM that went away: %v", err)
			}
		}
		if spent := time.Since(begin); spent < 30*time.Second || spent > 40*time.Second {
			t.Errorf("it took %s", spent)
		}
		begin = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := tpm.Health(ctx); !errors.Is(err, ErrLost) || !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 3*time.Second {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
		m.set(only(tpm2.TPMRCFailure), nil)
		if err := tpm.Health(t.Context()); !errors.Is(err, tpm2.TPMRCFailure) {
			t.Errorf("the TPM is back: %v", err)
		}
	})
}

// TestPutOffForEver ends the resending after a while.
func TestPutOffForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tpm := start(t, &memory{answer: only(tpm2.TPMRCTesting)}, time.Minute)
		begin := time.Now()
		err := tpm.Health(t.Context())
		if !errors.Is(err, tpm2.TPMRCTesting) || errors.Is(err, ErrLost) {
			t.Errorf("a TPM that tests itself for ever: %v", err)
		}
		if spent := time.Since(begin); spent < busyLimit || spent > busyLimit+time.Second {
			t.Errorf("it took %s", spent)
		}
	})
}

// TestRubbish does not turn for ever around a TPM that connects and then talks
// nonsense.
func TestRubbish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tpm := start(t, &memory{answer: only(0)}, 10*time.Second)
		begin := time.Now()
		if err := tpm.Health(t.Context()); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "makes no sense") {
			t.Errorf("an empty answer: %v", err)
		}
		if spent := time.Since(begin); spent < 10*time.Second || spent > 12*time.Second {
			t.Errorf("it took %s", spent)
		}
	})
}

// TestCloseDuringCall ends a wait for a lost TPM at once.
func TestCloseDuringCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{answer: only(0)}
		tpm := start(t, m, time.Hour)
		m.set(only(0), errors.New("cable cut"))
		result := make(chan error)
		go func() { result <- tpm.Health(t.Context()) }()
		synctest.Wait()
		begin := time.Now()
		go tpm.Close()
		if err := <-result; !errors.Is(err, ErrClosed) || time.Since(begin) != 0 {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
	})
}

func TestReopenPause(t *testing.T) {
	last := time.Duration(-1)
	for failures := range 100 {
		p := reopenPause(failures)
		if p < last || p > time.Second {
			t.Errorf("after %d failures %s, before %s", failures, p, last)
		}
		last = p
	}
	if reopenPause(1) != 0 || last != time.Second {
		t.Errorf("from %s to %s", reopenPause(1), last)
	}
}
