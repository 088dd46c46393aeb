// SPDX-License-Identifier: Apache-2.0

package enroll_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/virtual"
)

func wantRC(t *testing.T, what string, err error, rc int) {
	t.Helper()
	var refused *smp.RCError
	if !errors.As(err, &refused) || refused.Group != 64 || refused.RC != rc {
		t.Errorf("%s: error %v, want rc %d", what, err, rc)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestInfo follows what info says of a board through its states.
func TestInfo(t *testing.T) {
	inBubble(t, virtual.Config{Model: "pump", HW: "B", FW: "2.1", Prot: 5, Chunk: 200}, func(t *testing.T, b *bench) {
		info := must[enroll.Info](t)(b.session.WaitInfo(t.Context()))
		root := sha256.Sum256(b.ca.root.Raw)
		switch {
		case info.Model != "pump" || info.HW != "B" || info.FW != "2.1" || info.Prot != 5 || info.Chunk != 200 || info.Proto != 1:
			t.Errorf("info %+v", info)
		case !bytes.Equal(info.UID, b.board.UID()) || info.State != enroll.Blank || info.SPKI != nil || info.Alg != "":
			t.Errorf("info of a blank board %+v", info)
		case info.Root == nil || *info.Root != root:
			t.Errorf("pinned root %x", info.Root)
		}
		chain := bytes.Join(b.installed(t.Context()), nil)
		info = must[enroll.Info](t)(b.session.Info(t.Context()))
		if info.State != enroll.Installed || info.Alg != "ES256" || info.SPKI == nil || *info.SPKI != sha256.Sum256(b.board.SPKI()) ||
			info.Chain == nil || *info.Chain != sha256.Sum256(chain) || info.Anchors != nil || info.Rework != nil {
			t.Errorf("info of an installed board %+v", info)
		}
		if !bytes.Equal(chain, b.board.Chain()) {
			t.Error("the board stores another chain")
		}
	})
}

// TestKeygenToken: a token names one key, whatever is lost in between.
func TestKeygenToken(t *testing.T) {
	inBubble(t, virtual.Config{}, func(t *testing.T, b *bench) {
		ctx := t.Context()
		gen := func(alg string, token byte, replace bool) ([32]byte, bool, error) {
			return b.session.Keygen(ctx, alg, [32]byte{token}, replace)
		}
		first, isNew, err := gen("ES256", 1, false)
		if err != nil || !isNew {
			t.Fatal(isNew, err)
		}
		b.board.PowerCut()
		if again, isNew, err := gen("ES256", 1, false); err != nil || !isNew || again != first {
			t.Errorf("same token after a power cut: %x new %v, %v", again, isNew, err)
		}
		if old, isNew, err := gen("ES256", 2, false); err != nil || isNew || old != first {
			t.Errorf("another token: %x new %v, %v", old, isNew, err)
		}
		_, _, err = gen("ES384", 1, true)
		wantRC(t, "same token, another algorithm", err, enroll.RCAlgorithm)
		_, _, err = gen("RS256", 3, true)
		wantRC(t, "an algorithm it has not", err, enroll.RCAlgorithm)
		second, isNew, err := gen("ES256", 2, true)
		if err != nil || !isNew || second == first {
			t.Errorf("replace: %x new %v, %v", second, isNew, err)
		}
		if again, isNew, err := gen("ES256", 2, true); err != nil || !isNew || again != second {
			t.Errorf("replace repeated: %x new %v, %v", again, isNew, err)
		}
	})
}

// TestExpect: after a silence the board must show that it is the same.
func TestExpect(t *testing.T) {
	inBubble(t, virtual.Config{}, func(t *testing.T, b *bench) {
		ctx := t.Context()
		spki, _, err := b.session.Keygen(ctx, "ES256", [32]byte{1}, false)
		if err != nil {
			t.Fatal(err)
		}
		b.session.Expect(b.board.UID(), &spki)
		if _, err := b.session.Info(ctx); err != nil {
			t.Error(err)
		}
		b.session.Expect(b.board.UID(), &[32]byte{9})
		if _, err := b.session.Info(ctx); !errors.Is(err, enroll.ErrOtherBoard) {
			t.Errorf("another key: %v", err)
		}
		b.session.Expect([]byte("other"), nil)
		if _, err := b.session.WaitInfo(ctx); !errors.Is(err, enroll.ErrOtherBoard) {
			t.Errorf("another uid: %v", err)
		}
		// Keygen itself changes the key that is expected.
		b.session.Expect(b.board.UID(), &spki)
		if _, _, err := b.session.Keygen(ctx, "ES256", [32]byte{2}, true); err != nil {
			t.Error(err)
		}
		if _, err := b.session.Info(ctx); err != nil {
			t.Errorf("after replacing the key: %v", err)
		}
	})
}

// A swap is a stream behind which the board can be exchanged, as when someone
// changes boards on a fixture whose serial adapter stays plugged in.
type swap struct{ *virtual.End }

// TestSwappedBoard exchanges the board after a command that was never answered:
// the next command must not reach the other board.
func TestSwappedBoard(t *testing.T) {
	inBubble(t, virtual.Config{Fault: "dies"}, func(t *testing.T, b *bench) {
		ctx := t.Context()
		other, err := virtual.New(virtual.Config{UID: []byte("board-000002")})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		line := &swap{b.board.Dial()}
		client := smp.NewClient(smp.ClientConfig{Stream: line})
		defer client.Close()
		s := enroll.New(enroll.Config{Client: client})
		info := must[enroll.Info](t)(s.WaitInfo(ctx))
		s.Expect(info.UID, nil)
		if _, _, err := s.Keygen(ctx, "ES256", [32]byte{1}, false); err != nil {
			t.Fatal(err)
		}
		if _, err := s.CSR(ctx, "unit", "", [32]byte{1}); !errors.Is(err, smp.ErrTimeout) {
			t.Fatalf("error %v, want a timeout", err)
		}
		line.End.Close()
		line.End = other.Dial()
		if _, _, err := s.Keygen(ctx, "ES256", [32]byte{1}, true); !errors.Is(err, enroll.ErrOtherBoard) {
			t.Errorf("error %v, want ErrOtherBoard", err)
		}
		if other.State() != 0 {
			t.Error("the other board was given a key")
		}
	})
}

// TestBusy: rc 13 is patience, not a try, for 120 s and no longer.
func TestBusy(t *testing.T) {
	inBubble(t, virtual.Config{Fault: "always-busy"}, func(t *testing.T, b *bench) {
		start := time.Now()
		_, _, err := b.session.Keygen(t.Context(), "ES256", [32]byte{1}, false)
		if !errors.Is(err, enroll.ErrBusy) {
			t.Errorf("error %v, want ErrBusy", err)
		}
		if took := time.Since(start); took < 119*time.Second || took > 121*time.Second {
			t.Errorf("gave up after %v", took)
		}
		if n := b.client.Retries(); n != 0 {
			t.Errorf("%d repeats counted", n)
		}
	})
	inBubble(t, virtual.Config{Fault: "always-busy"}, func(t *testing.T, b *bench) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, _, err := b.session.Keygen(ctx, "ES256", [32]byte{1}, false)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, enroll.ErrBusy) {
			t.Errorf("error %v, want that of the context", err)
		}
	})
}

