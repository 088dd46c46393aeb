// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/smp"
)

// connected is the first check: it also decides whether this board may be
// tested at all.
func (b *bench) connected(ctx context.Context) error {
	if err := b.connect(ctx); err != nil {
		return err
	}
	if err := b.askBuffer(ctx); err != nil {
		return err
	}
	if err := b.chooseRoot(); err != nil {
		return err
	}
	s := b.state()
	if s == enroll.Blank || s == anyState {
		return nil
	}
	if s == enroll.Locked && !bytes.Equal(b.facts.Rework, sum(b.keys)) {
		return ErrLocked
	}
	board := Board{UID: b.facts.UID, State: s}
	if b.facts.Model != nil {
		board.Model = *b.facts.Model
	}
	if b.cfg.Wipe == nil || !b.cfg.Wipe(board) {
		return ErrNotBlank
	}
	return nil
}

// connect asks for info every 250 ms for up to 10 s.
func (b *bench) connect(ctx context.Context) error {
	const step = "info, every 250 ms for 10 s"
	begin := time.Now()
	for {
		m := b.infoMessage()
		a, _, err := b.wire.exchange(ctx, frame(m.Append(nil)), askAgain, func(got smp.Message) bool { return answers(got, m) })
		if errors.Is(err, errSilent) && time.Since(begin) < bootTime {
			continue
		}
		if err != nil {
			return told(step, "an answer", err)
		}
		r := parseReply(*a)
		if !r.success() {
			return wrong(step, "success", "%v", r)
		}
		b.facts = facts{}
		if err := smp.Unmarshal(a.Payload, &b.facts); err != nil {
			return wrong(step, "the keys of info in their types", "%v", err)
		}
		return nil
	}
}

// askBuffer reads the MCUmgr parameters, which a board need not have.
func (b *bench) askBuffer(ctx context.Context) error {
	var a struct {
		Size *uint64 `cbor:"buf_size"`
	}
	r, err := b.ask(ctx, osCall(cmdParams, false, nil))
	if err != nil {
		return told("MCUmgr parameters", "an answer", err)
	}
	if r.success() && smp.Unmarshal(r.msg.Payload, &a) == nil && a.Size != nil && *a.Size <= 1<<16 {
		b.buf = int(*a.Size)
	}
	return nil
}

// infoFields reads info as a station does.
func (b *bench) infoFields(ctx context.Context) error {
	info, err := b.session.Info(ctx)
	var link *smp.LinkError
	switch {
	case err == nil && info.Proto != 1:
		return wrong("info", "proto 1", "%d", info.Proto)
	case err == nil || errors.As(err, &link) || ctx.Err() != nil:
		return err
	case errors.Is(err, enroll.ErrNoAgent):
		return wrong("info", `agent "station-enroll"`, "another")
	}
	return wrong("info", "every key of the table, in its range, and agreeing with state", "%v", err)
}

func (b *bench) infoAlgorithms(ctx context.Context) error {
	if err := b.look(ctx); err != nil {
		return err
	}
	names := []string{"ES256", "ES384", "EdDSA", "RS256"}
	for _, l := range []struct {
		key  string
		list []string
	}{{"algs", b.facts.Algs}, {"verify", b.facts.Verify}} {
		if len(l.list) == 0 {
			return wrong("info", l.key+" with one name or more", "none")
		}
		for _, name := range l.list {
			if !slices.Contains(names, name) {
				return wrong("info", fmt.Sprintf("names of %v in %s", names, l.key), "%q", name)
			}
		}
	}
	if !slices.Contains(b.facts.Algs, "ES256") {
		return wrong("info", "ES256 in algs", "%v", b.facts.Algs)
	}
	return nil
}

func (b *bench) infoModel(ctx context.Context) error {
	if b.cfg.Model == "" {
		return outside("no model was named")
	}
	if err := b.look(ctx); err != nil {
		return err
	}
	switch {
	case b.facts.Model == nil:
		return wrong("info", fmt.Sprintf("model %q", b.cfg.Model), "none")
	case *b.facts.Model != b.cfg.Model:
		return wrong("info", fmt.Sprintf("model %q", b.cfg.Model), "%q", *b.facts.Model)
	}
	return nil
}

func (b *bench) infoBoot(ctx context.Context) error {
	before := b.facts.Boot
	if err := b.look(ctx); err != nil {
		return err
	}
	switch {
	case len(b.facts.Boot) != 16:
		return wrong("info", "boot of 16 bytes", "%d", len(b.facts.Boot))
	case !bytes.Equal(before, b.facts.Boot):
		return wrong("info twice", fmt.Sprintf("boot %x", before), "%x", b.facts.Boot)
	case bytes.Equal(b.facts.Boot, bytes.Repeat(b.facts.Boot[:1], 16)):
		return wrong("info", "16 random bytes in boot", "%x", b.facts.Boot)
	}
	return nil
}

func (b *bench) osEcho(ctx context.Context) error {
	for _, text := range []string{"hello", ""} {
		step := fmt.Sprintf("OS echo of %q", text)
		r, err := b.ask(ctx, osCall(cmdEcho, true, map[string]any{"d": text}))
		if err != nil {
			return told(step, "success", err)
		}
		if r.plain(plainUnknown) {
			return outside("the board has no OS echo")
		}
		var a struct {
			R *string `cbor:"r"`
		}
		if !r.success() {
			return wrong(step, "success", "%v", r)
		}
		if err := smp.Unmarshal(r.msg.Payload, &a); err != nil || a.R == nil || *a.R != text {
			return wrong(step, fmt.Sprintf(`{"r": %q}`, text), "%x", r.msg.Payload)
		}
	}
	return nil
}

// infoBuffer is what info with all its fields needs.
const infoBuffer = 512

func (b *bench) osParameters(ctx context.Context) error {
	if err := b.askBuffer(ctx); err != nil {
		return err
	}
	if b.buf == 0 {
		return outside("the board has no MCUmgr parameters with buf_size")
	}
	if b.buf < infoBuffer {
		return wrong("MCUmgr parameters", fmt.Sprintf("buf_size of %d or more", infoBuffer), "%d", b.buf)
	}
	r, err := b.ask(ctx, infoCall())
	if err != nil {
		return told("info", "success", err)
	}
	if n := len(r.msg.Append(nil)) + 4; n > b.buf {
		return wrong("info", fmt.Sprintf("a packet that fits buf_size %d", b.buf), "%d bytes", n)
	}
	return nil
}
