// SPDX-License-Identifier: Apache-2.0

package tpm_test

import (
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

// verdict is what the proxy does with one command.
type verdict struct {
	rc       tpm2.TPMRC      // not 0: answer with it, the TPM sees nothing
	lose     bool            // the TPM sees the command, the answer is dropped with the connection
	loseHere bool            // the connection breaks before the TPM sees the command
	hold     <-chan struct{} // the answer waits for it
	alter    func([]byte) []byte
}

// proxy stands between the package and a real TPM and does harm.
type proxy struct {
	address net.Addr
	served  sync.WaitGroup

	mu       sync.Mutex // guards what follows
	upstream string
	judge    func(n int, code tpm2.TPMCC) verdict
	codes    []tpm2.TPMCC // of the commands that came, in order
	wire     []byte       // all bytes, both ways
}

// newProxy listens on network ("unix" or "tcp") in front of the server.
func newProxy(t *testing.T, network string, s *server) *proxy {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "proxy")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{upstream: s.socket, address: l.Addr()}
	p.served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.serve(conn)
		}
	})
	t.Cleanup(func() { l.Close(); p.served.Wait() })
	return p
}

func (p *proxy) spec() string { return p.address.Network() + ":" + p.address.String() }

// harm sets what happens to commands, counted from 1 after this call.
func (p *proxy) harm(judge func(n int, code tpm2.TPMCC) verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes, p.judge = nil, judge
}

// commands returns the codes of the commands since harm, and how often one came.
func (p *proxy) commands() (all []tpm2.TPMCC, count map[tpm2.TPMCC]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	count = make(map[tpm2.TPMCC]int)
	for _, c := range p.codes {
		count[c]++
	}
	return append(all, p.codes...), count
}

// bytes returns all that crossed the proxy.
func (p *proxy) bytes() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]byte(nil), p.wire...)
}

func (p *proxy) record(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wire = append(p.wire, b...)
}

func (p *proxy) arrive(command []byte) verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wire = append(p.wire, command...)
	code := tpm2.TPMCC(binary.BigEndian.Uint32(command[6:]))
	p.codes = append(p.codes, code)
	if p.judge == nil {
		return verdict{}
	}
	return p.judge(len(p.codes), code)
}

func (p *proxy) dial() (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return net.Dial("unix", p.upstream)
}

// serve carries one connection; the TPM takes one client at a time, as here.
func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	var tpm net.Conn
	defer func() {
		if tpm != nil {
			tpm.Close()
		}
	}()
	for {
		command, err := readFrame(client)
		if err != nil {
			return
		}
		v := p.arrive(command)
		if v.loseHere {
			return
		}
		var answer []byte
		if v.rc != 0 {
			answer = binary.BigEndian.AppendUint32([]byte{0x80, 0x01, 0, 0, 0, 10}, uint32(v.rc))
		} else {
			if tpm == nil {
				if tpm, err = p.dial(); err != nil {
					return
				}
			}
			if _, err := tpm.Write(command); err != nil {
				return
			}
			if answer, err = readFrame(tpm); err != nil {
				return
			}
		}
		if v.hold != nil {
			<-v.hold
		}
		if v.alter != nil {
			answer = v.alter(answer)
		}
		p.record(answer)
		if v.lose {
			return
		}
		if _, err := client.Write(answer); err != nil && v.hold == nil {
			return
		}
	}
}

func readFrame(r io.Reader) ([]byte, error) {
	frame := make([]byte, 10)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	frame = append(frame, make([]byte, binary.BigEndian.Uint32(frame[2:])-10)...)
	_, err := io.ReadFull(r, frame[10:])
	return frame, err
}
