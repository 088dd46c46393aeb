// SPDX-License-Identifier: Apache-2.0

package flasher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"provisioning.example/station/internal/smp"
)

// MCUmgr's image group and the two commands of it and of the OS group that are
// used here.
const (
	groupOS   = 0
	cmdParams = 6

	groupImage = 1
	cmdState   = 0
	cmdUpload  = 1
)

// stateTimeout is of one try: a board may hash its slots to answer.
const stateTimeout = 5 * time.Second

// rcUnknown is the transport's code for no such group or command.
const rcUnknown = 8

// A slot is one image in one of the board's slots, as it tells it. Flags that
// are not set may be left out.
type slot struct {
	Image     uint64 `cbor:"image"`
	Slot      uint64 `cbor:"slot"`
	Version   string `cbor:"version"`
	Hash      []byte `cbor:"hash"`
	Pending   bool   `cbor:"pending"`
	Confirmed bool   `cbor:"confirmed"`
	Active    bool   `cbor:"active"`
}

// String is the slot for people.
func (s *slot) String() string {
	if s == nil {
		return "no image"
	}
	return fmt.Sprintf("version %.32q with digest %.16x", s.Version, s.Hash)
}

func (s *slot) holds(i *Image) bool { return bytes.Equal(s.Hash, i.boot[:]) }

// slots are the slots that hold an image of the application, number 0.
type slots []slot

// active is the slot that runs, nil where the board tells none.
func (s slots) active() *slot {
	for i := range s {
		if s[i].Active {
			return &s[i]
		}
	}
	return nil
}

// free is the slot beside the active one that holds the image, nil for none.
func (s slots) free(img *Image) *slot {
	for i := range s {
		if !s[i].Active && s[i].holds(img) {
			return &s[i]
		}
	}
	return nil
}

// unsettled tells whether another image is on trial or about to be.
func (s slots) unsettled(img *Image) bool {
	if a := s.active(); a != nil && !a.Confirmed {
		return true
	}
	for i := range s {
		if s[i].Pending && !s[i].holds(img) {
			return true
		}
	}
	return false
}

// state reads the board's slots.
func (w *writer) state(ctx context.Context) (slots, error) {
	var answer struct {
		Images []slot `cbor:"images"`
	}
	err := w.Client.Do(ctx, smp.Request{Group: groupImage, Cmd: cmdState, Timeout: stateTimeout}, &answer)
	var rc *smp.RCError
	switch {
	case errors.As(err, &rc) && rc.Group < 0 && rc.RC == rcUnknown:
		return nil, fmt.Errorf("%w (%w)", ErrNoImages, err)
	case err != nil:
		return nil, fmt.Errorf("read the image slots: %w", err)
	}
	var out slots
	for _, s := range answer.Images {
		if s.Image == 0 {
			out = append(out, s)
		}
	}
	running := 0
	for _, s := range out {
		if len(s.Hash) == 0 || len(s.Hash) > 64 {
			return nil, fmt.Errorf("%w: an image with a digest of %d bytes", ErrAnswer, len(s.Hash))
		}
		if s.Active {
			running++
		}
	}
	if running > 1 {
		return nil, fmt.Errorf("%w: %d images run at once", ErrAnswer, running)
	}
	return out, nil
}

// mark has the boot loader start the image on trial, or keep it.
func (w *writer) mark(ctx context.Context, keep bool) error {
	body := struct {
		Hash    []byte `cbor:"hash"`
		Confirm bool   `cbor:"confirm"`
	}{w.img.boot[:], keep}
	return w.Client.Do(ctx, smp.Request{Write: true, Group: groupImage, Cmd: cmdState, Body: body, Timeout: stateTimeout}, nil)
}
