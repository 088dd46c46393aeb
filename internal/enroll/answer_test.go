// SPDX-License-Identifier: Apache-2.0

package enroll_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/virtual"
)

// parrot answers info as a sound board would, and everything else with the
// payloads in turn, the last of them for ever.
func parrot(line *virtual.End, info []byte, payloads [][]byte) {
	var dec smp.Decoder
	buf := make([]byte, 4096)
	for {
		n, err := line.Read(buf)
		if err != nil {
			return
		}
		dec.Feed(buf[:n], func(message []byte) {
			m, err := smp.ParseMessage(message)
			if err != nil {
				return
			}
			answer := m
			answer.Op++
			switch {
			case m.Group == 64 && m.Cmd == 0:
				answer.Payload = info
			default:
				answer.Payload = payloads[0]
				if len(payloads) > 1 {
					payloads = payloads[1:]
				}
			}
			_, _ = line.Write(smp.AppendPacket(nil, answer.Append(nil), false)) // the other end may be gone
		}, func([]byte) {})
	}
}

// pieces cuts data into payloads at each ff fe, at most 16 of them.
func pieces(data []byte) [][]byte {
	out := [][]byte{nil}
	for i := 0; i < len(data); i++ {
		if i+1 < len(data) && data[i] == 0xff && data[i+1] == 0xfe && len(out) < 16 {
			out = append(out, nil)
			i++
			continue
		}
		last := len(out) - 1
		if len(out[last]) < 4096 {
			out[last] = append(out[last], data[i])
		}
	}
	return out
}

// FuzzAnswers: whatever a board answers, every method ends in time, and what it
// returns is within its bounds.
func FuzzAnswers(f *testing.F) {
	add := func(answers ...map[string]any) {
		var data []byte
		for i, a := range answers {
			if i > 0 {
				data = append(data, 0xff, 0xfe)
			}
			data = append(data, encode(f, a)...)
		}
		f.Add(data)
	}
	sha := make([]byte, 32)
	add(map[string]any{})
	add(map[string]any{"spki": sha, "new": true})
	add(map[string]any{"len": 3, "sha": sha}, map[string]any{"off": 0, "len": 3, "data": []byte("abc")})
	add(map[string]any{"buf_size": 512}, map[string]any{"off": 64}, map[string]any{"off": 128})
	add(map[string]any{"buf_size": 1 << 40})
	add(map[string]any{"off": 0, "len": 8192, "data": make([]byte, 64)}, map[string]any{"off": 64, "len": 8192, "data": make([]byte, 64)})
	add(map[string]any{"off": 0, "len": uint64(1) << 63, "data": []byte{}})
	add(map[string]any{"err": map[string]any{"group": 64, "rc": 4}, "off": 5})
	add(map[string]any{"err": map[string]any{"group": 64, "rc": 4}})
	add(map[string]any{"err": map[string]any{"group": 64, "rc": 13}})
	add(map[string]any{"err": map[string]any{"group": 64, "rc": 5}, "obj": "chain"})
	add(map[string]any{"rc": 8})
	add(map[string]any{"state": 2}, map[string]any{"state": 300})
	add(map[string]any{"sig": make([]byte, 2000)})
	f.Add([]byte{0xbf, 0x63, 's', 'i', 'g', 0x41, 0x00, 0xff})

	info := encode(f, goodInfo())
	f.Fuzz(func(t *testing.T, data []byte) {
		synctest.Test(t, func(t *testing.T) {
			station, board := virtual.Line()
			go parrot(board, info, pieces(data))
			client := smp.NewClient(smp.ClientConfig{Stream: station})
			defer client.Close()
			ask(t, enroll.New(enroll.Config{Client: client}))
		})
	})
}

// ask calls every method once.
func ask(t *testing.T, s *enroll.Session) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if csr, err := s.CSR(ctx, "unit", "", [32]byte{}); err == nil && (len(csr) == 0 || len(csr) > 8192) {
		t.Errorf("a request of %d bytes", len(csr))
	}
	if data, err := s.Get(ctx, "chain"); err == nil && len(data) > 8192 {
		t.Errorf("an object of %d bytes", len(data))
	}
	for _, sign := range []func() ([]byte, error){
		func() ([]byte, error) { return s.Prove(ctx, [32]byte{}) },
		func() ([]byte, error) { return s.TLSSign(ctx, []byte{1}) },
	} {
		if sig, err := sign(); err == nil && (len(sig) == 0 || len(sig) > 1024) {
			t.Errorf("a signature of %d bytes", len(sig))
		}
	}
	errs := []error{s.Put(ctx, "chain", make([]byte, 500)), s.Commit(ctx, [32]byte{}, nil, nil), s.Lock(ctx, [32]byte{}), s.Rework(ctx, 0, []byte{1})}
	_, _, keygenErr := s.Keygen(ctx, "ES256", [32]byte{}, false)
	_, challengeErr := s.Challenge(ctx)
	_, resetErr := s.Reset(ctx)
	if resetErr == nil {
		t.Error("a reset was believed, although the boot is the same")
	}
	for _, err := range append(errs, keygenErr, challengeErr, resetErr) {
		if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("over an hour: %v", err)
		}
	}
}