// TestSilence: each command gives up after its own three tries.
func TestSilence(t *testing.T) {
	for _, c := range []struct {
		name string
		took time.Duration
		ask  func(context.Context, *enroll.Session) error
	}{
		{"info while booting", 10 * time.Second, func(ctx context.Context, s *enroll.Session) error { _, err := s.WaitInfo(ctx); return err }},
		{"info", 1500 * time.Millisecond, func(ctx context.Context, s *enroll.Session) error { _, err := s.Info(ctx); return err }},
		{"keygen", 30 * time.Second, func(ctx context.Context, s *enroll.Session) error {
			_, _, err := s.Keygen(ctx, "ES256", [32]byte{}, false)
			return err
		}},
		{"challenge", 6 * time.Second, func(ctx context.Context, s *enroll.Session) error { _, err := s.Challenge(ctx); return err }},
		{"lock", 30 * time.Second, func(ctx context.Context, s *enroll.Session) error { return s.Lock(ctx, [32]byte{}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, virtual.Config{Fault: "silent"}, func(t *testing.T, b *bench) {
				start := time.Now()
				if err := c.ask(t.Context(), b.session); !errors.Is(err, smp.ErrTimeout) {
					t.Errorf("error %v, want ErrTimeout", err)
				}
				if took := time.Since(start); took != c.took {
					t.Errorf("gave up after %v, want %v", took, c.took)
				}
			})
		})
	}
}

