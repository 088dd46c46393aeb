// SPDX-License-Identifier: Apache-2.0

package conform_test

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"provisioning.example/station/internal/conform"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/virtual"
)

// A crooked line makes a sound board look like one that does not keep the
// protocol: it changes the messages of the board, or what the board receives.
type crooked struct {
	smp.Stream
	answer  func(*smp.Message)        // nil: as it is
	request func(lines []byte) []byte // nil: as it is

	dec   smp.Decoder
	ready []byte
}

func (c *crooked) Write(p []byte) (int, error) {
	sent := p
	if c.request != nil {
		sent = c.request(bytes.Clone(p))
	}
	if _, err := c.Stream.Write(sent); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *crooked) Read(p []byte) (int, error) {
	var buf [1024]byte
	for len(c.ready) == 0 {
		n, err := c.Stream.Read(buf[:])
		c.dec.Feed(buf[:n], func(b []byte) {
			m, err := smp.ParseMessage(b)
			if err == nil && c.answer != nil {
				c.answer(&m)
			}
			c.ready = smp.AppendPacket(c.ready, m.Append(nil), false)
		}, func(text []byte) { c.ready = append(c.ready, text...) })
		if err != nil && len(c.ready) == 0 {
			return 0, err
		}
	}
	n := copy(p, c.ready)
	c.ready = c.ready[n:]
	return n, nil
}

// edit changes the payload of an answer as a map.
func edit(change func(map[string]any)) func(*smp.Message) {
	return func(m *smp.Message) {
		v := map[string]any{}
		if smp.Unmarshal(m.Payload, &v) != nil {
			return
		}
		change(v)
		if p, err := smp.Marshal(v); err == nil {
			m.Payload = p
		}
	}
}

// enrollRC are answers with a code of the enrollment group.
func enrollRC(change func(v map[string]any)) func(*smp.Message) {
	return edit(func(v map[string]any) {
		if _, ok := v["err"]; ok {
			change(v)
		}
	})
}

// reframe hands the bytes of every packet that begins in p to fix.
func reframe(fix func(raw []byte) []byte) func([]byte) []byte {
	return func(p []byte) []byte {
		var out []byte
		for line := range bytes.Lines(p) {
			text, ok := bytes.CutPrefix(line, []byte{6, 9})
			raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
			if !ok || err != nil || len(raw) < 12 {
				out = append(out, line...)
				continue
			}
			out = append(out, fix(raw)...)
		}
		return out
	}
}

// whole frames the message in raw anew, with the length and CRC it should have.
func whole(raw []byte) []byte { return smp.AppendPacket(nil, raw[2:len(raw)-2], false) }

// Each way of being wrong is found by these checks.
func TestCrookedBoards(t *testing.T) {
	// All checks that demand a refusal of the enrollment group.
	refusing := strings.Fields(`cbor/duplicate cbor/trailing cbor/malformed blank/states blank/order keygen/algorithm keygen/other-alg
		keygen/drops keyed/states csr/shape get/beyond put/gap put/repeat put/overlap put/beyond put/max put/chunk
		commit/unknown commit/incomplete commit/digest commit/parse commit/length commit/anchors commit/rework commit/key
		commit/signature commit/name commit/ca commit/key-usage commit/path-length commit/algorithm commit/refused
		installed/states tls/refuses lock/digest reset/ram lock/state locked/refuses locked/order rework/no-nonce
		rework/refuses rework/repeat`)
	plain := strings.Fields("header/version header/group header/command header/op locked/groups")
	for name, c := range map[string]struct {
		line  crooked
		wrong []string
	}{
		"other codes":   {crooked{answer: enrollRC(func(v map[string]any) { v["err"] = map[string]any{"group": 64, "rc": 99} })}, refusing},
		"another group": {crooked{answer: enrollRC(func(v map[string]any) { v["err"] = map[string]any{"group": 65, "rc": 1} })}, refusing},
		"no refusal": {crooked{answer: enrollRC(func(v map[string]any) { clear(v) })}, slices.DeleteFunc(slices.Clone(refusing), func(id string) bool {
			return id == "keygen/drops" || id == "reset/ram" // get has an answer then, without data
		})},
		"codes as plain rc": {crooked{answer: enrollRC(func(v map[string]any) { clear(v); v["rc"] = 1 })}, refusing},
		"other plain codes": {crooked{answer: edit(func(v map[string]any) {
			if v["rc"] != nil {
				v["rc"] = 5
			}
		})}, plain},
		"no off":   {crooked{answer: enrollRC(func(v map[string]any) { delete(v, "off") })}, strings.Fields("get/beyond put/gap put/repeat put/overlap commit/incomplete")},
		"no obj":   {crooked{answer: enrollRC(func(v map[string]any) { delete(v, "obj") })}, strings.Fields("commit/incomplete commit/digest")},
		"flags":    {crooked{answer: func(m *smp.Message) { m.Flags = 1 }}, []string{"header/answer"}},
		"version":  {crooked{answer: func(m *smp.Message) { m.Version = 0 }}, []string{"header/answer"}},
		"the seq":  {crooked{answer: func(m *smp.Message) { m.Seq++ }}, []string{"connect/info"}},
		"no new":   {crooked{answer: edit(func(v map[string]any) { delete(v, "new") })}, []string{"keygen/new"}},
		"bad CRCs": {crooked{request: reframe(whole)}, []string{"frame/crc", "frame/length"}},
		"strays":   {crooked{request: func(p []byte) []byte { return bytes.ReplaceAll(p, []byte{'\n', 4, 20}, []byte{'\n', 6, 9}) }}, []string{"frame/stray", "frame/short-lines"}},
		"answers": {crooked{request: reframe(func(raw []byte) []byte {
			raw[2] &^= 1 // an answer becomes a request
			return whole(raw)
		})}, []string{"frame/echo"}},
		"CR": {crooked{request: func(p []byte) []byte { return bytes.ReplaceAll(p, []byte("\r\n"), []byte("!\n")) }}, []string{"frame/cr-lf"}},
		"the first marker": {crooked{request: func(p []byte) []byte {
			return bytes.ReplaceAll(p, []byte("\x06\x09AAsI\x06\x09"), []byte("\x06\x09AAsI"))
		}}, []string{"frame/last-marker"}},
		"text before": {crooked{request: func(p []byte) []byte { return bytes.ReplaceAll(p, []byte("$ \x06\x09"), []byte("$ ")) }}, []string{"frame/text-before"}},
	} {
		t.Run(name, func(t *testing.T) {
			found := c.line.test(t)
			for _, id := range c.wrong {
				if r := found[id]; r.Verdict != conform.Wrong {
					t.Errorf("%s: %s %s", id, r.Verdict, r.Reason)
				}
			}
		})
	}
}

// test runs all checks over a sound board behind a crooked line.
func (c crooked) test(t *testing.T) map[string]conform.Result {
	t.Helper()
	found := map[string]conform.Result{}
	synctest.Test(t, func(t *testing.T) {
		b, err := virtual.New(virtual.Config{UID: []byte("uid")})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		c.Stream = b.Dial()
		defer c.Close()
		if _, err := conform.Run(t.Context(), conform.Config{Stream: &c, Report: func(r conform.Result) { found[r.ID] = r }}); err != nil {
			t.Fatal(err)
		}
	})
	return found
}
