// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"bytes"
	"context"
	"encoding/asn1"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/virtual"
)

// wire is a virtual board outside of the station's process, on a socket. What
// the station sends to it is noted before the board sees it.
type wire struct {
	board  *virtual.Board
	uid    string
	socket string
	limit  int
	full   chan struct{}

	mu    sync.Mutex // guards what follows
	bytes int        // that came from the station
	sent  [][]byte   // chains, as far as they were sent
}

// newWire is board n. limit is how many bytes may come from the station before
// full is closed; 0: any number.
func newWire(t *testing.T, dir string, n, limit int) *wire {
	t.Helper()
	uid := []byte{0xb0, 0xa4, byte(n >> 8), byte(n)}
	b, err := virtual.New(virtual.Config{Model: "virtual-board", UID: uid, Prot: 0b0111})
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{board: b, uid: fmt.Sprintf("%x", uid), socket: filepath.Join(dir, fmt.Sprintf("w%d", n)), limit: limit, full: make(chan struct{})}
	l, err := net.Listen("unix", w.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); b.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.serve(c)
		}
	}()
	return w
}

// serve is one cable, until an end of it goes away.
func (w *wire) serve(c net.Conn) {
	end := w.board.Dial()
	go func() {
		_, _ = io.Copy(c, end)
		c.Close()
	}()
	var d smp.Decoder
	tap := tapFunc(func(b []byte) {
		d.Feed(b, w.note, func([]byte) {})
		w.count(len(b))
	})
	_, _ = io.Copy(end, io.TeeReader(c, tap))
	end.Close()
}

type tapFunc func([]byte)

func (f tapFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

func (w *wire) count(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.bytes
	if w.bytes += n; w.limit > 0 && before < w.limit && w.bytes >= w.limit {
		close(w.full)
	}
}

// note keeps what is written to the board's chain.
func (w *wire) note(packet []byte) {
	m, err := smp.ParseMessage(packet)
	if err != nil || m.Group != 64 || m.Cmd != 4 || m.Op != smp.OpWrite { // put
		return
	}
	var put struct {
		Obj  string    `cbor:"obj"`
		Off  int       `cbor:"off"`
		Data []byte    `cbor:"data"`
		Len  int       `cbor:"len,omitempty"`
		SHA  *[32]byte `cbor:"sha,omitempty"`
	}
	if err := smp.Unmarshal(m.Payload, &put); err != nil || put.Obj != "chain" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if put.Off == 0 {
		w.sent = append(w.sent, nil)
	}
	if last := len(w.sent) - 1; last >= 0 && put.Off == len(w.sent[last]) {
		w.sent[last] = append(w.sent[last], put.Data...)
	}
}

// leaves are the certificates, or their first bytes, that came over the wire.
func (w *wire) leaves() (all [][]byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, chain := range w.sent {
		var leaf asn1.RawValue
		if _, err := asn1.Unmarshal(chain, &leaf); err == nil {
			chain = leaf.FullBytes
		}
		all = append(all, bytes.Clone(chain))
	}
	return all
}

// dialWire opens a board's socket.
func dialWire(ctx context.Context, socket string) (smp.Stream, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", socket)
}
