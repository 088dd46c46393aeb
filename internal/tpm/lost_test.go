// SPDX-License-Identifier: Apache-2.0

package tpm_test

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/sync/errgroup"
	"provisioning.example/station/internal/tpm"
)

// TestLost reports a TPM that stays away and goes on when it is back.
func TestLost(t *testing.T) {
	s := newServer(t)
	// Short, for it is waited out; a call has one try of its own in any case.
	m := open(t, tpm.Config{Spec: "unix:" + s.socket, Patience: 50 * time.Millisecond})
	k := newKey(t, m, tpm.CA)
	for range 2 {
		s.kill()
		if err := sign(t.Context(), k, crypto.SHA256, "x"); !errors.Is(err, tpm.ErrLost) {
			t.Errorf("without a TPM: %v", err)
		}
		if err := m.Health(t.Context()); !errors.Is(err, tpm.ErrLost) {
			t.Errorf("without a TPM: %v", err)
		}
		if _, _, err := m.CreateKey(t.Context(), tpm.CA, elliptic.P256(), []byte(pin)); !errors.Is(err, tpm.ErrLost) {
			t.Errorf("without a TPM: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if err := sign(ctx, k, crypto.SHA256, "x"); !errors.Is(err, tpm.ErrLost) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a TPM and time: %v", err)
		}
		cancel()
		s.start()
		if err := sign(t.Context(), k, crypto.SHA256, "x"); err != nil {
			t.Errorf("with a new TPM: %v", err)
		}
	}
}

// TestOtherTPM finds another TPM at the same address: nothing is signed and no
// PIN is tried on it.
func TestOtherTPM(t *testing.T) {
	ours, theirs := newServer(t), newServer(t)
	// Give theirs another owner seed and a key at the same handle.
	foreign := dialRaw(t, theirs)
	if _, err := (tpm2.Clear{AuthHandle: tpm2.TPMRHLockout}).Execute(foreign); err != nil {
		t.Fatal(err)
	}
	foreign.Close()
	m := open(t, tpm.Config{Spec: "unix:" + theirs.socket})
	if newKey(t, m, tpm.CA).Ref().Handle != 0x8100A000 {
		t.Fatal("the key is not at the first handle")
	}
	m.Close()

	p := newProxy(t, "unix", ours)
	m = open(t, tpm.Config{Spec: p.spec()})
	k := newKey(t, m, tpm.CA)
	if err := sign(t.Context(), k, crypto.SHA256, "x"); err != nil {
		t.Fatal(err)
	}
	p.harm(func(n int, _ tpm2.TPMCC) verdict {
		if n == 1 {
			p.upstream = theirs.socket
		}
		return verdict{loseHere: n == 1}
	})
	if err := sign(t.Context(), k, crypto.SHA256, "x"); !errors.Is(err, tpm.ErrNotFound) {
		t.Errorf("another TPM: %v", err)
	}
	if da, err := m.DA(t.Context()); err != nil || da.Used != 0 {
		t.Errorf("the other TPM's lockout state is %+v, %v", da, err)
	}
}

// TestKilledWhileWaiting kills the TPM with signatures waiting and starts it
// again: all are made.
func TestKilledWhileWaiting(t *testing.T) {
	s := newServer(t)
	m := open(t, tpm.Config{Spec: "unix:" + s.socket})
	k := newKey(t, m, tpm.CA)
	wait := waiters(t, k, s.stop)
	s.kill()
	s.start()
	if err := wait(); err != nil {
		t.Error(err)
	}
}

// TestChildKilledWhileWaiting does the same to our own child, which is started
// again by the package.
func TestChildKilledWhileWaiting(t *testing.T) {
	dir := newTPM(t)
	m := open(t, tpm.Config{Spec: "swtpm:" + dir})
	k := newKey(t, m, tpm.CA)
	for range 2 {
		pids := children(t, dir)
		if len(pids) != 1 {
			t.Fatalf("children of %s: %v", dir, pids)
		}
		wait := waiters(t, k, func() { signal(t, pids[0], syscall.SIGSTOP) })
		signal(t, pids[0], syscall.SIGKILL)
		if err := wait(); err != nil {
			t.Error(err)
		}
		if now := children(t, dir); len(now) != 1 || now[0] == pids[0] {
			t.Errorf("children of %s: %v, was %v", dir, now, pids)
		}
	}
}

func signal(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

// waiters freezes the TPM and has 32 goroutines sign with k. It returns when
// all have asked, with a function that waits for their signatures.
func waiters(t *testing.T, k *tpm.Key, freeze func()) func() error {
	t.Helper()
	if err := sign(t.Context(), k, crypto.SHA256, "warm"); err != nil {
		t.Fatal(err)
	}
	freeze()
	var asked atomic.Int32
	group := new(errgroup.Group)
	for i := range 32 {
		group.Go(func() error {
			asked.Add(1)
			return sign(t.Context(), k, crypto.SHA256, fmt.Sprint(i))
		})
	}
	waitFor(t, "all have asked", func() bool { return asked.Load() == 32 })
	return group.Wait
}

// TestCloseWhileLost does not wait for a TPM that is gone.
func TestCloseWhileLost(t *testing.T) {
	s := newServer(t)
	m := open(t, tpm.Config{Spec: "unix:" + s.socket, Patience: time.Hour})
	k := newKey(t, m, tpm.CA)
	s.kill()
	result := make(chan error)
	go func() { result <- sign(t.Context(), k, crypto.SHA256, "x") }()
	waitFor(t, "the loss is noticed", func() bool {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		return errors.Is(m.Health(ctx), tpm.ErrLost)
	})
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := <-result; !errors.Is(err, tpm.ErrClosed) {
		t.Errorf("a call during Close: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Error("a second Close:", err)
	}
}

// TestNotStarted starts a TPM that has power but no TPM2_Startup.
func TestNotStarted(t *testing.T) {
	s := newServer(t)
	s.kill()
	s.flags = "not-need-init"
	s.start()
	m := open(t, tpm.Config{Spec: "unix:" + s.socket})
	if err := sign(t.Context(), newKey(t, m, tpm.CA), crypto.SHA256, "x"); err != nil {
		t.Error(err)
	}
}
