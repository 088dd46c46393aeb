// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"bytes"
	"context"
	"crypto"
	"crypto/elliptic"
	"encoding/binary"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// TestSessionRenewed opens a new session after its number of uses.
func TestSessionRenewed(t *testing.T) {
	tpm, err := Open(t.Context(), Config{Spec: "sim"})
	if err != nil {
		t.Fatal(err)
	}
	defer tpm.Close()
	pin := []byte("1234")
	ref, _, err := tpm.CreateKey(t.Context(), CA, elliptic.P256(), pin)
	if err != nil {
		t.Fatal(err)
	}
	k, err := tpm.Key(t.Context(), ref, func() ([]byte, error) { return pin, nil })
	if err != nil {
		t.Fatal(err)
	}
	current := func(change func(*session)) *session {
		var s *session
		if err := tpm.run(t.Context(), func(b *bus) error {
			s = b.session
			change(s)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	sign := func() {
		if _, err := k.Sign(nil, make([]byte, 32), crypto.SHA256); err != nil {
			t.Fatal(err)
		}
	}
	sign()
	first := current(func(s *session) { s.uses = sessionUses - 1 })
	sign()
	if current(func(*session) {}) != first {
		t.Error("the session was renewed too early")
	}
	sign()
	last := current(func(*session) {})
	if last == first || last.uses != 1 {
		t.Errorf("the session was not renewed: %d uses", last.uses)
	}
	if last.secret != [maxAuth]byte{} || first.secret != [maxAuth]byte{} {
		t.Error("the PIN stays in memory")
	}
}

func FuzzReadAnswer(f *testing.F) {
	for _, seed := range []string{
		"", "\x80\x01\x00\x00\x00\x0a\x00\x00\x01\x00", "\x80\x02\x00\x00\x00\x0a\x00\x00\x00\x00", "\x80\x01\x00\x00\x00\x0b\x00\x00\x00\x00",
		"\x00\xc4\x00\x00\x00\x0a\x00\x00\x00\x1e", "\x80\x01\xff\xff\xff\xff\x00\x00\x00\x00", "\x80\x01\x00\x00\x00\x09\x00\x00\x00\x00", "HTTP/1.1 400 Bad Request",
		string(noHandles), string(noHandles) + "more",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		answer, err := readAnswer(r)
		if err != nil {
			return
		}
		if len(answer) < headerSize || len(answer) > maxAnswer || !bytes.HasPrefix(data, answer) {
			t.Errorf("read %x", answer)
		}
		if size := binary.BigEndian.Uint32(answer[2:]); int(size) != len(answer) || r.Len() != len(data)-len(answer) {
			t.Errorf("read %d bytes, %d left, header says %d", len(answer), r.Len(), size)
		}
		whole, err := wholeAnswer(data)
		if (err == nil) != (len(data) == len(answer)) || err == nil && !bytes.Equal(whole, answer) {
			t.Errorf("in one piece: %x, %v", whole, err)
		}
		responseCode(answer)
	})
}

func FuzzKeyRef(f *testing.F) {
	f.Add(KeyRef{Handle: firstKey, Name: Name{0, 11, 1}, SRK: Name{0, 11, 2}}.String())
	f.Add("8100a000::")
	f.Add("::")
	f.Add(strings.Repeat("0", 146))
	f.Fuzz(func(t *testing.T, text string) {
		var r KeyRef
		if err := r.UnmarshalText([]byte(text)); err != nil {
			if r != (KeyRef{}) {
				t.Error("a refused text changed the reference")
			}
			return
		}
		if r.String() != text {
			t.Errorf("%q reads as %q", text, r)
		}
	})
}

// scripted answers every command with the same bytes.
type scripted []byte

func (s scripted) Send([]byte, time.Duration) ([]byte, error) { return readAnswer(bytes.NewReader(s)) }
func (scripted) Close() error                                 { return nil }

// FuzzAnswers feeds answers to all that reads them: nothing panics, and what a
// TPM that does not know the session key says is never a signature.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(noHandles))
	for _, rc := range []tpm2.TPMRC{0, tpm2.TPMRCHandle, tpm2.TPMRCLockout, 0x98E, tpm2.TPMRCInitialize} {
		f.Add(only(rc)(nil))
	}
	for _, answer := range recordAnswers(f) {
		f.Add(answer)
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		ended, cancel := context.WithCancel(context.Background())
		cancel() // no pause, no second try
		ask := map[string]func(*bus) error{
			"handles":  func(b *bus) error { _, err := b.freeHandle(); return err },
			"public":   func(b *bus) error { _, err := b.readPublic(srkHandle); return err },
			"clock":    func(b *bus) error { _, err := b.readClock(); return err },
			"identity": func(b *bus) error { return b.identify(new(Info)) },
			"lockout":  func(b *bus) error { return b.lockout() },
			"limits":   func(b *bus) error { return b.setDA(lineDA) },
			"storage":  func(b *bus) error { _, err := b.createStorage(Name{}); return err },
			"session":  func(b *bus) error { _, err := b.authorise(Name{}, nil); return err },
			"leftover": func(b *bus) error { return b.flushLeftovers() },
			"key":      func(b *bus) error { return (&Key{}).find(b) },

			"endorsement": func(b *bus) error { _, err := b.readEndorsement(); return err },
			"chain":       func(b *bus) error { _, err := b.readChain(); return err },
			"index":       func(b *bus) error { _, _, err := b.nvPublic(firstCounter); return err },
			"activation":  func(b *bus) error { _, err := b.activate(endorsements()[0], []byte("x"), []byte("x")); return err },
			"copy":        func(b *bus) error { return (&copying{old: []byte("x"), new: []byte("y")}).do(b) },
			"value": func(b *bus) error {
				_, err := b.counterValue(CounterRef{}, &session{Session: tpm2.PasswordAuth(nil)})
				return err
			},
			"increment": func(b *bus) error { return b.increment(CounterRef{}, &session{Session: tpm2.PasswordAuth(nil)}) },
			"certify": func(b *bus) error {
				_, _, err := b.certifyCounter(CounterRef{}, &session{Session: tpm2.PasswordAuth(nil)}, [32]byte{})
				return err
			},
		}
		for _, do := range ask {
			b := &bus{src: socketSource{}, log: slog.New(slog.DiscardHandler), life: ended, ctx: ended, link: scripted(answer)}
			do(b) // any outcome but a panic will do
		}
		b := &bus{src: socketSource{}, log: slog.New(slog.DiscardHandler), life: ended, ctx: ended, link: scripted(answer)}
		s := &signing{key: &Key{auth: func() ([]byte, error) { return []byte("x"), nil }}, digest: make([]byte, 32), hash: tpm2.TPMAlgSHA256}
		if err := s.do(b); err == nil {
			t.Error("signed")
		}
	})
}

