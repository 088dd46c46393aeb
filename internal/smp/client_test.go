// SPDX-License-Identifier: Apache-2.0

package smp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

type reading struct {
	V uint64 `cbor:"v"`
}

var question = Request{Group: 64, Cmd: 3, Timeout: time.Second}

func TestDoAcrossDisturbances(t *testing.T) {
	for _, c := range []struct {
		name    string
		handle  func(*peer, Message, int)
		retries int
	}{
		{"clean", func(p *peer, m Message, _ int) { p.answer(m, reading{7}) }, 0},
		{"echo", func(p *peer, m Message, _ int) {
			p.say("\n" + string(AppendPacket(nil, m.Append(nil), true)))
			p.answer(m, reading{7})
		}, 0},
		{"prompt before the answer", func(p *peer, m Message, _ int) {
			p.say("uart:~$ ")
			p.answer(m, reading{7})
		}, 0},
		{"log text between the lines", func(p *peer, m Message, _ int) {
			m.Op++
			m.Payload = append([]byte("\xa2\x61v\x07\x61x\x58\x80"), make([]byte, 128)...)
			lines := AppendPacket(nil, m.Append(nil), true)
			i := bytes.IndexByte(lines, '\n') + 1
			p.say(string(lines[:i]) + "[00:01] <inf> adc\r\n" + string(lines[i:]))
		}, 0},
		{"doubled answer", func(p *peer, m Message, _ int) {
			p.answer(m, reading{7})
			p.answer(m, reading{8})
		}, 0},
		{"answers to others first", func(p *peer, m Message, _ int) {
			for _, other := range []Message{
				{Op: m.Op, Group: m.Group, Cmd: m.Cmd, Seq: m.Seq - 1},
				{Op: m.Op, Group: m.Group, Cmd: m.Cmd + 1, Seq: m.Seq},
				{Op: m.Op, Group: m.Group + 1, Cmd: m.Cmd, Seq: m.Seq},
				{Op: m.Op + 2, Group: m.Group, Cmd: m.Cmd, Seq: m.Seq},
			} {
				p.answer(other, reading{9})
			}
			p.answer(m, reading{7})
		}, 0},
		{"indefinite map", func(p *peer, m Message, _ int) { p.reply(m, []byte("\xbf\x61v\x07\xff")) }, 0},
		{"answer of version 0", func(p *peer, m Message, _ int) { m.Version = 0; p.answer(m, reading{7}) }, 0},
		{"rc 0 beside the content", func(p *peer, m Message, _ int) { p.reply(m, []byte("\xa2\x62rc\x00\x61v\x07")) }, 0},
		{"two answers lost", func(p *peer, m Message, n int) {
			if n > 2 {
				p.answer(m, reading{7})
			}
		}, 2},
		{"noise in the first answer", func(p *peer, m Message, n int) {
			if n == 1 {
				p.say("\x06\x09AAsIAAAB#EABAKCAGQ==\n")
				return
			}
			p.answer(m, reading{7})
		}, 1},
		{"a byte of the first answer lost", func(p *peer, m Message, n int) {
			if n == 1 {
				p.say("\x06\x09AAsIAAABAEABAKCAGQ=\n\x04\x14") // cut, then half a line
				return
			}
			p.say("\n")
			p.answer(m, reading{7})
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			withPeer(t, 0, c.handle, func(t *testing.T, cl *Client) {
				for range 2 {
					var got reading
					if err := cl.Do(t.Context(), question, &got); err != nil || got.V != 7 {
						t.Fatalf("got %+v, %v", got, err)
					}
					if cl.Retries() != c.retries {
						t.Fatalf("%d retries, want %d", cl.Retries(), c.retries)
					}
				}
			})
		})
	}
}

func TestRepeatsKeepTheSequence(t *testing.T) {
	var seqs []uint8
	withPeer(t, 0, func(p *peer, m Message, n int) {
		seqs = append(seqs, m.Seq)
		if n%3 == 0 {
			p.answer(m, nil)
		}
	}, func(t *testing.T, c *Client) {
		for range 2 {
			if err := c.Do(t.Context(), question, nil); err != nil {
				t.Fatal(err)
			}
		}
		s := seqs[0]
		want := []uint8{s, s, s, s + 1, s + 1, s + 1}
		if !bytes.Equal(seqs, want) {
			t.Errorf("sequence %v, want %v", seqs, want)
		}
	})
}

