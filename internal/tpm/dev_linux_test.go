// SPDX-License-Identifier: Apache-2.0

//go:build cgo && !nosim

package tpm

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

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
	ref, _, err := tpm.CreateKey(t.Context(), CA, elliptic.P256(), pin)
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
