// SPDX-License-Identifier: Apache-2.0

package flasher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"provisioning.example/station/internal/smp"
)

// What a board can do to an image, to be told apart with errors.Is. Refusals
// carry the board's *smp.RCError besides.
var (
	// ErrNoImages: the board knows no images (SMP group 1), or is locked.
	ErrNoImages = errors.New("the board takes no firmware images")
	// ErrTooLarge: the image does not fit the board's slot; nothing was erased.
	ErrTooLarge = errors.New("the image is too large for the board's slot")
	// ErrRefused: the board refused the image, or to start it.
	ErrRefused = errors.New("the board refuses the image")
	// ErrStalled: the board takes data, but wants the same again and again.
	ErrStalled = errors.New("the upload does not get on")
	// ErrStored: what the board stored is not what was sent.
	ErrStored = errors.New("the board stored another image than was sent")
	// ErrNotStarted: after the restart the old image runs.
	ErrNotStarted = errors.New("the board did not keep running the new image")
	// ErrNotConfirmed: the new image runs, but on trial only.
	ErrNotConfirmed = errors.New("the board did not confirm the new image")
	// ErrAnswer: an answer is well-formed, but makes no sense.
	ErrAnswer = errors.New("the board's answer makes no sense")
)

// Config is what Write works with.
type Config struct {
	Client *smp.Client
	// Restart restarts the board and returns once it answers in another boot.
	Restart func(context.Context) error
	// Progress is told how many of the image's bytes the board has; nil: nobody is.
	Progress func(done, size int)
	Log      *slog.Logger // nil: no log
}

// A Report is what Write found at its end: the image runs, confirmed.
type Report struct {
	Sent    int    // bytes sent to the board, 0 when it had the image
	Version string // of the running image, as the board reports it
	Running []byte // the running image's digest, as the boot loader reports it
}

// Write makes the board run an image, confirmed. It looks first what is left to
// do, so that it may be called again after whatever ended it: an image that
// runs is left alone, an upload that was cut off goes on, an image on trial is
// confirmed. Until the confirmation the board returns to the old image at its
// next restart.
//
// Errors are those of this package and smp's; Restart's are passed on.
func Write(ctx context.Context, cfg Config, img *Image) (Report, error) {
	w := &writer{Config: cfg, img: img}
	if w.Log == nil {
		w.Log = slog.New(slog.DiscardHandler)
	}
	if w.Progress == nil {
		w.Progress = func(int, int) {}
	}
	s, err := w.settle(ctx)
	if err != nil {
		return Report{}, err
	}
	if !w.runs(s) {
		if s, err = w.replace(ctx, s); err != nil {
			return Report{}, err
		}
	}
	if !s.active().Confirmed {
		if s, err = w.confirm(ctx); err != nil {
			return Report{}, err
		}
	}
	w.Progress(img.Size(), img.Size())
	return w.report(s), nil
}

// Running tells whether the image already runs on the board, confirmed. It
// changes nothing.
func Running(ctx context.Context, cfg Config, img *Image) (Report, bool, error) {
	w := &writer{Config: cfg, img: img}
	s, err := w.state(ctx)
	if err != nil || !w.runs(s) || !s.active().Confirmed {
		return Report{}, false, err
	}
	return w.report(s), true, nil
}

type writer struct {
	Config
	img  *Image
	sent int
}

func (w *writer) report(s slots) Report {
	return Report{Sent: w.sent, Version: s.active().Version, Running: s.active().Hash}
}

// runs tells whether the active slot holds the image.
func (w *writer) runs(s slots) bool { return s.active() != nil && s.active().holds(w.img) }

// settle reads the slots. Another image that is on trial, or about to be, is in
// the way of an upload: restarts let the boot loader finish with it.
func (w *writer) settle(ctx context.Context) (slots, error) {
	const restarts = 2 // one into the trial, one back
	for i := 0; ; i++ {
		s, err := w.state(ctx)
		if err != nil || w.runs(s) || i == restarts || !s.unsettled(w.img) {
			return s, err
		}
		w.Log.Info("another image is on trial, restarting the board")
		if err := w.Restart(ctx); err != nil {
			return nil, err
		}
	}
}

// replace uploads the image, unless the free slot has it, and starts it on
// trial.
func (w *writer) replace(ctx context.Context, s slots) (slots, error) {
	if s.free(w.img) == nil {
		if err := w.upload(ctx); err != nil {
			return nil, err
		}
		var err error
		if s, err = w.state(ctx); err != nil {
			return nil, err
		}
		if s.free(w.img) == nil {
			return nil, fmt.Errorf("%w: no slot holds digest %x", ErrStored, w.img.boot[:8])
		}
	}
	if !s.free(w.img).Pending {
		if err := w.test(ctx); err != nil {
			return nil, err
		}
	}
	if err := w.Restart(ctx); err != nil {
		return nil, err
	}
	s, err := w.state(ctx)
	if err == nil && !w.runs(s) {
		err = fmt.Errorf("%w: after the restart %v runs", ErrNotStarted, s.active())
	}
	return s, err
}

// test has the boot loader start the image once, at the next restart. Whether
// it will is read from the slots: a repeat of the request may be refused.
func (w *writer) test(ctx context.Context) error {
	refused := w.mark(ctx, false)
	if refused != nil && !isRefusal(refused) {
		return refused
	}
	s, err := w.state(ctx)
	switch {
	case err != nil:
		return err
	case s.free(w.img) != nil && s.free(w.img).Pending:
		return nil
	case refused != nil:
		return fmt.Errorf("start the image: %w: %w", ErrRefused, refused)
	}
	return fmt.Errorf("%w: it does not mark it for its next start", ErrRefused)
}

// confirm has the boot loader keep the image that runs, and reads that it does.
func (w *writer) confirm(ctx context.Context) (slots, error) {
	refused := w.mark(ctx, true)
	if refused != nil && !isRefusal(refused) {
		return nil, refused
	}
	s, err := w.state(ctx)
	switch {
	case err != nil:
		return nil, err
	case w.runs(s) && s.active().Confirmed:
		return s, nil
	case refused != nil:
		return nil, fmt.Errorf("%w: %w", ErrNotConfirmed, refused)
	}
	return nil, fmt.Errorf("%w: %v", ErrNotConfirmed, s.active())
}

func isRefusal(err error) bool {
	var rc *smp.RCError
	return errors.As(err, &rc)
}
