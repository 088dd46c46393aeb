// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provisioning.example/station/internal/smp"
)

// client plugs a cable into the board.
func client(b *Board) *smp.Client {
	return smp.NewClient(smp.ClientConfig{Stream: b.Dial()})
}

// bootOf asks for info once and returns the boot ID.
func bootOf(t *testing.T, c *smp.Client) (id [16]byte) {
	t.Helper()
	var info struct {
		Boot [16]byte `cbor:"boot"`
	}
	if err := c.Do(t.Context(), smp.Request{Group: 64, Timeout: 100 * time.Millisecond, Tries: 1}, &info); err != nil {
		t.Fatal(err)
	}
	return info.Boot
}

func osReset(t *testing.T, c *smp.Client) {
	t.Helper()
	if err := c.Do(t.Context(), smp.Request{Write: true, Cmd: cmdReset}, nil); err != nil {
		t.Fatal(err)
	}
}

// TestReset: answered first, done 250 ms later, once.
func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, Config{})
		c := client(b)
		defer c.Close()
		first := bootOf(t, c)
		if log := string(c.Console()); !strings.Contains(log, "Booting") || !strings.HasSuffix(strings.TrimSpace(log), strings.TrimSpace(prompt)) {
			t.Errorf("boot log %q", log)
		}
		osReset(t, c)
		osReset(t, c) // absorbed
		if bootOf(t, c) != first {
			t.Error("the reset came before its time")
		}
		after := time.After(resetDelay)
		<-after
		synctest.Wait()
		second := bootOf(t, c)
		if second == first {
			t.Error("no reset")
		}
		if n := strings.Count(string(c.Console()), "Booting"); n != 2 {
			t.Errorf("%d boots in the log", n)
		}
		<-time.After(time.Second)
		synctest.Wait()
		if bootOf(t, c) != second {
			t.Error("a second reset")
		}
		b.Close()
	})
}

// TestCables: state survives the cable, RAM survives it too, a power cut takes
// RAM only.
func TestCables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, Config{})
		defer b.Close()
		c := client(b)
		boot := bootOf(t, c)
		withKey(t, b, scalarOf("cables"))
		ask(t, b, cmdCSR, obj{"cn": "x", "nonce": make([]byte, 32)})
		second := client(b) // pulls the first cable
		defer second.Close()
		if err := c.Do(context.Background(), smp.Request{Group: 64}, nil); err == nil {
			t.Error("a pulled cable still answers")
		}
		if bootOf(t, second) != boot || bytes.Contains(second.Console(), []byte("Booting")) {
			t.Error("another cable restarts the board")
		}
		wantRC(t, "csr over another cable", ask(t, b, cmdGet, obj{"obj": "csr", "off": 0}), 0)
		b.PowerCut()
		wantRC(t, "csr after a power cut", ask(t, b, cmdGet, obj{"obj": "csr", "off": 0}), rcWrongState)
		if b.State() != stateKeyed || bootOf(t, second) == boot {
			t.Error("a power cut must keep what is stored and change the boot")
		}
	})
}

// TestCloseEnds: nothing of a board is left behind, whatever it was doing.
func TestCloseEnds(t *testing.T) {
	for _, fault := range []string{"", "babbling", "slow-boot", "silent"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBoard(t, Config{Fault: fault, Compute: time.Hour})
			end := b.Dial()
			m := smp.Message{Op: smp.OpWrite, Version: 1, Group: 64, Cmd: cmdKeygen}
			if _, err := end.Write(smp.AppendPacket(nil, m.Append(nil), false)); err != nil {
				t.Error(err)
			}
			synctest.Wait() // it computes for an hour now
			b.Close()
			b.Close()
			if _, err := io.Copy(io.Discard, end); err != nil {
				t.Error(err)
			}
			if late := b.Dial(); late.SetReadDeadline(time.Time{}) != nil {
				t.Error("a cable to a board that is gone cannot be closed in peace")
			} else if _, err := late.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("a board that is gone says %v", err)
			}
		})
	}
}

