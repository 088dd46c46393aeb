// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"time"

	"provisioning.example/station/internal/smp"
)

// resetDelay is the time between the answer to a reset and the reset itself,
// as in Zephyr.
const resetDelay = 250 * time.Millisecond

// besidesData is what a packet with a chunk needs besides the chunk.
const besidesData = 88

// Groups and codes of the transport.
const (
	groupOS = 0

	cmdEcho   = 0
	cmdReset  = 5
	cmdParams = 6
	cmdInfo   = 7

	plainInvalid   = 3  // MGMT_ERR_EINVAL
	plainUnknown   = 8  // MGMT_ERR_ENOTSUP: no such group or command
	plainTooOld    = 12 // MGMT_ERR_UNSUPPORTED_TOO_OLD
	requestOpsOnly = 1  // bit that is set in answers, clear in requests
)

// A conn is the board's side of one cable. Its goroutine is the only one that
// answers requests.
type conn struct {
	board *Board
	end   *End
	dec   smp.Decoder
}

// serve answers requests until the cable is pulled.
func (c *conn) serve() {
	buf := make([]byte, 1024)
	for {
		n, err := c.end.Read(buf)
		if n > 0 {
			if c.board.fault.input != nil {
				c.board.fault.input(c, buf[:n])
			}
			c.dec.Feed(buf[:n], c.handle, func([]byte) {})
		}
		if err != nil {
			return
		}
	}
}

// write sends raw bytes. A cable that was pulled takes none: the next read
// ends the conversation.
func (c *conn) write(raw []byte) { _, _ = c.end.Write(raw) }

// pause waits for d, or until the board is closed.
func (c *conn) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.board.quit:
	}
}

// handle answers one message, or drops it in silence: answers (echoes of our
// own), requests over the buffer, requests to a board that still boots.
func (c *conn) handle(message []byte) {
	b := c.board
	m, err := smp.ParseMessage(message)
	if err != nil || m.Op&requestOpsOnly != 0 || m.Op > smp.OpWrite || len(message)+4 > b.cfg.Buffer {
		return
	}
	if m.Group == b.cfg.Group && takesCompute(m.Cmd) && b.cfg.Compute > 0 {
		boot := b.bootID()
		c.pause(b.cfg.Compute)
		if b.bootID() != boot {
			return // the power was cut while it computed
		}
	}
	n, payload := b.respond(m)
	if payload == nil {
		return
	}
	if b.fault.payload != nil {
		payload = b.fault.payload(b, m, n, payload)
	}
	answer := m
	answer.Op, answer.Payload = m.Op+1, payload
	packet := smp.AppendPacket(nil, answer.Append(nil), false)
	if b.fault.wire != nil {
		b.fault.wire(c, m, n, packet)
		return
	}
	c.write(packet)
}

// respond carries a request out. n counts the requests for this command so
// far; a nil payload means that there is no answer.
func (b *Board) respond(m smp.Message) (n int, payload []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Now().Before(b.ram.ready) || b.fault.mute {
		return 0, nil
	}
	key := uint32(m.Group)<<8 | uint32(m.Cmd)
	b.tally[key]++
	n = b.tally[key]
	var answer any
	handled := false
	if b.fault.request != nil {
		answer, handled = b.fault.request(b, m, n)
	}
	if !handled {
		answer = b.dispatch(m)
	}
	if answer == nil {
		return n, nil
	}
	payload, err := smp.Marshal(answer)
	if err != nil {
		payload, _ = smp.Marshal(plain{plainInvalid})
	}
	return n, payload
}

// plain is an error of the transport, enrollError one of our group.
type (
	plain struct {
		RC int `cbor:"rc"`
	}
	enrollError struct {
		Err groupError `cbor:"err"`
		Off *uint64    `cbor:"off,omitempty"`
		Obj string     `cbor:"obj,omitempty"`
	}
	groupError struct {
		Group uint16 `cbor:"group"`
		RC    int    `cbor:"rc"`
	}
)

// dispatch finds the command and runs it. Unknown groups, commands and
// operations are answered before the CBOR is looked at. A locked board whose
// images are not verified at boot takes nothing but group 64 and OS: a new
// image could read the key out.
func (b *Board) dispatch(m smp.Message) any {
	write := m.Op == smp.OpWrite
	switch {
	case m.Version == 0:
		return plain{plainTooOld}
	case m.Group == groupOS:
		return b.dispatchOS(m, write)
	case m.Group == groupImage && !b.sealed():
		return b.dispatchImage(m, write)
	case m.Group != b.cfg.Group:
		return plain{plainUnknown} // also what a locked board says
	case int(m.Cmd) >= len(commands) || commands[m.Cmd].write != write:
		return plain{plainUnknown}
	}
	answer, refused := commands[m.Cmd].run(b, m.Payload)
	if refused != nil {
		return enrollError{Err: groupError{b.cfg.Group, refused.rc}, Off: refused.off, Obj: refused.obj}
	}
	return answer
}

// sealed tells whether the board takes nothing but group 64 and OS any more.
func (b *Board) sealed() bool { return b.flash.state == stateLocked && b.cfg.Prot&1 == 0 }

// dispatchOS runs the commands of MCUmgr's OS group that a board needs.
func (b *Board) dispatchOS(m smp.Message, write bool) any {
	var r struct {
		D      *string `cbor:"d"`
		Format *string `cbor:"format"`
	}
	bad := smp.Unmarshal(m.Payload, &r) != nil
	switch {
	case m.Cmd == cmdEcho: // MCUmgr takes it as a read as well
		if bad || r.D == nil {
			return plain{plainInvalid}
		}
		return map[string]string{"r": *r.D}
	case m.Cmd == cmdReset && write:
		if bad {
			return plain{plainInvalid}
		}
		b.resetSoon()
		return map[string]int{}
	case m.Cmd == cmdParams && !write:
		return map[string]int{"buf_size": b.cfg.Buffer, "buf_count": 1}
	case m.Cmd == cmdInfo && !write:
		if bad {
			return plain{plainInvalid}
		}
		return map[string]string{"output": b.cfg.Model + " " + b.cfg.HW + " " + b.firmware()}
	}
	return plain{plainUnknown}
}

// resetSoon schedules the reset; one that is pending absorbs another. The
// caller holds mu.
func (b *Board) resetSoon() {
	if b.reset != nil || b.closed {
		return
	}
	b.work.Add(1)
	b.reset = time.AfterFunc(resetDelay, func() {
		defer b.work.Done()
		b.PowerCut()
	})
}