// A late answer to the first try ends the second one; the answer to the second
// must not be taken for that to the next request.
func TestLateAnswer(t *testing.T) {
	withPeer(t, 0, func(p *peer, m Message, n int) {
		if n == 1 {
			time.AfterFunc(1500*time.Millisecond, func() { p.answer(m, reading{1}) })
			return
		}
		time.AfterFunc(700*time.Millisecond, func() { p.answer(m, reading{uint64(n)}) })
	}, func(t *testing.T, c *Client) {
		start := time.Now()
		for _, want := range []uint64{1, 3} {
			var got reading
			if err := c.Do(t.Context(), question, &got); err != nil || got.V != want {
				t.Fatalf("got %+v, %v, want %d", got, err, want)
			}
		}
		if d := time.Since(start); d != 2200*time.Millisecond || c.Retries() != 1 {
			t.Errorf("took %v with %d retries", d, c.Retries())
		}
	})
}

func TestSilence(t *testing.T) {
	for _, c := range []struct {
		baud int
		r    Request
		want time.Duration
	}{
		{0, Request{Timeout: 500 * time.Millisecond}, 1500 * time.Millisecond},
		{0, Request{Timeout: time.Second, Tries: 1}, time.Second},
		{0, Request{}, 6 * time.Second},
		// 24 bytes are sent, the first 0A included: 25 ms at 9600 baud.
		{9600, Request{Timeout: time.Second}, 3 * (time.Second + 24*10*time.Second/9600)},
	} {
		withPeer(t, c.baud, func(*peer, Message, int) {}, func(t *testing.T, cl *Client) {
			start := time.Now()
			err := cl.Do(t.Context(), c.r, nil)
			if !errors.Is(err, ErrTimeout) {
				t.Fatalf("got %v, want ErrTimeout", err)
			}
			if d := time.Since(start); d != c.want {
				t.Errorf("%d baud, %+v: gave up after %v, want %v", c.baud, c.r, d, c.want)
			}
		})
	}
}

// An answer that began in time is waited for as long as the line needs for it.
func TestLineTimeOfAnAnswer(t *testing.T) {
	const baud = 9600
	slow := func(p *peer, m Message, _ int) {
		m.Op++
		m.Payload = append([]byte("\xa2\x61v\x07\x61x\x59\x04\x00"), make([]byte, 1024)...)
		lines := AppendPacket(nil, m.Append(nil), true)
		<-time.After(990 * time.Millisecond)
		for _, b := range lines {
			<-time.After(10 * time.Second / baud)
			p.say(string([]byte{b}))
		}
	}
	withPeer(t, baud, slow, func(t *testing.T, c *Client) {
		var got reading
		if err := c.Do(t.Context(), question, &got); err != nil || got.V != 7 || c.Retries() != 0 {
			t.Errorf("got %+v, %v after %d retries", got, err, c.Retries())
		}
	})
	// Without a line time the same answer is too late.
	withPeer(t, 0, slow, func(t *testing.T, c *Client) {
		if err := c.Do(t.Context(), Request{Timeout: time.Second, Tries: 1}, nil); !errors.Is(err, ErrTimeout) {
			t.Errorf("got %v, want ErrTimeout", err)
		}
	})
}

func TestRefusals(t *testing.T) {
	off := uint64(128)
	for _, c := range []struct {
		name, payload string
		want          RCError
	}{
		{"plain", "\xa1\x62rc\x08", RCError{Group: -1, RC: 8}},
		{"plain with its reason", "\xa2\x62rc\x0c\x63rsn\x63old", RCError{Group: -1, RC: 12, Rsn: "old"}},
		{"of a group", "\xa1\x63err\xa2\x65group\x18\x40\x62rc\x0b", RCError{Group: 64, RC: 11}},
		{"with offset and object", "\xa3\x63err\xa2\x65group\x18\x40\x62rc\x04\x63off\x18\x80\x63obj\x65chain", RCError{Group: 64, RC: 4, Off: &off, Obj: "chain"}},
		{"offset of the wrong type", "\xa2\x63err\xa2\x65group\x18\x40\x62rc\x04\x63off\x61x", RCError{Group: 64, RC: 4}},
		{"both forms", "\xa2\x63err\xa2\x65group\x18\x40\x62rc\x04\x62rc\x08", RCError{Group: 64, RC: 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			withPeer(t, 0, func(p *peer, m Message, _ int) { p.reply(m, []byte(c.payload)) },
				func(t *testing.T, cl *Client) {
					err := cl.Do(t.Context(), question, nil)
					var got *RCError
					if !errors.As(err, &got) {
						t.Fatalf("got %v, want an RCError", err)
					}
					if got.Group != c.want.Group || got.RC != c.want.RC || got.Rsn != c.want.Rsn || got.Obj != c.want.Obj ||
						(got.Off == nil) != (c.want.Off == nil) || got.Off != nil && *got.Off != *c.want.Off {
						t.Errorf("got %+v, want %+v", got, c.want)
					}
					if !strings.Contains(err.Error(), "group 64 command 3: the board refuses with rc") {
						t.Errorf("error reads %q", err)
					}
				})
		})
	}
}

