// SPDX-License-Identifier: Apache-2.0

package enroll

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"provisioning.example/station/internal/smp"
)

const (
	// besidesData is what a put or a get's answer needs besides its data.
	besidesData = 88
	// maxResumes is how often one put may be set back by a board (rc 4).
	maxResumes = 4
)

// Get reads a whole object: "csr", "chain", "anchors" or "rework". Every chunk
// must continue the one before; the whole is bounded by 8 KiB. Nothing is said
// of its content. The code for an absent object is RCWrongState.
func (s *Session) Get(ctx context.Context, obj string) ([]byte, error) {
	what := "read " + obj
	if err := s.known(ctx); err != nil {
		return nil, err
	}
	var data []byte
	size := uint64(0)
	for first := true; first || uint64(len(data)) < size; first = false {
		body := struct {
			Obj string `cbor:"obj"`
			Off uint64 `cbor:"off"`
		}{obj, uint64(len(data))}
		var answer struct {
			Off  *uint64 `cbor:"off"`
			Len  *uint64 `cbor:"len"`
			Data []byte  `cbor:"data"`
		}
		if err := s.do(ctx, cmdGet, false, otherTimeout, body, &answer); err != nil {
			return nil, s.named(what, err)
		}
		switch {
		case answer.Off == nil || answer.Len == nil || answer.Data == nil:
			return nil, senseless("get has no off, len or data")
		case *answer.Off != body.Off:
			return nil, senseless("get answers offset %d of %s, asked was %d", *answer.Off, obj, body.Off)
		case *answer.Len > maxObject:
			return nil, senseless("%s of %d bytes, at most %d are allowed", obj, *answer.Len, maxObject)
		case !first && *answer.Len != size:
			return nil, senseless("%s changed its size from %d to %d bytes", obj, size, *answer.Len)
		case len(answer.Data) > s.info.Chunk || body.Off+uint64(len(answer.Data)) > *answer.Len:
			return nil, senseless("get answers %d bytes at %d of %d", len(answer.Data), body.Off, *answer.Len)
		case len(answer.Data) == 0 && body.Off < *answer.Len:
			return nil, senseless("get stops at %d of %d bytes of %s", body.Off, *answer.Len, obj)
		}
		size = *answer.Len
		data = append(data, answer.Data...)
	}
	return data, nil
}

// Put writes an object ("chain", "anchors" or "rework") into the board's
// staging, in chunks of what board and buffer take. Where the board stands
// elsewhere, as after a restart, it goes on from there. Commit stores it.
func (s *Session) Put(ctx context.Context, obj string, data []byte) error {
	if err := s.known(ctx); err != nil {
		return err
	}
	if most := min(s.info.Max, maxObject); len(data) == 0 || len(data) > most {
		return fmt.Errorf("write %s: it has %d bytes, the board takes 1 to %d", obj, len(data), most)
	}
	if err := s.askBuffer(ctx); err != nil {
		return err
	}
	sha := sha256.Sum256(data)
	resumes := 0
	for off, done := 0, false; !done; {
		next, err := s.putChunk(ctx, obj, data, off, sha)
		switch {
		case errors.Is(err, errResume) && resumes < maxResumes:
			resumes++
			s.log.Debug("the board resumes elsewhere", "object", obj, "sent", off, "wanted", next)
		case errors.Is(err, errResume):
			return senseless("the board sets %s back again and again", obj)
		case err != nil:
			return s.named("write "+obj, err)
		}
		off, done = next, next == len(data)
	}
	s.sent[obj] = bytes.Clone(data)
	return nil
}

// errResume: the board refused a chunk and said where to go on.
var errResume = errors.New("the board wants another offset")

// putChunk sends the chunk at off and returns the offset wanted next.
func (s *Session) putChunk(ctx context.Context, obj string, data []byte, off int, sha [32]byte) (next int, err error) {
	end := min(len(data), off+min(s.info.Chunk, s.buf-besidesData))
	body := struct {
		Obj  string    `cbor:"obj"`
		Off  int       `cbor:"off"`
		Data []byte    `cbor:"data"`
		Len  int       `cbor:"len,omitempty"`
		SHA  *[32]byte `cbor:"sha,omitempty"`
	}{Obj: obj, Off: off, Data: data[off:end]}
	if off == 0 {
		body.Len, body.SHA = len(data), &sha
	}
	var answer struct {
		Off *uint64 `cbor:"off"`
	}
	err = s.do(ctx, cmdPut, true, putTimeout, body, &answer)
	if s.rc(err) == RCOffset {
		return resumeAt(err, obj, len(data))
	}
	if err != nil {
		return 0, err
	}
	// A board that has staged these bytes before may be further on, but only
	// at the start: it knows the object by len and sha.
	if answer.Off == nil {
		return 0, senseless("put has no off")
	}
	got := *answer.Off
	resumed := off == 0 && got > 0 && got <= uint64(len(data))
	if got != uint64(end) && !resumed {
		return 0, senseless("put of bytes %d to %d of %s wants offset %d next", off, end, obj, got)
	}
	return int(got), nil
}

// resumeAt takes the offset out of an answer with rc 4.
func resumeAt(refused error, obj string, size int) (int, error) {
	var rc *smp.RCError
	if !errors.As(refused, &rc) || rc.Off == nil || *rc.Off > uint64(size) {
		return 0, senseless("rc 4 for %s without a sensible offset: %v", obj, refused)
	}
	return int(*rc.Off), errResume
}

// askBuffer reads the size of the board's buffer once (MCUmgr parameters). A
// board without that command has a buffer for its chunk.
func (s *Session) askBuffer(ctx context.Context) error {
	if s.buf != 0 {
		return nil
	}
	var answer struct {
		Size *uint64 `cbor:"buf_size"`
	}
	err := s.client.Do(ctx, smp.Request{Group: groupOS, Cmd: cmdParams, Timeout: otherTimeout}, &answer)
	var refused *smp.RCError
	switch {
	case errors.As(err, &refused):
		s.buf = s.info.Chunk + besidesData
		return nil
	case errors.Is(err, smp.ErrTimeout):
		s.unsure = true
		fallthrough
	case err != nil:
		return fmt.Errorf("ask for the board's buffer: %w", err)
	case answer.Size == nil || *answer.Size < besidesData+64 || *answer.Size > 1<<16:
		return senseless("a buffer of no sensible size")
	}
	s.buf = int(*answer.Size)
	s.client.SetPacketLimit(s.buf)
	return nil
}
