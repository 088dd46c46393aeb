// SPDX-License-Identifier: Apache-2.0

package flasher_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/flasher"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/virtual"
)

// bench is a virtual board and the station's side of the cable to it.
type bench struct {
	t      *testing.T
	board  *virtual.Board
	client *smp.Client
	img    *flasher.Image
	data   []byte
	done   []int // what Progress was told
}

func inBubble(t *testing.T, cfg virtual.Config, f func(*testing.T, *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg.UID = []byte{1, 2, 3}
		board, err := virtual.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer board.Close()
		data := image(2, 3000)
		img, err := flasher.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{t: t, board: board, img: img, data: data}
		b.dial()
		defer func() { b.client.Close() }()
		f(t, b)
	})
}

func (b *bench) dial() { b.client = smp.NewClient(smp.ClientConfig{Stream: b.board.Dial()}) }

// restart restarts the board as a station does.
func (b *bench) restart(ctx context.Context) error {
	s := enroll.New(enroll.Config{Client: b.client})
	_, err := s.Reset(ctx)
	return err
}

func (b *bench) config() flasher.Config {
	return flasher.Config{Client: b.client, Restart: b.restart, Progress: func(done, size int) { b.done = append(b.done, done) }}
}

func (b *bench) write() (flasher.Report, error) {
	return flasher.Write(b.t.Context(), b.config(), b.img)
}

func (b *bench) wantRunning(data []byte) {
	b.t.Helper()
	if got, confirmed := b.board.Running(); !bytes.Equal(got, data) || !confirmed {
		b.t.Errorf("an image of %d bytes runs, confirmed %v", len(got), confirmed)
	}
}

func TestWrite(t *testing.T) {
	for name, cfg := range map[string]virtual.Config{
		"":                 {},
		"a large buffer":   {Buffer: 4096},
		"no parameters":    {Fault: "no-params"},
		"small buffer":     {Fault: "small-buffer"},
		"indefinite":       {Fault: "indefinite"},
		"lost answers":     {Fault: "lost-answer"},
		"late answers":     {Fault: "late-answer"},
		"doubled answers":  {Fault: "double-answer"},
		"noise":            {Fault: "noise"},
		"set back":         {Fault: "image-forgets"},
		"slow boot":        {Fault: "slow-boot"},
		"prompts and logs": {Fault: "chatty"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, cfg, func(t *testing.T, b *bench) {
				old, _ := b.board.Running()
				r, err := b.write()
				if err != nil {
					t.Fatal(err)
				}
				digest := b.img.BootDigest()
				if r.Sent < b.img.Size() || r.Version != "2.4.7" || !bytes.Equal(r.Running, digest[:]) {
					t.Errorf("report %+v", r)
				}
				b.wantRunning(b.data)
				if !bytes.Equal(b.board.Spare(), old) {
					t.Error("the old image is gone")
				}
				if n := len(b.done); n < 2 || b.done[n-1] != b.img.Size() {
					t.Errorf("progress %v", b.done)
				}
				// Again: there is nothing left to do.
				if r, err = b.write(); err != nil || r.Sent != 0 {
					t.Errorf("again: %+v, %v", r, err)
				}
				if _, there, err := flasher.Running(t.Context(), b.config(), b.img); !there || err != nil {
					t.Errorf("running %v, %v", there, err)
				}
			})
		})
	}
}

// TestWriteFaults: each board is told for what it does, and keeps running its
// old image.
func TestWriteFaults(t *testing.T) {
	for fault, want := range map[string]error{
		"image-none":        flasher.ErrNoImages,
		"image-small-slot":  flasher.ErrTooLarge,
		"image-refused":     flasher.ErrRefused,
		"image-stalls":      flasher.ErrStalled,
		"image-dies":        smp.ErrTimeout,
		"image-jumps":       flasher.ErrAnswer,
		"image-beyond":      flasher.ErrAnswer,
		"image-differs":     flasher.ErrStored,
		"image-rots":        flasher.ErrNotStarted,
		"image-reverts":     flasher.ErrNotStarted,
		"image-unconfirmed": flasher.ErrNotConfirmed,
		"reset-lies":        enroll.ErrNotReset,
		"reset-kills":       smp.ErrTimeout,
		"silent":            smp.ErrTimeout,
		"babbling":          smp.ErrBabble,
	} {
		t.Run(fault, func(t *testing.T) {
			inBubble(t, virtual.Config{Fault: fault}, func(t *testing.T, b *bench) {
				old, _ := b.board.Running()
				if _, err := b.write(); !errors.Is(err, want) {
					t.Errorf("%v, want %v", err, want)
				}
				if fault == "image-small-slot" && len(b.board.Spare()) > 0 {
					t.Error("something was written")
				}
				b.board.PowerCut() // into the trial that a reset would have begun
				b.board.PowerCut() // and back
				b.wantRunning(old)
			})
		})
	}
}