// recordAnswers returns what a real TPM answers to our commands.
func recordAnswers(f *testing.F) [][]byte {
	f.Helper()
	src, err := newSim("")
	if err != nil {
		f.Fatal(err)
	}
	tape := &recorder{source: src}
	tpm := newTPM(time.Minute, tape, slog.New(slog.DiscardHandler))
	if err := tpm.bus.connect(f.Context(), 0); err != nil {
		f.Fatal(err)
	}
	go tpm.own()
	pin := func() ([]byte, error) { return []byte("1234"), nil }
	ref, creation, err := tpm.CreateKey(f.Context(), CA, elliptic.P256(), []byte("1234"))
	if err != nil {
		f.Fatal(err)
	}
	k, err := tpm.Key(f.Context(), ref, pin)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := k.Sign(nil, make([]byte, 32), crypto.SHA256); err != nil {
		f.Fatal(err)
	}
	if _, err := tpm.DA(f.Context()); err != nil {
		f.Fatal(err)
	}
	recordEvidence(f, tpm, ref, creation)
	if err := tpm.Health(f.Context()); err != nil {
		f.Fatal(err)
	}
	if err := tpm.Close(); err != nil {
		f.Fatal(err)
	}
	return tape.answers
}

func recordEvidence(f *testing.F, tpm *TPM, ref KeyRef, creation Creation) {
	f.Helper()
	ctx, pin := f.Context(), []byte("1234")
	if _, err := tpm.Endorsement(ctx); err != nil {
		f.Fatal(err)
	}
	if _, err := tpm.CertifyCreation(ctx, ref, creation, [32]byte{}); err != nil {
		f.Fatal(err)
	}
	if _, err := tpm.ExportBlob(ctx, ref, pin); err != nil {
		f.Fatal(err)
	}
	counter, err := tpm.DefineCounter(ctx, pin)
	if err != nil {
		f.Fatal(err)
	}
	c, err := tpm.Counter(ctx, counter, func() ([]byte, error) { return pin, nil })
	if err != nil {
		f.Fatal(err)
	}
	if _, _, err := c.Certify(ctx, [32]byte{}); err != nil {
		f.Fatal(err)
	}
}

// FuzzCreation reads the text of creations and of counters' references.
func FuzzCreation(f *testing.F) {
	f.Add("00:00")
	f.Add(strings.Repeat("0", 64) + ":80214000000100020102")
	f.Add(CounterRef{Handle: firstCounter, Name: Name{0, 11}, SRK: Name{0, 11}}.String())
	f.Fuzz(func(t *testing.T, text string) {
		var c Creation
		if err := c.UnmarshalText([]byte(text)); err == nil && c.String() != text {
			t.Errorf("%q reads as %q", text, c)
		} else if err != nil && !c.IsZero() {
			t.Error("a refused text changed the creation")
		}
		var r CounterRef
		if err := r.UnmarshalText([]byte(text)); err == nil && r.String() != text {
			t.Errorf("%q reads as %q", text, r)
		} else if err != nil && r != (CounterRef{}) {
			t.Error("a refused text changed the reference")
		}
	})
}

// FuzzCutCertificates takes certificates off the front of what a vendor left in
// an index.
func FuzzCutCertificates(f *testing.F) {
	f.Add([]byte("0\x82\x00\x010\xff\xff"))
	f.Add([]byte("0\x82\x00\x02"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list := cutCertificates(data)
		if whole := bytes.Join(list, nil); !bytes.HasPrefix(data, whole) {
			t.Error("bytes that were not there")
		}
		for _, der := range list {
			if len(der) < 4 || len(cutCertificates(der)) != 1 {
				t.Errorf("%x is not one certificate", der)
			}
		}
	})
}

// recorder keeps the answers that pass.
type recorder struct {
	source
	answers [][]byte
}

func (r *recorder) open(ctx context.Context, failures int) (link, error) {
	l, err := r.source.open(ctx, failures)
	return tap{l, r}, err
}

type tap struct {
	link
	r *recorder
}

func (l tap) Send(command []byte, limit time.Duration) ([]byte, error) {
	answer, err := l.link.Send(command, limit)
	l.r.answers = append(l.r.answers, bytes.Clone(answer))
	return answer, err
}
