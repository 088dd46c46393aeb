// SPDX-License-Identifier: Apache-2.0

package flasher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"provisioning.example/station/internal/smp"
)

const (
	// What a packet needs besides the data, in bytes: SMP header, length, CRC,
	// and the CBOR of all other fields. Only the first chunk has len and sha.
	besidesFirst = 88
	besidesNext  = 40

	// unit is what chunks are a multiple of: no flash we know of is written in
	// larger units, and boards that write whole units only need not drop any.
	unit = 32

	// defaultBuffer is that of a board that does not tell its own.
	defaultBuffer = 256

	// The first chunk makes a board erase its slot, which takes seconds.
	firstTimeout = 20 * time.Second
	chunkTimeout = 5 * time.Second

	// maxSetbacks is how often in one upload a board may want what it had
	// already, or nothing new.
	maxSetbacks = 8
)

// Codes of the image group (MCUmgr, img_mgmt.h).
const (
	rcTooLarge = 30
	rcOverrun  = 31
)

// upload sends the image into the board's free slot. The first chunk names it
// by size and digest: a board that has begun with this very image goes on where
// it stands, also after the link was lost, and one that cannot take it says so
// before it erases.
func (w *writer) upload(ctx context.Context) error {
	buffer, err := w.buffer(ctx)
	if err != nil {
		return err
	}
	setbacks := 0
	for off := 0; off < w.img.Size(); {
		end := min(w.img.Size(), off+chunk(buffer, off))
		next, err := w.send(ctx, off, end)
		if err != nil {
			return err
		}
		resumed := off == 0 && next > end
		switch {
		case next > end && !resumed:
			return fmt.Errorf("%w: bytes up to %d were sent, it wants %d next", ErrAnswer, end, next)
		case resumed:
			w.Log.Info("the board goes on with an upload", "at", next)
		case next <= off:
			if setbacks++; setbacks > maxSetbacks {
				return fmt.Errorf("%w: %d bytes were sent, the board wants %d next", ErrStalled, end, next)
			}
			w.Log.Debug("the board resumes elsewhere", "sent", off, "wanted", next)
		}
		off = next
		w.Progress(off, w.img.Size())
	}
	return nil
}

// chunk is how many bytes of the image the packet at off carries.
func chunk(buffer, off int) int {
	besides := besidesNext
	if off == 0 {
		besides = besidesFirst
	}
	return (min(buffer, smp.MaxPacket) - besides) / unit * unit
}

// send sends the image's bytes from off to end and returns which the board
// wants next.
func (w *writer) send(ctx context.Context, off, end int) (next int, err error) {
	body := struct {
		Data []byte    `cbor:"data"`
		Off  int       `cbor:"off"`
		Len  int       `cbor:"len,omitempty"`
		SHA  *[32]byte `cbor:"sha,omitempty"`
	}{Data: w.img.data[off:end], Off: off}
	timeout := chunkTimeout
	if off == 0 {
		body.Len, body.SHA, timeout = w.img.Size(), &w.img.file, firstTimeout
	}
	var answer struct {
		Off   *uint64 `cbor:"off"`
		Match *bool   `cbor:"match"`
	}
	err = w.Client.Do(ctx, smp.Request{Write: true, Group: groupImage, Cmd: cmdUpload, Body: body, Timeout: timeout}, &answer)
	switch {
	case err != nil:
		return 0, refusal(err)
	case answer.Off == nil || *answer.Off > uint64(w.img.Size()):
		return 0, fmt.Errorf("%w: the answer to an upload has no sensible offset", ErrAnswer)
	case answer.Match != nil && !*answer.Match:
		return 0, fmt.Errorf("%w: the board finds another digest", ErrStored)
	}
	w.sent += end - off
	return int(*answer.Off), nil
}

// refusal tells an image that is too large from one that is refused otherwise.
// Older boards say so in words only.
func refusal(err error) error {
	var rc *smp.RCError
	if !errors.As(err, &rc) {
		return fmt.Errorf("upload the image: %w", err)
	}
	large := rc.Group == groupImage && (rc.RC == rcTooLarge || rc.RC == rcOverrun)
	if large || strings.Contains(rc.Rsn, "too large") {
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return fmt.Errorf("%w: %w", ErrRefused, err)
}

// buffer asks for the size of the board's buffer in bytes (MCUmgr parameters).
func (w *writer) buffer(ctx context.Context) (int, error) {
	var answer struct {
		Size *uint64 `cbor:"buf_size"`
	}
	err := w.Client.Do(ctx, smp.Request{Group: groupOS, Cmd: cmdParams}, &answer)
	switch {
	case isRefusal(err):
		return defaultBuffer, nil
	case err != nil:
		return 0, fmt.Errorf("ask for the board's buffer: %w", err)
	case answer.Size == nil || *answer.Size < besidesFirst+unit || *answer.Size > 1<<16:
		return 0, fmt.Errorf("%w: a buffer of no sensible size", ErrAnswer)
	}
	w.Client.SetPacketLimit(int(*answer.Size))
	return int(*answer.Size), nil
}
