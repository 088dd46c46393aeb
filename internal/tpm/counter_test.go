// SPDX-License-Identifier: Apache-2.0

package tpm_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"provisioning.example/station/internal/attest"
	"provisioning.example/station/internal/tpm"
)

const counterAuth = "a counter's secret"

func newCounter(t *testing.T, m *tpm.TPM) *tpm.Counter {
	t.Helper()
	ref, err := m.DefineCounter(t.Context(), []byte(counterAuth))
	if err != nil {
		t.Fatal(err)
	}
	return counter(t, m, ref)
}

func counter(t *testing.T, m *tpm.TPM, ref tpm.CounterRef) *tpm.Counter {
	t.Helper()
	c, err := m.Counter(t.Context(), ref, fixed(counterAuth))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func value(t *testing.T, c *tpm.Counter) uint64 {
	t.Helper()
	v, err := c.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestCounter counts and certifies, and nobody else does.
func TestCounter(t *testing.T) {
	for name, cfg := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			ctx, m := t.Context(), open(t, cfg)
			c := newCounter(t, m)
			before := value(t, c)
			for i := range uint64(5) {
				if v, err := c.Increment(ctx); err != nil || v != before+i+1 {
					t.Fatalf("increment %d of %d gives %d: %v", i+1, before, v, err)
				}
			}
			var ref tpm.CounterRef
			if err := ref.UnmarshalText([]byte(c.Ref().String())); err != nil || ref != c.Ref() {
				t.Fatalf("%v becomes %v: %v", c.Ref(), ref, err)
			}
			ak := attestationKey(t, m)
			qualifying := sha256.Sum256([]byte("a checkpoint"))
			v, s, err := counter(t, m, ref).Certify(ctx, qualifying)
			if err != nil || v != before+5 {
				t.Fatalf("certified %d: %v", v, err)
			}
			said, err := attest.VerifyCounter(ak, s.Attest, s.Signature, qualifying, ref.Name)
			if err != nil || said.Value != v {
				t.Errorf("the statement says %+v: %v", said, err)
			}
			second := newCounter(t, m)
			if second.Ref().Handle == ref.Handle {
				t.Errorf("a second counter is %v, the first %v", second.Ref(), ref)
			}
			if _, err := attest.VerifyCounter(ak, s.Attest, s.Signature, qualifying, second.Ref().Name); !errors.Is(err, attest.ErrOtherCounter) {
				t.Errorf("a statement about another counter: %v", err)
			}
			other := ref
			other.Name = second.Ref().Name
			if _, err := m.Counter(ctx, other, fixed(counterAuth)); !errors.Is(err, tpm.ErrNotFound) {
				t.Errorf("found a counter of another name: %v", err)
			}
			wrong, err := m.Counter(ctx, ref, fixed("wrong"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := wrong.Increment(ctx); !errors.Is(err, tpm.ErrPIN) {
				t.Errorf("incremented with a wrong secret: %v", err)
			}
			if da, err := m.DA(ctx); err != nil || da.Used != 0 {
				t.Errorf("a wrong secret of a counter counts: %+v, %v", da, err)
			}
			if now := value(t, c); now != v {
				t.Errorf("the counter went from %d to %d", v, now)
			}
		})
	}
}

// TestCounterSurvives finds the counter where it was after swtpm was killed.
func TestCounterSurvives(t *testing.T) {
	s := newServer(t)
	m := open(t, tpm.Config{Spec: "unix:" + s.socket})
	c := newCounter(t, m)
	for range 3 {
		before := value(t, c)
		v, err := c.Increment(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.kill()
		s.start()
		if now := value(t, c); now != before+1 || now != v {
			t.Errorf("%d, incremented to %d, is %d after the TPM was killed", before, v, now)
		}
	}
}

// TestCounterMadeAnew does not go back when the counter is taken away.
func TestCounterMadeAnew(t *testing.T) {
	p := newProxy(t, "unix", newServer(t))
	m := open(t, tpm.Config{Spec: p.spec()})
	c := newCounter(t, m)
	var last uint64
	for range 5 {
		var err error
		if last, err = c.Increment(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	m.Close()
	undefine(t, p, c.Ref())
	m = open(t, tpm.Config{Spec: p.spec()})
	if _, err := m.Counter(t.Context(), c.Ref(), fixed(counterAuth)); !errors.Is(err, tpm.ErrNotFound) {
		t.Errorf("found what was taken away: %v", err)
	}
	if v := value(t, newCounter(t, m)); v <= last {
		t.Errorf("a counter in the place of one at %d is at %d", last, v)
	}
}

// sweep breaks the link at each command of do in turn, before the TPM has seen
// it and after, and puts each off; check looks at what do left. It ends with
// the first run that nothing broke.
func sweep(t *testing.T, p *proxy, least int, do func() error, check func(how string)) {
	t.Helper()
	for _, harm := range []struct {
		name string
		verdict
	}{
		{"the answer lost", verdict{lose: true}},
		{"the command lost", verdict{loseHere: true}},
		{"RETRY", verdict{rc: tpm2.TPMRCRetry}},
		{"YIELDED", verdict{rc: tpm2.TPMRCYielded}},
		{"NV_RATE", verdict{rc: tpm2.TPMRCNVRate}},
		{"a bad answer", verdict{alter: func(b []byte) []byte { return append(b[:2], 0, 0, 0, 10, 0, 0, 0, 0) }}},
	} {
		for at := 1; ; at++ {
			broke := false
			p.harm(func(n int, _ tpm2.TPMCC) verdict {
				if n != at {
					return verdict{}
				}
				broke = true
				return harm.verdict
			})
			err := do()
			all, _ := p.commands()
			p.harm(nil)
			how := fmt.Sprintf("%s at command %d", harm.name, at)
			if err != nil {
				t.Fatalf("%s: %v", how, err)
			}
			check(how)
			if !broke {
				if at <= least {
					t.Errorf("only %v were sent", all)
				}
				break
			}
		}
	}
}

// TestIncrementOnce adds exactly one, whatever breaks.
func TestIncrementOnce(t *testing.T) {
	p := newProxy(t, "unix", newServer(t))
	m := open(t, tpm.Config{Spec: p.spec()})
	c := newCounter(t, m)
	want := value(t, c)
	sweep(t, p, 3, func() error {
		v, err := c.Increment(t.Context())
		if want++; err == nil && v != want {
			return fmt.Errorf("incremented to %d, not %d", v, want)
		}
		return err
	}, func(how string) {
		if v := value(t, c); v != want {
			t.Fatalf("%s: the counter is %d, not %d", how, v, want)
		}
	})
}

// TestDefineOnce leaves one counter behind, whatever breaks.
func TestDefineOnce(t *testing.T) {
	p := newProxy(t, "unix", newServer(t))
	m := open(t, tpm.Config{Spec: p.spec()})
	var ref tpm.CounterRef
	next := uint32(0x0180A000)
	sweep(t, p, 4, func() (err error) {
		ref, err = m.DefineCounter(t.Context(), []byte(counterAuth))
		return err
	}, func(how string) {
		if ref.Handle != next {
			t.Fatalf("%s: the counter is at %#x, not %#x: one was left behind", how, ref.Handle, next)
		}
		if v := value(t, counter(t, m, ref)); v == 0 {
			t.Errorf("%s: the counter never was incremented", how)
		}
		// A software TPM holds few counters: each gives its place to the next.
		m.Close()
		undefine(t, p, ref)
		m = open(t, tpm.Config{Spec: p.spec()})
	})
}

func undefine(t *testing.T, p *proxy, ref tpm.CounterRef) {
	t.Helper()
	r := dialProxy(t, p)
	defer r.Close()
	if _, err := (tpm2.NVUndefineSpace{
		AuthHandle: tpm2.TPMRHOwner,
		NVIndex:    tpm2.NamedHandle{Handle: tpm2.TPMHandle(ref.Handle), Name: tpm2.TPM2BName{Buffer: ref.Name[:]}},
	}).Execute(r); err != nil {
		t.Fatal(err)
	}
}

func TestCounterRefText(t *testing.T) {
	name := strings.Repeat("ab", 34)
	good := "0180a000:" + name + ":" + name
	var ref tpm.CounterRef
	if err := ref.UnmarshalText([]byte(good)); err != nil || ref.String() != good {
		t.Errorf("%s becomes %s: %v", good, ref, err)
	}
	for _, bad := range []string{
		"", "0180a000", "8100a000:" + name + ":" + name, "01c00002:" + name + ":" + name,
		strings.ToUpper(good), good + ":", "0180a000:" + name[2:] + ":" + name,
	} {
		if err := ref.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
