// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"bytes"
	"context"
	"crypto"
	"crypto/elliptic"
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/mod/modfile"
	"golang.org/x/sys/unix"
)

// wire is a source whose links are the device end of a socket pair that keeps
// the bounds of messages, as the driver of a TPM does. A real TPM stands behind.
type wire struct {
	source
	bridges sync.WaitGroup
}

func (w *wire) open(ctx context.Context, failures int) (link, error) {
	tpm, err := w.source.open(ctx, failures)
	if err != nil {
		return nil, err
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	w.bridges.Go(func() {
		defer unix.Close(ends[1])
		defer tpm.Close()
		buffer := make([]byte, maxAnswer)
		for {
			n, err := unix.Read(ends[1], buffer)
			if err != nil || n == 0 {
				return
			}
			answer, err := tpm.Send(buffer[:n], time.Minute)
			if err != nil {
				return
			}
			if _, err := unix.Write(ends[1], answer); err != nil {
				return
			}
		}
	})
	return device(ends[0]), nil
}

// TestDevice signs through the code of dev:PATH, link after link.
func TestDevice(t *testing.T) {
	src, err := newSim("")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{source: src}
	tpm := newTPM(time.Minute, w, slog.New(slog.DiscardHandler))
	if err := tpm.bus.connect(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	go tpm.own()
	pin := []byte("1234")
	ref, err := tpm.CreateKey(t.Context(), CA, elliptic.P256(), pin)
	if err != nil {
		t.Fatal(err)
	}
	k, err := tpm.Key(t.Context(), ref, func() ([]byte, error) { return pin, nil })
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := k.Sign(nil, make([]byte, 32), crypto.SHA256); err != nil {
			t.Error(err)
		}
	}
	if err := tpm.Close(); err != nil {
		t.Error(err)
	}
	w.bridges.Wait()
}

// TestDeviceFails turns everything a device can do wrong into an error.
func TestDeviceFails(t *testing.T) {
	command := []byte("\x80\x01\x00\x00\x00\x0a\x00\x00\x01\x81")
	for name, c := range map[string]struct {
		serve func(fd int)
		want  string
	}{
		"goes away": {func(fd int) { unix.Close(fd) }, ""},
		"silent":    {func(int) {}, os.ErrDeadlineExceeded.Error()},
		"short":     {func(fd int) { unix.Write(fd, command[:9]) }, "shorter than its header"},
		"cut":       {func(fd int) { unix.Write(fd, []byte("\x80\x01\x00\x00\x00\x0b\x00\x00\x01\x81")) }, "claims 11 bytes and has 10"},
	} {
		ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		c.serve(ends[1])
		d := device(ends[0])
		if _, err := d.Send(command, time.Millisecond); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		d.Close()
		unix.Close(ends[1])
	}
}

// TestSessionRenewed opens a new session after its number of uses.
func TestSessionRenewed(t *testing.T) {
	tpm, err := Open(t.Context(), Config{Spec: "sim"})
	if err != nil {
		t.Fatal(err)
	}
	defer tpm.Close()
	pin := []byte("1234")
	ref, err := tpm.CreateKey(t.Context(), CA, elliptic.P256(), pin)
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

// TestStateVersion ties the header of state files to the version in go.mod.
func TestStateVersion(t *testing.T) {
	path := filepath.Join("..", "..", "go.mod")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse(path, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	found := ""
	for _, r := range mod.Require {
		if r.Mod.Path == "github.com/google/go-tpm-tools" {
			found = r.Mod.Version
		}
	}
	if found != simulatorVersion {
		t.Errorf("go.mod has go-tpm-tools %q, state files are of %s: see TestGoldenState", found, simulatorVersion)
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

func FuzzDecodeState(f *testing.F) {
	image := make([]byte, nvSize)
	good := encodeState(image)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(append(bytes.Clone(good), 0))
	f.Add([]byte(stateHeader))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		image, err := decodeState(data)
		if err == nil && !bytes.Equal(encodeState(image), data) {
			t.Error("decoded what does not encode to the same")
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
	ref, err := tpm.CreateKey(f.Context(), CA, elliptic.P256(), []byte("1234"))
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
	if err := tpm.Health(f.Context()); err != nil {
		f.Fatal(err)
	}
	if err := tpm.Close(); err != nil {
		f.Fatal(err)
	}
	return tape.answers
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