// TestPutResumes: a power cut in the middle, a staged rest, an object that is
// there already.
func TestPutResumes(t *testing.T) {
	inBubble(t, virtual.Config{Chunk: 64}, func(t *testing.T, b *bench) {
		ctx := t.Context()
		if _, _, err := b.session.Keygen(ctx, "ES256", [32]byte{1}, false); err != nil {
			t.Fatal(err)
		}
		data := bytes.Repeat([]byte("0123456789"), 40)
		for range 2 { // the second finds all of it staged
			if err := b.session.Put(ctx, "anchors", data); err != nil {
				t.Fatal(err)
			}
		}
		b.board.PowerCut()
		if err := b.session.Put(ctx, "anchors", data); err != nil {
			t.Fatal(err)
		}
		if err := b.session.Put(ctx, "anchors", make([]byte, 8193)); err == nil {
			t.Error("more than 8 KiB were put")
		}
		if err := b.session.Put(ctx, "anchors", nil); err == nil {
			t.Error("nothing was put")
		}
	})
}

// TestCommitAfterPowerCut: what was staged is lost between put and commit; the
// session puts it again by itself.
func TestCommitAfterPowerCut(t *testing.T) {
	inBubble(t, virtual.Config{}, func(t *testing.T, b *bench) {
		ctx := t.Context()
		if _, _, err := b.session.Keygen(ctx, "ES256", [32]byte{1}, false); err != nil {
			t.Fatal(err)
		}
		pub := must[crypto.PublicKey](t)(x509.ParsePKIXPublicKey(b.board.SPKI()))
		chain := bytes.Join(b.ca.leaf(t, "unit", pub), nil)
		if err := b.session.Put(ctx, "chain", chain); err != nil {
			t.Fatal(err)
		}
		b.board.PowerCut()
		if err := b.session.Commit(ctx, sha256.Sum256(chain), nil, nil); err != nil {
			t.Fatal(err)
		}
		if err := b.session.Commit(ctx, sha256.Sum256(chain), nil, nil); err != nil {
			t.Errorf("commit of what is stored: %v", err)
		}
		wantRC(t, "another chain", b.session.Commit(ctx, [32]byte{7}, nil, nil), enroll.RCWrongState)
		wantRC(t, "lock of another chain", b.session.Lock(ctx, [32]byte{7}), enroll.RCDigest)
	})
}

// TestReset: believed when the boot changes, not because it was answered.
func TestReset(t *testing.T) {
	for _, fault := range []string{"", "slow-boot", "lost-answer", "late-answer"} {
		t.Run(fault, func(t *testing.T) {
			inBubble(t, virtual.Config{Fault: fault}, func(t *testing.T, b *bench) {
				before := must[enroll.Info](t)(b.session.WaitInfo(t.Context()))
				after := must[enroll.Info](t)(b.session.Reset(t.Context()))
				if before.Boot == after.Boot {
					t.Error("the boot has not changed")
				}
				// One reset only: a second one would follow within its delay.
				now := must[enroll.Info](t)(b.session.Info(t.Context()))
				if now.Boot != after.Boot {
					t.Error("the board restarted again")
				}
			})
		})
	}
	inBubble(t, virtual.Config{Fault: "reset-lies"}, func(t *testing.T, b *bench) {
		start := time.Now()
		if _, err := b.session.Reset(t.Context()); !errors.Is(err, enroll.ErrNotReset) {
			t.Errorf("error %v, want ErrNotReset", err)
		}
		if took := time.Since(start); took < 6*time.Second || took > 8*time.Second {
			t.Errorf("gave up after %v, want three times 2 s", took)
		}
	})
}