func TestMalformedAnswers(t *testing.T) {
	for _, c := range []struct{ name, payload string }{
		{"not a map", "\x01"},
		{"too deep", "\xa1\x61x\x81\x81\x81\x80"},
		{"a key twice", "\xa2\x61v\x07\x61v\x07"},
		{"something behind", "\xa0\x00"},
		{"wrong type", "\xa1\x61v\x617"},
		{"rc of the wrong type", "\xa1\x62rc\x618"},
		{"err without its map", "\xa1\x63err\x08"},
	} {
		t.Run(c.name, func(t *testing.T) {
			withPeer(t, 0, func(p *peer, m Message, _ int) { p.reply(m, []byte(c.payload)) },
				func(t *testing.T, cl *Client) {
					if err := cl.Do(t.Context(), question, new(reading)); !errors.Is(err, ErrAnswer) || cl.Retries() != 0 {
						t.Errorf("got %v after %d retries, want ErrAnswer", err, cl.Retries())
					}
				})
		})
	}
	t.Run("over 8 KiB", func(t *testing.T) {
		withPeer(t, 0, func(p *peer, m Message, _ int) { p.reply(m, make([]byte, MaxPacket)) },
			func(t *testing.T, cl *Client) {
				if err := cl.Do(t.Context(), question, nil); !errors.Is(err, ErrAnswer) {
					t.Errorf("got %v, want ErrAnswer", err)
				}
			})
	})
}

func TestPacketLimit(t *testing.T) {
	sent := 0
	withPeer(t, 0, func(p *peer, m Message, _ int) {
		sent++
		p.answer(m, nil)
	}, func(t *testing.T, c *Client) {
		// Header, CRC, length: 12 bytes; {"data": h'..'}: 1 + 5 + 2 + n.
		c.SetPacketLimit(12 + 8 + 100)
		body := func(n int) any { return map[string][]byte{"data": make([]byte, n)} }
		if err := c.Do(t.Context(), Request{Write: true, Body: body(100)}, nil); err != nil || sent != 1 {
			t.Fatalf("a packet that just fits: %v, %d sent", err, sent)
		}
		if err := c.Do(t.Context(), Request{Write: true, Body: body(101)}, nil); !errors.Is(err, ErrTooLarge) || sent != 1 {
			t.Fatalf("got %v with %d sent, want ErrTooLarge", err, sent)
		}
		c.SetPacketLimit(0)
		if err := c.Do(t.Context(), Request{Write: true, Body: body(MaxPacket)}, nil); !errors.Is(err, ErrTooLarge) {
			t.Fatalf("got %v, want ErrTooLarge", err)
		}
	})
}

func TestUnplugged(t *testing.T) {
	withPeer(t, 0, func(p *peer, _ Message, _ int) { _ = p.Close() }, func(t *testing.T, c *Client) {
		err := c.Do(t.Context(), question, nil)
		var link *LinkError
		// Which of the two depends on whether the deadline or the read came first
		// after the other end of the pipe had gone.
		if !errors.As(err, &link) || !(errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe)) {
			t.Errorf("got %v, want a LinkError around EOF or ErrClosedPipe", err)
		}
	})
}

// A board that takes no bytes loses the link after the write's deadline.
func TestBoardTakesNoBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := NewClient(ClientConfig{Stream: near})
		start := time.Now()
		err := c.Do(t.Context(), question, nil)
		var link *LinkError
		if !errors.As(err, &link) || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != writeGrace {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		if err := errors.Join(c.Close(), far.Close()); err != nil {
			t.Error(err)
		}
	})
}

// empty is a line that returns nothing from Read, and no error.
type empty struct{ net.Conn }

func (empty) Read([]byte) (int, error) { return 0, nil }

func TestReadsWithoutProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, far) }() // ends with the pipe
		c := NewClient(ClientConfig{Stream: empty{near}})
		var link *LinkError
		if err := c.Do(t.Context(), question, nil); !errors.As(err, &link) || !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("got %v", err)
		}
		if err := errors.Join(c.Close(), far.Close()); err != nil {
			t.Error(err)
		}
	})
}

func TestOneRequestAtATime(t *testing.T) {
	busy := 0
	withPeer(t, 0, func(p *peer, m Message, _ int) {
		if busy++; busy > 1 {
			t.Error("a request came before the answer to the one before it")
		}
		time.AfterFunc(500*time.Millisecond, func() {
			busy--
			p.answer(m, nil)
		})
	}, func(t *testing.T, c *Client) {
		errs := make(chan error)
		for range 4 {
			go func() { errs <- c.Do(t.Context(), question, nil) }()
		}
		for range 4 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}
