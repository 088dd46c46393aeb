// SPDX-License-Identifier: Apache-2.0

package firmware_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/smp"
)

// A kill while a key is being replaced leaves the old key or the new one, and
// the token tells which.
func TestKillWhileReplacing(t *testing.T) {
	ctx := deadline(t)
	b := newBoard(t)
	c := connect(t, b)
	oldToken := token(t)
	oldKey, _, err := c.Keygen(ctx, "ES256", oldToken, false)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		newToken := token(t)
		c.dieDuringKeygen(ctx, t, b, newToken, i%2 == 0)
		b.start(t)
		c = connect(t, b)
		if c.info.State != enroll.Keyed || c.info.SPKI == nil {
			t.Fatalf("after the kill: %+v", c.info)
		}
		kept := *c.info.SPKI == oldKey
		tok := newToken
		if kept {
			tok = oldToken
		}
		spki, made, err := c.Keygen(ctx, "ES256", tok, false)
		if err != nil || !made || spki != *c.info.SPKI {
			t.Fatalf("the key is under neither token: old key kept %v, new %v, %v", kept, made, err)
		}
		oldToken, oldKey = tok, spki
	}
}

// dieDuringKeygen kills the board while it replaces its key: at once, or when
// the first byte of its flash has changed.
func (c *talk) dieDuringKeygen(ctx context.Context, t *testing.T, b *board, tok [32]byte, atOnce bool) {
	t.Helper()
	before := b.flash(t)
	dying, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _ = c.Keygen(dying, "ES256", tok, true) // the board dies meanwhile
	}()
	for !atOnce && bytes.Equal(b.flash(t), before) {
		if ctx.Err() != nil {
			t.Fatal("the board never writes")
		}
	}
	b.kill(t)
	cancel()
	<-done
	_ = c.client.Close() // of a line that is gone
}

// Mistakes of whoever starts an agent are told, and touch nothing.
func TestArguments(t *testing.T) {
	b := newBoard(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "state")
	for want, args := range map[string][]string{
		"usage":                 {"--state", other, "--link", file + ".link"},
		"lower-case hex":        {"--state", other, "--link", file + ".link", "--uid", "0G"},
		"from 0 to 15":          {"--state", other, "--link", file + ".link", "--uid", "00", "--prot", "16"},
		"not one certificate":   {"--state", other, "--link", file + ".link", "--uid", "00", "--root", file},
		"another agent uses":    {"--state", b.state(), "--link", file + ".link", "--uid", "00"},
		"File exists":           {"--state", other, "--link", file, "--uid", "00"},
		"No such file":          {"--state", other + ".none/state", "--link", file + ".link", "--uid", "00"},
		"a value is too long":   {"--state", other, "--link", file + ".link", "--uid", "00", "--model", strings.Repeat("m", 33)},
		"2 to 64 digits of low": {"--state", other, "--link", file + ".link", "--uid", strings.Repeat("00", 33)},
	} {
		out, err := exec.CommandContext(deadline(t), agentPath, args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %v\n%s\nwant %q", args, err, out, want)
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "a file" {
		t.Errorf("the file was touched: %q, %v", got, err)
	}
	if c := connect(t, b); c.info.State != enroll.Blank {
		t.Errorf("the first agent shows %v", c.info.State)
	}
}

// A station that dies leaves the console usable for the next one.
func TestReopen(t *testing.T) {
	b := newBoard(t)
	for range 5 {
		c := connect(t, b)
		var echo struct {
			R string `cbor:"r"`
		}
		request := smp.Request{Write: true, Cmd: 0, Body: map[string]string{"d": "hello"}}
		if err := c.client.Do(t.Context(), request, &echo); err != nil || echo.R != "hello" {
			t.Fatalf("echo %q, %v", echo.R, err)
		}
		c.close(t)
	}
}

// A station may take the line for itself by TIOCEXCL and die. The agent holds
// the line open, so the kernel would never take that lock off.
func TestExclusiveLockDiesWithItsStation(t *testing.T) {
	ctx := deadline(t)
	b := newBoard(t)
	station, err := os.OpenFile(b.link(), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetInt(int(station.Fd()), unix.TIOCEXCL, 0); err != nil {
		t.Fatal(err)
	}
	if err := station.Close(); err != nil {
		t.Fatal(err)
	}
	for {
		next, err := os.OpenFile(b.link(), os.O_RDWR|unix.O_NOCTTY, 0)
		switch {
		case errors.Is(err, unix.EBUSY): // what a user who is not root gets meanwhile
		case err != nil:
			t.Fatal(err)
		default:
			locked, err := unix.IoctlGetInt(int(next.Fd()), unix.TIOCGEXCL)
			if err := errors.Join(err, next.Close()); err != nil {
				t.Fatal(err)
			}
			if locked == 0 {
				return
			}
		}
		if ctx.Err() != nil {
			t.Fatal("the lock outlives its station")
		}
	}
}
