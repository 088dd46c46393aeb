// SPDX-License-Identifier: Apache-2.0

package smp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"provisioning.example/station/internal/vector"
)

func vectors(t testing.TB, name string) []vector.Case {
	t.Helper()
	cases, err := vector.Read("../../testdata/vectors/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

// decode feeds stream in pieces of n bytes and returns what comes of it.
func decode(d *Decoder, stream []byte, n int) (messages [][]byte, text []byte) {
	for len(stream) > 0 {
		part := stream[:min(n, len(stream))]
		d.Feed(part, func(m []byte) { messages = append(messages, bytes.Clone(m)) },
			func(b []byte) { text = append(text, b...) })
		stream = stream[len(part):]
	}
	return messages, text
}

func TestFrameVectors(t *testing.T) {
	for _, c := range vectors(t, "frame.txt") {
		t.Run(c.Name, func(t *testing.T) {
			switch {
			case c.Has("crc"):
				if got := crc16(c.Fields["crc_in"]); got != binary.BigEndian.Uint16(c.Fields["crc"]) {
					t.Errorf("got %04x, want %x", got, c.Fields["crc"])
				}
			case c.Has("packet"):
				message, packet := c.Fields["message"], c.Fields["packet"]
				if got := AppendPacket(nil, message, true); !bytes.Equal(got, packet) {
					t.Errorf("encoded as\n%q, want\n%q", got, packet)
				}
				if got := AppendPacket(nil, message, false); !bytes.Equal(got, append([]byte("\n"), packet...)) {
					t.Errorf("no line end before the packet: %q", got)
				}
				checkStream(t, packet, message, nil)
			case c.Has("message"):
				checkStream(t, c.Fields["stream"], c.Fields["message"], c.Fields["text"])
			case c.Has("refuse_text") && c.Has("stream"):
				checkRefused(t, c.Fields["stream"])
			default:
				t.Error("the case says nothing")
			}
		})
	}
}

func checkStream(t *testing.T, stream, message, text []byte) {
	t.Helper()
	for _, n := range []int{1, 3, len(stream)} {
		got, rest := decode(new(Decoder), stream, n)
		if len(got) != 1 || !bytes.Equal(got[0], message) {
			t.Errorf("in pieces of %d: got %x, want one message %x", n, got, message)
		}
		if !bytes.Equal(rest, text) {
			t.Errorf("in pieces of %d: text %q, want %q", n, rest, text)
		}
	}
}

func checkRefused(t *testing.T, stream []byte) {
	t.Helper()
	for _, n := range []int{1, 3, len(stream)} {
		if got, _ := decode(new(Decoder), stream, n); len(got) != 0 {
			t.Errorf("in pieces of %d: got %x, want nothing", n, got)
		}
	}
}

// Bits behind the last byte are not zero: one packet has one encoding.
func TestBase64TrailingBits(t *testing.T) {
	checkStream(t, []byte("\x06\x09AAsIAAABAEABAKCAGQ==\n"), []byte("\x08\x00\x00\x01\x00\x40\x01\x00\xa0"), nil)
	checkRefused(t, []byte("\x06\x09AAsIAAABAEABAKCAGR==\n"))
}

func TestMessageVectors(t *testing.T) {
	for _, c := range vectors(t, "message.txt") {
		t.Run(c.Name, func(t *testing.T) {
			m, err := ParseMessage(c.Fields["message"])
			if c.Has("refuse_text") {
				if err == nil {
					t.Fatalf("accepted as %+v", m)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			f := c.Fields
			want := Message{
				Op: f["op"][0], Version: f["version"][0], Flags: f["flags"][0],
				Group: binary.BigEndian.Uint16(f["group"]), Seq: f["seq"][0], Cmd: f["cmd"][0],
				Payload: f["payload"],
			}
			if got, want := m.Append(nil), want.Append(nil); !bytes.Equal(got, f["message"]) || !bytes.Equal(want, f["message"]) {
				t.Errorf("re-encoded as %x, fields give %x, want %x", got, want, f["message"])
			}
		})
	}
}

// schema is the one that the head of cbor.txt describes.
type schema struct {
	N *uint64   `cbor:"n,omitempty"`
	I *int64    `cbor:"i,omitempty"`
	B *[]byte   `cbor:"b,omitempty"`
	D *[4]byte  `cbor:"d,omitempty"`
	T *string   `cbor:"t,omitempty"`
	F *bool     `cbor:"f,omitempty"`
	L *[]string `cbor:"l,omitempty"`
	M *struct {
		N *uint64   `cbor:"n,omitempty"`
		L *[]string `cbor:"l,omitempty"`
	} `cbor:"m,omitempty"`
}

func TestCBORVectors(t *testing.T) {
	for _, c := range vectors(t, "cbor.txt") {
		t.Run(c.Name, func(t *testing.T) {
			var s schema
			err := Unmarshal(c.Fields["in"], &s)
			if c.Has("refuse_text") {
				checkReason(t, err, c.Text("refuse_text"))
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, c.Fields["out"]) {
				t.Errorf("got %x, want %x", got, c.Fields["out"])
			}
		})
	}
}

// checkReason checks that err is the refusal that reason stands for.
func checkReason(t *testing.T, err error, reason string) {
	t.Helper()
	reasons := map[string]error{
		"map": errNotMap, "truncated": errTruncated, "malformed": errMalformed, "trailing": errTrailing,
		"indefinite-string": errIndefText, "key": errKey, "duplicate-key": errDuplicate, "type": errType,
		"limit-nesting": errNesting, "limit-map": errMap, "limit-array": errArray, "limit-text": errText,
	}
	want, ok := reasons[reason]
	if !ok {
		t.Fatalf("the vector gives the unknown reason %q", reason)
	}
	if err == nil {
		t.Fatalf("accepted, want %v", want)
	}
	if errors.Is(err, want) {
		return
	}
	for other, e := range reasons {
		if errors.Is(err, e) {
			t.Fatalf("refused for %s, want %s", other, reason)
		}
	}
	// The value itself is checked by the decoder: overflow, UTF-8.
	if reason != "type" {
		t.Fatalf("got %v, want %v", err, want)
	}
}
