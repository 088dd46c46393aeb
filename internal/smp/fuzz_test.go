// SPDX-License-Identifier: Apache-2.0

package smp

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// FuzzDecoder: what comes of a stream does not depend on how it is cut, every
// byte of memory is bounded, and each message survives another round.
func FuzzDecoder(f *testing.F) {
	for _, c := range vectors(f, "frame.txt") {
		f.Add(c.Fields["packet"], uint16(1))
		f.Add(c.Fields["stream"], uint16(5))
	}
	f.Fuzz(func(t *testing.T, stream []byte, piece uint16) {
		var d Decoder
		messages, text := decode(&d, stream, int(piece)+1)
		if cap(d.line) > 2*(MaxLine+1) || cap(d.packet) > 2*MaxPacket {
			t.Fatalf("line of %d and packet of %d bytes are kept", cap(d.line), cap(d.packet))
		}
		whole, wholeText := decode(new(Decoder), stream, len(stream))
		if len(whole) != len(messages) || !bytes.Equal(wholeText, text) {
			t.Fatalf("cut: %d messages, text %q; whole: %d messages, text %q", len(messages), text, len(whole), wholeText)
		}
		for i, m := range messages {
			if !bytes.Equal(m, whole[i]) {
				t.Fatalf("message %d: cut %x, whole %x", i, m, whole[i])
			}
			again, rest := decode(new(Decoder), AppendPacket(nil, m, true), 64)
			if len(again) != 1 || !bytes.Equal(again[0], m) || len(rest) != 0 {
				t.Fatalf("message %x came back as %x with text %q", m, again, rest)
			}
		}
	})
}

// FuzzParseMessage: what parses is encoded as the same bytes.
func FuzzParseMessage(f *testing.F) {
	for _, c := range vectors(f, "message.txt") {
		f.Add(c.Fields["message"])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMessage(b)
		if err != nil {
			return
		}
		if got := m.Append(nil); !bytes.Equal(got, b) {
			t.Fatalf("%x became %x", b, got)
		}
	})
}

// FuzzUnmarshal: the scan and the decoder agree on what is well-formed, and
// what was decoded has one deterministic form that decodes to itself.
func FuzzUnmarshal(f *testing.F) {
	for _, c := range vectors(f, "cbor.txt") {
		f.Add(c.Fields["in"])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 0 && scan(b, nil) == nil {
			m, err := cborModes()
			if err != nil {
				t.Fatal(err)
			}
			if err := m.dec.Wellformed(b); err != nil {
				t.Fatalf("%x passed the scan: %v", b, err)
			}
			if err := Unmarshal(b, &struct{}{}); err != nil {
				t.Fatalf("ignored keys of %x are refused: %v", b, err)
			}
		}
		var s, again schema
		if Unmarshal(b, &s) != nil {
			return
		}
		one, err := Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := Unmarshal(one, &again); err != nil {
			t.Fatalf("%x became %x, which is refused: %v", b, one, err)
		}
		two, err := Marshal(again)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one, two) {
			t.Fatalf("%x became %x, then %x", b, one, two)
		}
	})
}

// FuzzRefusal: the verdict on an answer never fails in another way than by a
// refusal or an error.
func FuzzRefusal(f *testing.F) {
	for _, c := range vectors(f, "cbor.txt") {
		f.Add(c.Fields["in"])
	}
	f.Add([]byte("\xa1\x62rc\x08"))
	f.Add([]byte("\xa2\x63err\xa2\x65group\x18\x40\x62rc\x04\x63off\x18\x80"))
	f.Fuzz(func(t *testing.T, b []byte) {
		rc, err := refusal(b)
		if rc != nil && (err != nil || rc.RC == 0 || rc.Group < -1) {
			t.Fatalf("%x: %+v, %v", b, rc, err)
		}
	})
}

// FuzzClient: whatever a board says to a request, Do ends in time with an
// answer or an error of its list, and keeps no more than it promised. The said
// is cut at each ff fe into what the board says to one send: as it is after a
// byte 0, as an answer after 1, as a late answer after 2; 3 is an echo.
func FuzzClient(f *testing.F) {
	f.Add([]byte{1, 0xa0})
	f.Add([]byte{1, 0xa1, 0x63, 'o', 'f', 'f', 0x05})
	f.Fuzz(func(t *testing.T, said []byte) {
		turns := bytes.Split(said, []byte{0xff, 0xfe})
		reply := func(p *peer, m Message, n int) {
			turn := turns[(n-1)%len(turns)]
			if len(turn) == 0 {
				return
			}
			late := m
			late.Seq--
			switch turn[0] % 4 {
			case 0:
				p.say(string(turn[1:]))
			case 1:
				p.reply(m, turn[1:min(len(turn), 8000)])
			case 2:
				p.reply(late, turn[1:min(len(turn), 8000)])
			case 3:
				p.say(string(AppendPacket(nil, m.Append(nil), true)))
			}
		}
		withPeer(t, 0, reply, func(t *testing.T, c *Client) {
			begin := time.Now()
			for range 3 {
				var out struct {
					Off  *uint64 `cbor:"off"`
					Data []byte  `cbor:"data"`
				}
				err := c.Do(t.Context(), Request{Group: 64, Cmd: 3}, &out)
				var rc *RCError
				if err != nil && !errors.As(err, &rc) && !errors.Is(err, ErrTimeout) && !errors.Is(err, ErrBabble) && !errors.Is(err, ErrAnswer) {
					t.Errorf("an error of another kind: %v", err)
				}
			}
			if took, most := time.Since(begin), 3*defaultTries*defaultTimeout; took > most {
				t.Errorf("three requests took %v, more than %v", took, most)
			}
			if n := len(c.Console()); n > MaxConsole {
				t.Errorf("%d bytes of text are kept", n)
			}
		})
	})
}
