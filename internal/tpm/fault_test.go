// SPDX-License-Identifier: Apache-2.0

package tpm_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"provisioning.example/station/internal/tpm"
)

// raw is a plain connection to a TPM for what a foreign client does.
type raw struct{ net.Conn }

func dialRaw(t *testing.T, s *server) raw {
	t.Helper()
	conn, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return raw{conn}
}

func (r raw) Send(command []byte) ([]byte, error) {
	if _, err := r.Write(command); err != nil {
		return nil, err
	}
	return readFrame(r)
}

// TestOneCommand holds the design to its price: on a raw channel a signature is
// one command.
func TestOneCommand(t *testing.T) {
	p := newProxy(t, "unix", newServer(t))
	m := open(t, tpm.Config{Spec: p.spec()})
	keys := []*tpm.Key{newKey(t, m, tpm.CA), newKey(t, m, tpm.Checkpoint)}
	for _, k := range keys {
		if err := sign(t.Context(), k, crypto.SHA256, "warm"); err != nil {
			t.Fatal(err)
		}
	}
	p.harm(nil)
	const signatures = 40
	for i := range signatures {
		if err := sign(t.Context(), keys[i%2], crypto.SHA256, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if all, count := p.commands(); len(all) != signatures || count[tpm2.TPMCCSign] != signatures {
		t.Errorf("%d signatures took %v", signatures, count)
	}
}

// TestPINNotOnTheBus looks for the PIN in all that crosses the bus while a key
// is made, used, and refused.
func TestPINNotOnTheBus(t *testing.T) {
	p := newProxy(t, "unix", newServer(t))
	m := open(t, tpm.Config{Spec: p.spec()})
	ca, checkpoint := newKey(t, m, tpm.CA), newKey(t, m, tpm.Checkpoint)
	message := "a message"
	for _, k := range []*tpm.Key{ca, checkpoint} {
		if err := sign(t.Context(), k, crypto.SHA256, message); err != nil {
			t.Fatal(err)
		}
	}
	const wrongPIN = "incorrect horse"
	wrong, err := m.Key(t.Context(), ca.Ref(), fixed(wrongPIN))
	if err != nil {
		t.Fatal(err)
	}
	if err := sign(t.Context(), wrong, crypto.SHA256, message); !errors.Is(err, tpm.ErrPIN) {
		t.Fatal(err)
	}
	wire := p.bytes()
	digest := sha256.Sum256([]byte(message))
	for what, secret := range map[string][]byte{"the PIN": []byte(pin), "the wrong PIN": []byte(wrongPIN), "the digest": digest[:]} {
		if bytes.Contains(wire, secret) {
			t.Errorf("%s crosses the bus", what)
		}
	}
	// The recording is whole: what may be seen is seen.
	name := ca.Ref().Name
	if !bytes.Contains(wire, name[:]) {
		t.Error("the recording lacks the Name of the key")
	}
	// And a PIN sent as a password would be seen in it.
	if _, err := (tpm2.Sign{
		KeyHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(ca.Ref().Handle), Name: tpm2.TPM2BName{Buffer: name[:]}, Auth: tpm2.PasswordAuth([]byte(pin))},
		Digest:    tpm2.TPM2BDigest{Buffer: digest[:]},
	}).Execute(viaProxy(t, m, p)); err == nil || !bytes.Contains(p.bytes(), []byte(pin)) {
		t.Errorf("a password does not show in the recording (%v)", err)
	}
}

// viaProxy closes m and gives its place to a foreign client.
func viaProxy(t *testing.T, m *tpm.TPM, p *proxy) raw {
	t.Helper()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return dialProxy(t, p)
}

func dialProxy(t *testing.T, p *proxy) raw {
	t.Helper()
	conn, err := net.Dial(p.address.Network(), p.address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return raw{conn}
}

// TestPutOff resends what the TPM puts off, in the same session.
func TestPutOff(t *testing.T) {
	codes := []tpm2.TPMRC{tpm2.TPMRCRetry, tpm2.TPMRCYielded, tpm2.TPMRCTesting, tpm2.TPMRCNVRate}
	p := newProxy(t, "unix", newServer(t))
	m := open(t, tpm.Config{Spec: p.spec()})
	k := newKey(t, m, tpm.CA)
	if err := sign(t.Context(), k, crypto.SHA256, "warm"); err != nil {
		t.Fatal(err)
	}
	p.harm(func(n int, _ tpm2.TPMCC) verdict {
		if n%3 != 0 {
			return verdict{rc: codes[n%len(codes)]}
		}
		return verdict{}
	})
	for i := range 40 {
		if err := sign(t.Context(), k, crypto.SHA256, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if all, count := p.commands(); len(all) != 120 || count[tpm2.TPMCCSign] != 120 {
		t.Errorf("40 signatures, each put off twice, took %v", count)
	}
}

// TestRefusalsNotRepeated sends a refused PIN once.
func TestRefusalsNotRepeated(t *testing.T) {
	p := newProxy(t, "unix", newServer(t))
	m := open(t, tpm.Config{Spec: p.spec()})
	k := newKey(t, m, tpm.CA)
	for rc, want := range map[tpm2.TPMRC]error{
		0x98E: tpm.ErrPIN, // AUTH_FAIL, session 1
		0x9A2: tpm.ErrPIN, // BAD_AUTH, session 1
	} {
		if err := sign(t.Context(), k, crypto.SHA256, "warm"); err != nil {
			t.Fatal(err)
		}
		p.harm(func(int, tpm2.TPMCC) verdict { return verdict{rc: rc} })
		if err := sign(t.Context(), k, crypto.SHA256, "x"); !errors.Is(err, want) {
			t.Errorf("%v: %v", rc, err)
		}
		if all, _ := p.commands(); len(all) != 1 {
			t.Errorf("%v: sent %v", rc, all)
		}
		p.harm(nil)
	}
}

// TestNewSession signs in a new session when the TPM finds fault with the old.
func TestNewSession(t *testing.T) {
	p := newProxy(t, "unix", newServer(t))
	m := open(t, tpm.Config{Spec: p.spec()})
	k := newKey(t, m, tpm.CA)
	for _, rc := range []tpm2.TPMRC{0x918, 0x901, 0x984, 0x98F} { // REFERENCE_S0, CONTEXT_GAP, VALUE and NONCE of session 1
		if err := sign(t.Context(), k, crypto.SHA256, "warm"); err != nil {
			t.Fatal(err)
		}
		p.harm(func(n int, _ tpm2.TPMCC) verdict {
			if n == 1 {
				return verdict{rc: rc}
			}
			return verdict{}
		})
		if err := sign(t.Context(), k, crypto.SHA256, "x"); err != nil {
			t.Errorf("%v: %v", rc, err)
		}
		if _, count := p.commands(); count[tpm2.TPMCCStartAuthSession] != 1 || count[tpm2.TPMCCSign] != 2 {
			t.Errorf("%v: sent %v", rc, count)
		}
		p.harm(nil)
	}
}

// TestLostAnswers drops every so many an answer, and before the TPM has seen
// the command; all signatures come out.
func TestLostAnswers(t *testing.T) {
	for _, here := range []bool{false, true} {
		p := newProxy(t, "unix", newServer(t))
		m := open(t, tpm.Config{Spec: p.spec()})
		k := newKey(t, m, tpm.CA)
		p.harm(func(n int, _ tpm2.TPMCC) verdict {
			return verdict{lose: n%11 == 0 && !here, loseHere: n%11 == 0 && here}
		})
		for i := range 60 {
			if err := sign(t.Context(), k, crypto.SHA256, fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestCreateOnce breaks the link at each command of CreateKey in turn: there is
// one key in the end, and it is the one that was returned.
func TestCreateOnce(t *testing.T) {
	p := newProxy(t, "unix", newServer(t))
	m := open(t, tpm.Config{Spec: p.spec()})
	for at := 1; ; at++ {
		broke := false
		p.harm(func(n int, _ tpm2.TPMCC) verdict {
			broke = broke || n == at
			return verdict{lose: n == at}
		})
		ref, _, err := m.CreateKey(t.Context(), tpm.CA, elliptic.P256(), []byte(pin))
		if err != nil {
			t.Fatalf("broken at command %d: %v", at, err)
		}
		all, _ := p.commands()
		p.harm(nil)
		if !broke {
			if at < 8 {
				t.Errorf("CreateKey took %v: too few commands to have been broken at each", all)
			}
			break
		}
		if want := uint32(0x8100A000 + at - 1); ref.Handle != want {
			t.Fatalf("broken at command %d: the key is at %#x, not %#x: one was left behind", at, ref.Handle, want)
		}
		if err := sign(t.Context(), find(t, m, ref), crypto.SHA256, "x"); err != nil {
			t.Fatalf("broken at command %d: %v", at, err)
		}
	}
}

// TestForgedAnswers alters answers on the bus.
func TestForgedAnswers(t *testing.T) {
	p := newProxy(t, "unix", newServer(t))
	m := open(t, tpm.Config{Spec: p.spec()})
	k := newKey(t, m, tpm.CA)
	alterOnce := func(f func([]byte) []byte) {
		p.harm(func(n int, code tpm2.TPMCC) verdict {
			if code == tpm2.TPMCCSign && n == 1 {
				return verdict{alter: f}
			}
			return verdict{}
		})
	}
	for name, f := range map[string]func([]byte) []byte{
		"one bit of the signature": func(b []byte) []byte { b[40] ^= 1; return b },
		"another tag":              func(b []byte) []byte { b[0] = 0x12; return b },
		"a length of 4 GiB":        func(b []byte) []byte { copy(b[2:], "\xff\xff\xff\xff"); return b },
		"a length below a header":  func(b []byte) []byte { copy(b[2:], "\x00\x00\x00\x09"); return b },
		"nothing but a header":     func([]byte) []byte { return []byte("\x80\x02\x00\x00\x00\x0a\x00\x00\x00\x00") },
	} {
		if err := sign(t.Context(), k, crypto.SHA256, "warm"); err != nil {
			t.Fatal(err)
		}
		alterOnce(f)
		if err := sign(t.Context(), k, crypto.SHA256, "x"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, count := p.commands(); count[tpm2.TPMCCSign] != 2 || count[tpm2.TPMCCStartAuthSession] != 1 {
			t.Errorf("%s: sent %v", name, count)
		}
		p.harm(nil)
	}
}

// TestForgedSRK puts an SRK of its own in the way: nothing may be salted with
// it.
func TestForgedSRK(t *testing.T) {
	p := newProxy(t, "unix", newServer(t))
	m := open(t, tpm.Config{Spec: p.spec()})
	ref := newKey(t, m, tpm.CA).Ref()
	if err := m.Close(); err != nil { // the proxy takes one client at a time
		t.Fatal(err)
	}
	forger, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point := forger.PublicKey().Bytes()[1:]
	forge := func(answer []byte) []byte {
		// header, handle, parameter size, size of the public area, which ends
		// with the two sized coordinates
		const start = 10 + 4 + 4 + 2
		end := start + int(binary.BigEndian.Uint16(answer[start-2:]))
		copy(answer[end-66:], point[:32])
		copy(answer[end-32:], point[32:])
		return answer
	}
	m = open(t, tpm.Config{Spec: p.spec()})
	k := find(t, m, ref)
	p.harm(func(_ int, code tpm2.TPMCC) verdict {
		if code == tpm2.TPMCCCreatePrimary {
			return verdict{alter: forge}
		}
		return verdict{}
	})
	if err := sign(t.Context(), k, crypto.SHA256, "x"); !errors.Is(err, tpm.ErrOtherTPM) {
		t.Errorf("signed with a forged storage root key: %v", err)
	}
	if _, count := p.commands(); count[tpm2.TPMCCCreatePrimary] != 2 || count[tpm2.TPMCCStartAuthSession] != 0 || count[tpm2.TPMCCFlushContext] != 2 {
		t.Errorf("sent %v", count)
	}
	p.harm(nil)
	if err := sign(t.Context(), k, crypto.SHA256, "x"); err != nil {
		t.Errorf("after the forger left: %v", err)
	}
}

// TestContextEnds releases a caller whose context ends although the TPM has not
// answered yet; the next call finds the TPM in step.
func TestContextEnds(t *testing.T) {
	p := newProxy(t, "unix", newServer(t))
	m := open(t, tpm.Config{Spec: p.spec()})
	k := newKey(t, m, tpm.CA)
	if err := sign(t.Context(), k, crypto.SHA256, "warm"); err != nil {
		t.Fatal(err)
	}
	arrived, release := make(chan struct{}), make(chan struct{})
	p.harm(func(n int, _ tpm2.TPMCC) verdict {
		if n == 1 {
			close(arrived)
			return verdict{hold: release}
		}
		return verdict{}
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	if err := sign(ctx, k, crypto.SHA256, "x"); !errors.Is(err, context.Canceled) || errors.Is(err, tpm.ErrLost) {
		t.Errorf("a slow TPM: %v", err)
	}
	close(release)
	if err := sign(t.Context(), k, crypto.SHA256, "y"); err != nil {
		t.Error(err)
	}
	if _, count := p.commands(); count[tpm2.TPMCCSign] != 2 || len(count) != 1 {
		t.Errorf("sent %v", count)
	}
}