// TestCompute: key commands take their time, others do not.
func TestCompute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, Config{Compute: 300 * time.Millisecond})
		defer b.Close()
		c := client(b)
		defer c.Close()
		start := time.Now()
		bootOf(t, c)
		if d := time.Since(start); d != 0 {
			t.Errorf("info took %v", d)
		}
		body := obj{"alg": "ES256", "token": make([]byte, 32)}
		if err := c.Do(t.Context(), smp.Request{Write: true, Group: 64, Cmd: cmdKeygen, Body: body}, nil); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != 300*time.Millisecond {
			t.Errorf("keygen took %v", d)
		}
		old := b.SPKI()
		time.AfterFunc(100*time.Millisecond, b.PowerCut)
		body["replace"], body["token"] = true, bytes.Repeat([]byte{1}, 32)
		if err := c.Do(t.Context(), smp.Request{Write: true, Group: 64, Cmd: cmdKeygen, Body: body, Tries: 1}, nil); err == nil {
			t.Error("a power cut while it computes is answered")
		}
		if !bytes.Equal(b.SPKI(), old) {
			t.Error("a power cut while it computes leaves another key")
		}
	})
}

// TestConfig: what a board cannot be is refused in words.
func TestConfig(t *testing.T) {
	e := newEstate(t)
	for name, c := range map[string]Config{
		"no uid":             {},
		"uid of 33 bytes":    {UID: make([]byte, 33)},
		"protection bit 4":   {UID: []byte{1}, Prot: 16},
		"no such fault":      {UID: []byte{1}, Fault: "nobody"},
		"keys nobody knows":  {UID: []byte{1}, Algs: []string{"RS1"}},
		"unknown algorithm":  {UID: []byte{1}, Algs: []string{"ES512"}},
		"chunk of 63":        {UID: []byte{1}, Chunk: 63},
		"max of 2047":        {UID: []byte{1}, Max: 2047},
		"buffer of 511":      {UID: []byte{1}, Buffer: 511},
		"group of the OS":    {UID: []byte{1}, Group: 1},
		"root that is no CA": {UID: []byte{1}, Root: e.leaf.cert},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestFaultsTable: names are unique and every fault can be made.
func TestFaultsTable(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Faults() {
		if f.Name == "" || f.What == "" || seen[f.Name] {
			t.Errorf("fault %+v", f)
		}
		seen[f.Name] = true
		newBoard(t, Config{Fault: f.Name})
	}
	if len(seen) < 60 {
		t.Errorf("only %d faults", len(seen))
	}
}

// TestClonedKey: two boards with this fault make one key; sound ones never do.
func TestClonedKey(t *testing.T) {
	keys := map[[32]byte]int{}
	for _, fault := range []string{"cloned-key", "cloned-key", "", ""} {
		b := newBoard(t, Config{Fault: fault})
		wantRC(t, "keygen", ask(t, b, cmdKeygen, obj{"alg": "ES256", "token": make([]byte, 32)}), 0)
		keys[sha256.Sum256(b.SPKI())]++
	}
	if len(keys) != 3 {
		t.Errorf("%d different keys, want 3", len(keys))
	}
}

// TestIndefinite rewrites and reads back.
func TestIndefinite(t *testing.T) {
	in := obj{"a": []string{"x", "y"}, "b": obj{"c": 1000, "d": []byte("data")}, "e": true, "f": []int{}}
	data, err := smp.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	out, rest := indefinite(nil, data)
	if len(rest) != 0 || bytes.Equal(out, data) || bytes.Count(out, []byte{0xff}) != 4 {
		t.Errorf("%x becomes %x", data, out)
	}
	var back obj
	if err := smp.Unmarshal(out, &back); err != nil {
		t.Fatal(err)
	}
	again, err := smp.Marshal(back)
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("read back as %x, %v", again, err)
	}
}
