// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"provisioning.example/station/internal/smp"
)

// lineLimit is the size of a line with marker and 0A.
const lineLimit = 127

// infoMessage is info as a SMP message with the next sequence number.
func (b *bench) infoMessage() smp.Message {
	return smp.Message{Version: smp.Version, Group: b.group(), Seq: b.wire.next(), Payload: []byte{0xa0}}
}

// heard sends info as form makes it and demands its answer.
func (b *bench) heard(ctx context.Context, step string, form func(message []byte) []byte) error {
	m := b.infoMessage()
	return b.hears(ctx, step, m, form(m.Append(nil)))
}

// hears sends raw, in which m stands, and demands the answer to m.
func (b *bench) hears(ctx context.Context, step string, m smp.Message, raw []byte) error {
	for range tries {
		_, _, err := b.wire.exchange(ctx, raw, infoTimeout, func(got smp.Message) bool { return answers(got, m) })
		if !errors.Is(err, errSilent) {
			return told(step, "the answer to info", err)
		}
	}
	return told(step, "the answer to info", errSilent)
}

// ignored sends raw, in which m stands somehow, and then a sound info: that
// must be answered, and m not. (A console that echoes returns m itself.)
func (b *bench) ignored(ctx context.Context, step string, m smp.Message, raw []byte) error {
	sound := b.infoMessage()
	raw = append(bytes.Clone(raw), frame(sound.Append(nil))...)
	for range tries {
		_, before, err := b.wire.exchange(ctx, raw, infoTimeout, func(got smp.Message) bool { return answers(got, sound) })
		for _, o := range before {
			echo := o.Op == m.Op && bytes.Equal(o.Payload, m.Payload)
			if o.Seq == m.Seq && o.Group == m.Group && o.Cmd == m.Cmd && !echo {
				return wrong(step, "silence", "a message with op %d and payload %x", o.Op, o.Payload)
			}
		}
		if !errors.Is(err, errSilent) {
			return told(step+", then a sound info", "the answer to info", err)
		}
	}
	return told(step+", then a sound info", "the answer to info", errSilent)
}

func (b *bench) frameAnswer(ctx context.Context) error {
	const step = "the answer to info"
	if err := b.heard(ctx, "info", frame); err != nil {
		return err
	}
	for raw := range bytes.Lines(b.wire.tap.received()) {
		first, next := bytes.LastIndex(raw, []byte{6, 9}), bytes.LastIndex(raw, []byte{4, 20})
		at := max(first, next)
		if at < 0 || !bytes.HasSuffix(raw, []byte("\n")) {
			continue // console text, or a prompt that is not ended
		}
		text := strings.TrimRight(string(raw[at+2:]), "\r\n")
		_, err := base64.StdEncoding.Strict().DecodeString(text)
		switch {
		case at > 0:
			return wrong(step, "0A before the marker: it stands in column 0", "%q before it", raw[:at])
		case len(raw) > lineLimit:
			return wrong(step, fmt.Sprintf("lines of at most %d bytes", lineLimit), "one of %d", len(raw))
		case err != nil:
			return wrong(step, "base64, cut at a multiple of 4 characters", "%q: %v", text, err)
		}
	}
	return nil
}

func (b *bench) frameCRLF(ctx context.Context) error {
	return b.heard(ctx, "info with lines that end in 0D 0A", func(m []byte) []byte {
		return bytes.ReplaceAll(frame(m), []byte("\n"), []byte("\r\n"))
	})
}

func (b *bench) frameShort(ctx context.Context) error {
	return b.heard(ctx, "info in lines of four characters", func(m []byte) []byte {
		text := lines(m)[0][2:] // info is one line
		out := []byte("\n")
		for marker := "\x06\x09"; len(text) > 0; marker = "\x04\x14" {
			out = append(append(append(out, marker...), text[:4]...), '\n')
			text = text[4:]
		}
		return out
	})
}

func (b *bench) frameTextBefore(ctx context.Context) error {
	return b.heard(ctx, "info behind a prompt", func(m []byte) []byte {
		return append([]byte("\nuart:~$ "), smp.AppendPacket(nil, m, true)...)
	})
}

