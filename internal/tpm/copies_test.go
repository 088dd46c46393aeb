// SPDX-License-Identifier: Apache-2.0

package tpm_test

import (
	"bytes"
	"crypto"
	"errors"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"provisioning.example/station/internal/tpm"
)

const newPIN = "battery staple"

// with finds a key by a PIN and signs.
func with(t *testing.T, m *tpm.TPM, ref tpm.KeyRef, auth string) error {
	t.Helper()
	k, err := m.Key(t.Context(), ref, fixed(auth))
	if err != nil {
		return err
	}
	return sign(t.Context(), k, crypto.SHA256, "x")
}

// TestChangePIN changes the PIN on every kind of TPM: the same key, the new PIN,
// and after ForgetCopies nothing that the old PIN opens.
func TestChangePIN(t *testing.T) {
	for name, cfg := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			m := open(t, cfg)
			k := newKey(t, m, tpm.CA)
			other := newKey(t, m, tpm.Rework)
			ref, err := m.ChangePIN(t.Context(), k.Ref(), []byte(pin), []byte(newPIN))
			if err != nil {
				t.Fatal(err)
			}
			if ref.Handle == k.Ref().Handle || ref.Name != k.Ref().Name || ref.SRK != k.Ref().SRK {
				t.Errorf("%s became %s", k.Ref(), ref)
			}
			if err := with(t, m, ref, newPIN); err != nil {
				t.Error(err)
			}
			if err := with(t, m, k.Ref(), pin); err != nil {
				t.Errorf("the old copy, until it is forgotten: %v", err)
			}
			if n, err := m.Copies(t.Context(), ref); n != 1 || err != nil {
				t.Errorf("%d copies, %v", n, err)
			}
			if n, err := m.ForgetCopies(t.Context(), ref); n != 1 || err != nil {
				t.Errorf("%d copies forgotten, %v", n, err)
			}
			if err := with(t, m, k.Ref(), pin); !errors.Is(err, tpm.ErrNotFound) {
				t.Errorf("the old copy, after it was forgotten: %v", err)
			}
			if err := with(t, m, ref, newPIN); err != nil {
				t.Error(err)
			}
			if err := with(t, m, other.Ref(), pin); err != nil {
				t.Errorf("another key: %v", err)
			}
			if n, err := m.ForgetCopies(t.Context(), ref); n != 0 || err != nil {
				t.Errorf("%d copies forgotten, %v", n, err)
			}
			// And the freed handle is taken by the next change.
			if again, err := m.ChangePIN(t.Context(), ref, []byte(newPIN), []byte(pin)); err != nil || again != k.Ref() {
				t.Errorf("changed back: %s, %v", again, err)
			}
		})
	}
}

// TestChangePINRefuses sends a wrong old PIN once, and says what it was.
func TestChangePINRefuses(t *testing.T) {
	p := newProxy(t, "unix", newServer(t))
	m := open(t, tpm.Config{Spec: p.spec()})
	k := newKey(t, m, tpm.CA)
	if err := with(t, m, k.Ref(), pin); err != nil { // the first use after a start is put off once
		t.Fatal(err)
	}
	p.harm(nil)
	if _, err := m.ChangePIN(t.Context(), k.Ref(), []byte("wrong"), []byte(newPIN)); !errors.Is(err, tpm.ErrPIN) {
		t.Errorf("a wrong old PIN: %v", err)
	}
	if _, count := p.commands(); count[tpm2.TPMCCObjectChangeAuth] != 1 || count[tpm2.TPMCCEvictControl] != 0 {
		t.Errorf("sent %v", count)
	}
	if da, err := m.DA(t.Context()); err != nil || da.Used != 1 {
		t.Errorf("the lockout state is %+v, %v", da, err)
	}
	p.harm(nil)
	for _, bad := range []string{"", "a\x00b", "0123456789012345678901234567890123"} {
		if _, err := m.ChangePIN(t.Context(), k.Ref(), []byte(pin), []byte(bad)); err == nil {
			t.Errorf("the new PIN %q is taken", bad)
		}
	}
	if all, _ := p.commands(); len(all) != 0 {
		t.Errorf("sent %v for PINs that no TPM takes", all)
	}
	if err := with(t, m, k.Ref(), pin); err != nil {
		t.Errorf("after refusals: %v", err)
	}
	state, err := m.DA(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range state.Max - state.Used {
		_, _ = m.ChangePIN(t.Context(), k.Ref(), []byte("wrong"), []byte(newPIN))
	}
	var locked *tpm.LockoutError
	if _, err := m.ChangePIN(t.Context(), k.Ref(), []byte(pin), []byte(newPIN)); !errors.As(err, &locked) || locked.Heals == 0 {
		t.Errorf("in lockout: %v", err)
	}
}

// TestChangePINOnce breaks the link at each command in turn: there is one copy
// with the new PIN in the end, and no PIN was seen on the bus.
func TestChangePINOnce(t *testing.T) {
	p := newProxy(t, "unix", newServer(t))
	m := open(t, tpm.Config{Spec: p.spec()})
	ref, old := newKey(t, m, tpm.Checkpoint).Ref(), pin
	for at := 1; ; at++ {
		broke := false
		p.harm(func(n int, _ tpm2.TPMCC) verdict {
			broke = broke || n == at
			return verdict{lose: n == at}
		})
		next := newPIN
		if old == newPIN {
			next = pin
		}
		changed, err := m.ChangePIN(t.Context(), ref, []byte(old), []byte(next))
		if err != nil {
			t.Fatalf("broken at command %d: %v", at, err)
		}
		p.harm(nil)
		if n, err := m.ForgetCopies(t.Context(), changed); n != 1 || err != nil {
			t.Fatalf("broken at command %d: %d copies forgotten, %v", at, n, err)
		}
		ref, old = changed, next
		if err := with(t, m, ref, old); err != nil {
			t.Fatalf("broken at command %d: %v", at, err)
		}
		if !broke {
			if at < 8 {
				t.Errorf("ChangePIN took %d commands: too few to have been broken at each", at-1)
			}
			break
		}
	}
	for what, secret := range map[string]string{"old": pin, "new": newPIN} {
		if bytes.Contains(p.bytes(), []byte(secret)) {
			t.Errorf("the %s PIN crosses the bus", what)
		}
	}
}