// TestCutLink breaks the cable, and in every second case the power, after each
// request of a whole update in turn; a second call finishes it.
func TestCutLink(t *testing.T) {
	for _, power := range []bool{false, true} {
		for n, cut := 1, true; cut; n++ {
			if n > 100 {
				t.Fatal("it never gets through")
			}
			cut = cutAfter(t, n, power)
			if !cut && n < 10 {
				t.Errorf("an update has only %d requests", n)
			}
		}
	}
}

// cutter is a stream that breaks after so many writes.
type cutter struct {
	smp.Stream
	left int
	cut  func()
}

func (c *cutter) Write(p []byte) (int, error) {
	n, err := c.Stream.Write(p)
	if c.left--; c.left == 0 {
		synctest.Wait() // the board has answered
		c.cut()
		c.Stream.Close()
	}
	return n, err
}

// cutAfter tells whether the update got as far as the n-th request.
func cutAfter(t *testing.T, n int, power bool) (cut bool) {
	inBubble(t, virtual.Config{}, func(t *testing.T, b *bench) {
		old, _ := b.board.Running()
		b.client = smp.NewClient(smp.ClientConfig{Stream: &cutter{Stream: b.board.Dial(), left: n, cut: func() {
			cut = true
			if power {
				b.board.PowerCut()
			}
		}}})
		_, err := b.write()
		if !cut {
			if err != nil {
				t.Error(err)
			}
			return
		}
		var link *smp.LinkError
		if got, confirmed := b.board.Running(); err != nil && (!errors.As(err, &link) || confirmed && !bytes.Equal(got, old) && !bytes.Equal(got, b.data)) {
			t.Fatalf("cut after request %d: %v, an image of %d bytes runs", n, err, len(got))
		}
		b.dial()
		r, err := b.write()
		if err != nil {
			t.Fatalf("cut after request %d, power %v: %v", n, power, err)
		}
		if !power && n > 4 && r.Sent >= b.img.Size() {
			t.Errorf("cut after request %d: the upload began anew", n)
		}
		b.wantRunning(b.data)
	})
	return cut
}

// TestAnotherImageOnTrial: an update that somebody else left half done is
// finished by the boot loader first.
func TestAnotherImageOnTrial(t *testing.T) {
	other, err := flasher.Parse(image(9, 700))
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stopped")
	for name, restart := range map[string]func(*bench) func(context.Context) error{
		"pending": func(*bench) func(context.Context) error { return func(context.Context) error { return stop } },
		"on trial": func(b *bench) func(context.Context) error {
			return func(ctx context.Context) error { return errors.Join(b.restart(ctx), stop) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, virtual.Config{}, func(t *testing.T, b *bench) {
				cfg := b.config()
				cfg.Restart = restart(b)
				if _, err := flasher.Write(t.Context(), cfg, other); !errors.Is(err, stop) {
					t.Fatal(err)
				}
				if _, err := b.write(); err != nil {
					t.Fatal(err)
				}
				b.wantRunning(b.data)
			})
		})
	}
}

// TestStopped: a canceled context ends an upload, and the next goes on with it.
func TestStopped(t *testing.T) {
	inBubble(t, virtual.Config{}, func(t *testing.T, b *bench) {
		ctx, cancel := context.WithCancel(t.Context())
		cfg := b.config()
		cfg.Progress = func(done, size int) {
			if done > size/2 {
				cancel()
			}
		}
		if _, err := flasher.Write(ctx, cfg, b.img); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		half := len(b.board.Spare())
		r, err := b.write()
		if err != nil || r.Sent >= b.img.Size() || half < b.img.Size()/2 {
			t.Errorf("%d bytes were there, %d sent, %v", half, r.Sent, err)
		}
		b.wantRunning(b.data)
	})
}