// locked brings a board with a rework key to state 3.
func (b *bench) locked(ctx context.Context) (rework crypto.Signer) {
	b.t.Helper()
	key := newKey(b.t)
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		b.t.Fatal(err)
	}
	chain := sha256.Sum256(bytes.Join(b.installed(ctx), nil))
	digest := sha256.Sum256(spki)
	for _, err := range []error{b.session.Put(ctx, "rework", spki), b.session.Commit(ctx, chain, nil, &digest), b.session.Lock(ctx, chain)} {
		if err != nil {
			b.t.Fatal(err)
		}
	}
	return key
}

func (b *bench) reworkSig(ctx context.Context, key crypto.Signer) []byte {
	b.t.Helper()
	nonce, err := b.session.Challenge(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	sig, err := crypto.SignMessage(key, rand.Reader, enroll.ReworkMessage(nonce, sha256.Sum256(b.board.SPKI()), b.board.UID()), crypto.SHA256)
	if err != nil {
		b.t.Fatal(err)
	}
	return sig
}

// TestRework unlocks a board, also when the answers are lost and the power is
// cut, and not for anyone else.
func TestRework(t *testing.T) {
	inBubble(t, virtual.Config{}, func(t *testing.T, b *bench) {
		ctx := t.Context()
		key := b.locked(ctx)
		spki := sha256.Sum256(b.board.SPKI())
		b.session.Expect(b.board.UID(), &spki)
		_, _, err := b.session.Keygen(ctx, "ES256", [32]byte{2}, true)
		wantRC(t, "keygen on a locked board", err, enroll.RCLocked)
		b.session.Expect(b.board.UID(), &spki)
		wantRC(t, "a stranger's signature", b.session.Rework(ctx, 0, b.reworkSig(ctx, newKey(t))), enroll.RCNotAuthorised)
		wantRC(t, "a key that is not stored", b.session.Rework(ctx, 1, b.reworkSig(ctx, key)), enroll.RCNotAuthorised)
		stale := b.reworkSig(ctx, key)
		if err := b.session.Rework(ctx, 0, stale); err != nil {
			t.Fatal(err)
		}
		if b.board.State() != 0 || b.board.SPKI() != nil || b.board.Object("rework") != nil {
			t.Error("the board is not blank")
		}
		if err := b.session.Rework(ctx, 0, stale); err != nil {
			t.Errorf("the same again: %v", err)
		}
		if info, err := b.session.Info(ctx); err != nil || info.State != enroll.Blank {
			t.Errorf("info %+v, %v", info, err)
		}
	})
	inBubble(t, virtual.Config{}, func(t *testing.T, b *bench) {
		ctx := t.Context()
		key := b.locked(ctx)
		old := b.reworkSig(ctx, key)
		b.board.PowerCut()
		wantRC(t, "no nonce asked for since the reset", b.session.Rework(ctx, 0, old), enroll.RCNotAuthorised)
		sig := b.reworkSig(ctx, key)
		wantRC(t, "an older nonce's signature", b.session.Rework(ctx, 0, old), enroll.RCNotAuthorised)
		spki := sha256.Sum256(b.board.SPKI())
		b.session.Expect(b.board.UID(), &spki)
		if err := b.session.Rework(ctx, 0, sig); err != nil {
			t.Fatal(err)
		}
		b.board.PowerCut() // the answer was lost and so is the memory of it
		b.session.Expect(b.board.UID(), &spki)
		if err := b.session.Rework(ctx, 0, sig); err != nil {
			t.Errorf("a board that shows itself blank was unlocked: %v", err)
		}
	})
}
