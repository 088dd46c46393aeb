// SPDX-License-Identifier: Apache-2.0

package smp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Operations of an SMP message. The answer to a request carries request + 1.
const (
	OpRead uint8 = iota
	OpReadAnswer
	OpWrite
	OpWriteAnswer
)

// Version is the SMP version that a station speaks: errors of a group come as
// {"err": {"group": G, "rc": N}}. (Version 0 has only a plain rc.)
const Version uint8 = 1

// headerLen is the size of an SMP header in bytes.
const headerLen = 8

// A Message is one SMP message: a header of eight bytes and a CBOR payload.
type Message struct {
	Op       uint8 // three bits
	Version  uint8 // two bits
	Flags    uint8
	Group    uint16
	Seq, Cmd uint8
	Payload  []byte // at most 65535 bytes
}

// Errors of ParseMessage; a receiver drops such a message in silence.
var (
	errShort    = errors.New("smp message is shorter than its header")
	errReserved = errors.New("smp header has reserved bits set")
)

// ParseMessage splits an SMP message. Its payload is a part of b. The payload
// length must be exact and the reserved bits of the first byte zero, so that
// Append of the result gives b again.
func ParseMessage(b []byte) (Message, error) {
	if len(b) < headerLen {
		return Message{}, errShort
	}
	if b[0]&0xe0 != 0 {
		return Message{}, errReserved
	}
	if n := int(binary.BigEndian.Uint16(b[2:])); n != len(b)-headerLen {
		return Message{}, fmt.Errorf("smp header announces a payload of %d bytes, %d came", n, len(b)-headerLen)
	}
	return Message{
		Op: b[0] & 7, Version: b[0] >> 3, Flags: b[1],
		Group: binary.BigEndian.Uint16(b[4:]), Seq: b[6], Cmd: b[7],
		Payload: b[headerLen:],
	}, nil
}

// Append appends the message to dst. Bits of Op and Version beyond their width
// are cut off; a payload over 65535 bytes has no valid form.
func (m Message) Append(dst []byte) []byte {
	dst = append(dst, m.Op&7|m.Version&3<<3, m.Flags)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(m.Payload)))
	dst = binary.BigEndian.AppendUint16(dst, m.Group)
	dst = append(dst, m.Seq, m.Cmd)
	return append(dst, m.Payload...)
}

// answers reports whether m is the answer to the request r. An echoed request
// is not (its op is the request's own), nor is an answer to an older sequence.
func (m Message) answers(r Message) bool {
	return m.Op == r.Op+1 && m.Group == r.Group && m.Cmd == r.Cmd && m.Seq == r.Seq
}