func (b *bench) frameLastMarker(ctx context.Context) error {
	err := b.heard(ctx, "info behind the beginning of a packet, on one line", func(m []byte) []byte {
		return append([]byte("\n\x06\x09AAsI"), smp.AppendPacket(nil, m, true)...)
	})
	if err != nil {
		return err
	}
	return b.heard(ctx, "info behind a continuation, on one line", func(m []byte) []byte {
		return append([]byte("\n\x04\x14AAsI\x00\xff"), smp.AppendPacket(nil, m, true)...)
	})
}

func (b *bench) frameLongText(ctx context.Context) error {
	return b.heard(ctx, "info behind a line of 5000 bytes", func(m []byte) []byte {
		return append(bytes.Repeat([]byte("="), 5000), frame(m)...)
	})
}

// longInfo is a sound info whose packet takes more than one line.
func (b *bench) longInfo() smp.Message {
	m := b.infoMessage()
	m.Payload, _ = smp.Marshal(map[string]any{"zz-padding": make([]byte, 120)}) // always encodes
	return m
}

func (b *bench) frameHalf(ctx context.Context) error {
	m := b.longInfo()
	if err := b.hears(ctx, "info in a packet of two lines", m, frame(m.Append(nil))); err != nil {
		return err
	}
	m = b.longInfo()
	half := lines(m.Append(nil))[0]
	return b.ignored(ctx, "the first line of a packet of two", m, append(append([]byte("\n"), half...), '\n'))
}

func (b *bench) frameStray(ctx context.Context) error {
	m := b.infoMessage()
	stray := bytes.Replace(frame(m.Append(nil)), []byte{6, 9}, []byte{4, 20}, 1)
	return b.ignored(ctx, "a whole packet behind 04 14", m, stray)
}

func (b *bench) frameBase64(ctx context.Context) error {
	for _, edit := range []struct {
		step   string
		change func([]byte) []byte
	}{
		{"a packet with ! in its base64", func(l []byte) []byte { l[6] = '!'; return l }},
		{"a packet with padding inside", func(l []byte) []byte { l[5] = '='; return l }},
		{"a packet that lacks its last character", func(l []byte) []byte { return l[:len(l)-1] }},
	} {
		m := b.infoMessage()
		l := edit.change(lines(m.Append(nil))[0])
		if err := b.ignored(ctx, edit.step, m, append(append([]byte("\n"), l...), '\n')); err != nil {
			return err
		}
	}
	return nil
}

// packet makes one console line of raw bytes: length, message, CRC as given.
func packet(raw []byte) []byte {
	out := []byte("\n\x06\x09")
	return append(base64.StdEncoding.AppendEncode(out, raw), '\n')
}

// decoded are the bytes of the packet that carries a short message.
func decoded(message []byte) []byte {
	raw, _ := base64.StdEncoding.DecodeString(string(lines(message)[0][2:])) // made here
	return raw
}

func (b *bench) frameCRC(ctx context.Context) error {
	m := b.infoMessage()
	raw := decoded(m.Append(nil))
	raw[len(raw)-1] ^= 1
	return b.ignored(ctx, "info with one bit of its CRC changed", m, packet(raw))
}

func (b *bench) frameLength(ctx context.Context) error {
	for _, by := range []int{1, -1} {
		m := b.infoMessage()
		raw := decoded(m.Append(nil))
		raw[1] += byte(by)
		step := fmt.Sprintf("info with a length field of %d, its packet has %s behind it", raw[1], hex.EncodeToString(raw[2:]))
		if err := b.ignored(ctx, step, m, packet(raw)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) frameEcho(ctx context.Context) error {
	for _, op := range []uint8{smp.OpReadAnswer, smp.OpWriteAnswer} {
		m := b.infoMessage()
		m.Op = op
		if err := b.ignored(ctx, fmt.Sprintf("an answer (op %d) comes back from the line", op), m, frame(m.Append(nil))); err != nil {
			return err
		}
	}
	return nil
}
